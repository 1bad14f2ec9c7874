"""A headless browser for the tests of what people see, and where their pictures go."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from isocenter.demo import generate
from support.harness import Isocenter, running, wait_until
from support.keycloak import Keycloak
from support.two_sites import TwoSites, two_sites
from support.visitors import Visitors

VIEWER = Path(__file__).parents[2] / ".cache" / "viewer"

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# Without a graphics card WebGL is drawn by SwiftShader; nothing may be fetched behind our back.
FLAGS = [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def require_viewer() -> None:
    """Fails where it was not fetched."""
    if not (VIEWER / "VERSION").exists():
        pytest.fail(f"the viewer is missing from {VIEWER}. Type: make viewer", pytrace=False)


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Root URL of an installation that serves the viewer and holds the demo studies."""
    require_viewer()
    scratch = tmp_path_factory.mktemp("viewer")
    generate(scratch / "demo")
    with running(scratch / "data", settings={"web.viewer": str(VIEWER)}) as isocenter:
        peer = f"dicom://{isocenter.ae_title}@{isocenter.host}:{isocenter.dicom_port}"
        sent = subprocess.run(
            [sys.executable, "-m", "isocenter", "send", scratch / "demo", "--to", peer],
            capture_output=True,
            text=True,
            check=False,
        )
        assert sent.returncode == 0, sent.stderr
        instances = len(list(scratch.glob("demo/**/*.dcm")))
        wait_until(lambda: stored(isocenter) == instances, 60, "all demo instances findable")
        yield isocenter.http_url


def stored(isocenter: Isocenter) -> int:
    """How many instances a search counts."""
    studies = isocenter.search("/studies?includefield=00201208")
    return sum(study["00201208"]["Value"][0] for study in studies)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module: Playwright's loop must be gone before asyncio tests run."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.fail(
            "Chromium is missing. Type: apt-get install -y --no-install-recommends chromium",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One profile for a module: the viewer's scripts are fetched and compiled once."""
    context = browser.new_context(viewport={"width": 1400, "height": 800})
    yield context
    context.close()


@pytest.fixture
def page(base_url: str, context: BrowserContext) -> Iterator[Page]:
    """A fresh page that asks nobody but us, and whose scripts must not fail."""
    strangers: list[str] = []
    failures: list[str] = []
    ours = (base_url, "blob:", "data:", "chrome:", "chrome-extension:")  # chrome: is the PDF viewer
    page = context.new_page()
    page.on("request", lambda seen: seen.url.startswith(ours) or strangers.append(seen.url))
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    page.close()
    assert strangers == [], "the viewer asked other hosts"
    assert failures == [], "scripts of the viewer failed"


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """One for all tests: it takes its time to start."""
    with Keycloak(tmp_path_factory.mktemp("keycloak") / "data") as keycloak:
        yield keycloak


@pytest.fixture(scope="session")
def sites(keycloak: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSites]:
    """An installation of two sites, whose people sign in at Keycloak."""
    require_viewer()
    scratch = tmp_path_factory.mktemp("sites")
    with two_sites(scratch, keycloak, {"web.viewer": str(VIEWER)}) as sites:
        yield sites


@pytest.fixture
def visitors(browser: Browser) -> Iterator[Visitors]:
    """People with browsers of their own, in which no page breaks its policy."""
    visitors = Visitors(browser)
    yield visitors
    visitors.leave()
    assert visitors.heard == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the screenshots, kept by pytest after the run."""
    return tmp_path_factory.mktemp("pictures")
