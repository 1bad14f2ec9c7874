"""The stand-alone verifier as others run it, and trails for it."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isocenter.audit import standalone
from support.trails import (
    KeptTrail,
    make,
)

SOURCE = Path(standalone.__file__)
MIB = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What the program said."""

    code: int
    text: str
    errors: str

    @property
    def findings(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("FINDING: ")]

    @property
    def notes(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("NOTE: ")]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.text)


Run = Callable[..., Answer]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a copy of the file, far from the project, in a Python that sees neither it nor any
    other package."""
    home = tmp_path_factory.mktemp("verifier")
    program = home / "verify_audit.py"
    program.write_bytes(SOURCE.read_bytes())

    def run(*arguments: str | Path, bound: int = 0) -> Answer:
        """`bound`: bytes of address space, of which Python itself takes a part."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (bound, bound))

        done = subprocess.run(
            [sys.executable, "-I", "-S", program, *arguments],
            cwd=home,
            env={},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=limit if bound else None,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> KeptTrail:
    """A trail that nobody has touched; tests do not, either."""
    return asyncio.run(make(tmp_path_factory.mktemp("trail")))


@pytest.fixture
def trail(whole: KeptTrail, tmp_path: Path) -> KeptTrail:
    """A copy to be tampered with."""
    return whole.copy(tmp_path / "copy", embedded=False)


@pytest.fixture(params=[False, True], ids=["plain", "embedded"])
def either(whole: KeptTrail, tmp_path: Path, request: pytest.FixtureRequest) -> KeptTrail:
    """A copy in each of the two forms."""
    return whole.copy(tmp_path / "copy", embedded=request.param)


def verified(trail: KeptTrail) -> standalone.Trail:
    """The same without a process, for what is tried many times."""
    options = argparse.Namespace(folder=trail.folder, trust=[], heads=None, proof=None)
    return standalone.verified(options)
