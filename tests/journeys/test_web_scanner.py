"""A scanner that others wrote (wapiti, of Debian) finds nothing in the pages, signed in and not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.harness import Isocenter, wait_until
from support.signed_in_relay import Session, relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PASSWORD = "three unrelated words of it"
# Not those that ask the internet (nikto, ssrf, wapp), guess names of folders, or wait for databases
# that there are not.
MODULES = (
    "backup,cookieflags,crlf,csp,exec,file,htaccess,http_headers,methods,permanentxss,redirect,"
    "shellshock,sql,xss,xxe"
)
CRAWLING, ATTACKING = 20, 4  # seconds; the second of each module
# What it takes for findings and is none: there is no TLS here, and browsers have no filter of
# scripts any more, which X-XSS-Protection was for. Its module `csrf` is left out: it looks for
# tokens in forms, and ours are held to Sec-Fetch-Site and Origin.
NONE = (
    ("HTTP Secure Headers", "Strict-Transport-Security"),
    ("HTTP Secure Headers", "X-XSS-Protection"),
    ("Secure Flag cookie", ""),
)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """An installation whose first administrator has set a password."""
    data = tmp_path_factory.mktemp("scanned") / "data"
    isocenter = Isocenter(data, settings={"access.trust_loopback": False, "process.workers": 1})
    isocenter.start()
    try:
        found = wait_until(lambda: re.search(r"/invitation/([\w-]+)", isocenter.log.read_text()))
        roles = ("--role", "viewer", "--role", "auditor")
        made = isocenter.cli("account add", "scan", *roles)
        link = re.search(r"/invitation/([\w-]+)", made.stdout)
        assert link is not None, made
        form = {"password": PASSWORD, "again": PASSWORD}
        for one in (found, link):
            answer = httpx.post(f"{isocenter.http_url}/invitation/{one[1]}", data=form)
            assert answer.status_code == 303
        yield isocenter
    finally:
        isocenter.stop()


def scan(address: str, folder: Path) -> list[tuple[str, str]]:
    """What it finds, beyond information: the kind, and where."""
    if shutil.which("wapiti") is None:
        pytest.fail("wapiti is missing. Type: make setup", pytrace=False)
    folder.mkdir()
    report = folder / "report.json"
    subprocess.run(
        ["wapiti", "-u", address, "--scope", "domain", "-m", MODULES, "-f", "json", "-o", report,
         "--store-session", folder, "--no-bugreport", "--max-scan-time", str(CRAWLING),
         "--max-attack-time", str(ATTACKING), "--max-parameters", "12", "-v", "0"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    told = json.loads(report.read_text())
    found = []
    for section in ("vulnerabilities", "anomalies"):
        for kind, ones in told[section].items():
            found += [(kind, f"{one['method']} {one['path']}: {one['info']}") for one in ones]
    none = {one for one in found for kind, of in NONE if one[0] == kind and of in one[1]}
    return [one for one in found if one not in none]


def test_a_scanner_finds_nothing(scanned: Isocenter, tmp_path: Path) -> None:
    session = Session(scanned.http_url, "scan", PASSWORD)
    with relay(session) as address:
        assert httpx.get(f"{address}/account").status_code == 200
        assert httpx.get(f"{address}/audit").status_code == 200
        assert scan(f"{address}/account", tmp_path / "signed-in") == []
    assert httpx.get(f"{scanned.http_url}/readyz").status_code == 200


def test_a_scanner_that_nobody_knows_finds_nothing_either(
    scanned: Isocenter, tmp_path: Path
) -> None:
    assert scan(f"{scanned.http_url}/sign-in", tmp_path / "stranger") == []
