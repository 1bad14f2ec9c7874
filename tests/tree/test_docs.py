"""The pages made from the code say what the code says, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize(
    "page",
    [
        "settings",
        "dicom",
        "aes",
        "conformance",
        "events",
        "audit-messages",
        "telemetry",
        "monitoring",
    ],
)
def test_a_generated_page_is_current(page: str) -> None:
    done = subprocess.run(
        [sys.executable, f"infra/docs/{page.replace('-', '_')}.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / f"docs/{page}.md").read_text() == done.stdout, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["dicomweb.sh", "dicomweb.py", "archive_grpc.py"])
def test_the_page_for_programs_shows_the_examples_as_they_are(name: str) -> None:
    example = (ROOT / "examples" / name).read_text()
    assert f"\n{example}```\n" in (ROOT / "docs/programs.md").read_text()


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`(tests/[\w/]+\.py::\w+)`", page.read_text())
    }
    assert len(named) > 10
    assert [
        name
        for name in sorted(named)
        if f"def {name.partition('::')[2]}(" not in (ROOT / name.partition("::")[0]).read_text()
    ] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for page in PAGES for target in re.findall(r"`make ([a-z-]+)", page.read_text())
    }
    assert named <= known


def test_the_readme_shows_the_newest_measurements() -> None:
    before = (ROOT / "README.md").read_text()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import bench, sys; sys.stdout.write(bench.with_table(sys.stdin.read()))",
        ],
        cwd=ROOT / "infra/docs",
        input=before,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == before, "run `python infra/docs/bench.py`"
