"""The tree keeps its own rules: lengths, tests, licences, words that do not belong."""

from __future__ import annotations

import ast
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for path in (ROOT / "services").rglob("*.py") if "v1" not in path.parts)
MAX_MODULE_LINES = 400
IN_ONE_FILE = {"standalone.py"}  # what others read and run by itself

# Licences that a dependency of an Apache-2.0 program may have.
# Installed beside us as they are, and replaceable by whoever runs us: what the LGPL asks for.
UNDER_LGPL = {"crc32c"}
REPLACEABLE = re.compile("LGPL")
COMPATIBLE = re.compile(
    r"apache|mit\b|bsd|isc|python software|psf|mpl|mozilla|unlicense|zlib|0bsd|hpnd|cc0|ofl",
    re.IGNORECASE,
)


def test_modules_are_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > MAX_MODULE_LINES
        and path.name not in IN_ONE_FILE
    }
    assert not long


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_every_package_has_tests() -> None:
    packages = {
        path.parent.relative_to(ROOT / "services/isocenter").parts[0]
        for path in SOURCES
        if path.parent != ROOT / "services/isocenter"
    }
    tested = {
        path.name for path in (ROOT / "tests/unit").iterdir() if any(path.glob("**/test_*.py"))
    }
    assert packages <= tested, f"no tests for {packages - tested}"


def _pinned() -> list[str]:
    text = (ROOT / "requirements.lock").read_text()
    return re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(_pinned())))
def test_dependencies_have_compatible_licences(name: str) -> None:
    try:
        info = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is pinned for another platform or Python only")
    stated = [
        info.get("License-Expression") or "",
        *(line for line in info.get_all("Classifier") or [] if line.startswith("License")),
        (info.get("License") or "")[:200],
    ]
    allowed = REPLACEABLE if name in UNDER_LGPL else COMPATIBLE
    assert allowed.search(" ".join(stated)), f"{name}: {stated}"


def test_the_locks_pin_every_package_by_hash() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "infra/images/build.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, block[:80]


def test_no_file_holds_a_path_of_a_machine_or_a_patient() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    foreign = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/")
    found = [
        name
        for name in tracked
        if name.endswith(
            (".py", ".md", ".toml", ".sh", ".proto", ".json", ".js", "Makefile", "run")
        )
        and foreign.search((ROOT / name).read_text(encoding="utf-8"))
        and not name.endswith("test_tree.py")
    ]
    assert not found
