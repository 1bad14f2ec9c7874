"""Independent clients as a user runs them: dcmtk's tools and curl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.harness import Reached, wait_until
from support.ports import free_ports

PACKAGES = {
    "curl": "curl", "dciodvfy": "dicom3tools", "chromium": "chromium",
    "prometheus": "prometheus", "promtool": "prometheus", "unzip": "unzip",
}  # fmt: skip


def tool(name: str) -> str:
    """The program's path. A missing one fails the test: it must not pass by its absence."""
    path = shutil.which(name)
    assert path, f"{name} is missing: install the Debian package {PACKAGES.get(name, 'dcmtk')}"
    return path


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    code: int
    text: str  # standard output and error


def run(
    name: str, *arguments: object, timeout: float = 120, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run a program to its end."""
    done = subprocess.run(
        [tool(name), *map(str, arguments)],
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Outcome(done.returncode, (done.stdout + done.stderr).decode(errors="replace"))


def dcmtk(
    name: str,
    isocenter: Reached,
    *arguments: object,
    calling: str = "TESTER",
    nagle: bool = True,
    timeout: float = 120,
) -> Outcome:
    """A dcmtk client against our gateway. `nagle` is dcmtk's default on its own sockets."""
    return run(
        name,
        *("-aet", calling, "-aec", isocenter.ae_title),
        isocenter.host,
        isocenter.dicom_port,
        *arguments,
        timeout=timeout,
        env={} if nagle else {"TCP_NODELAY": "1"},
    )


@contextmanager
def storescp(
    folder: Path, *arguments: str, ae_title: str = "DESTINATION", port: int = 0
) -> Iterator[int]:
    """dcmtk's storage SCP writing into a folder; yields its port."""
    port = port or free_ports(1)[0]
    folder.mkdir(parents=True, exist_ok=True)
    command: Sequence[str] = [
        tool("storescp"), "-aet", ae_title, "-od", str(folder), *arguments, str(port),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: run("echoscu", "127.0.0.1", port).code == 0, 20, "storescp answers")
        yield port
    finally:
        process.kill()
        process.wait()


def isocenter_cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a verb that has to do with others only."""
    return subprocess.run(
        [sys.executable, "-m", "isocenter", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
