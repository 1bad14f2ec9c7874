"""A side of the comparison: a server process on free ports, and the memory it takes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.machine import Unusable

HOST = "127.0.0.1"
READY_SECONDS = 60.0
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Server:
    """Where a running side is reached. `dicomweb` is empty for a plain storage SCP."""

    name: str
    ae_title: str
    dicom_port: int
    dicomweb: str
    process: subprocess.Popen[bytes]
    tls: bool = False  # whether that is a port of TLS
    headers: tuple[tuple[str, str], ...] = ()  # of requests to it: who asks


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def nodelay(*, nagle: bool) -> dict[str, str]:
    """Environment of a dcmtk program: its own variable for TCP_NODELAY, or nothing."""
    return {} if nagle else {"TCP_NODELAY": "1"}


@contextmanager
def running(
    command: Sequence[str], *, log: Path, port: int, url: str = "", env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that is ready (port open, `url` answers 200), stopped at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **env},
        )
    try:
        _wait_until_ready(process, port, url, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (_listens(port) and (not url or _answers(url))):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            state = f"ended with {process.returncode}" if ended else "is not ready"
            text = log.read_text(errors="replace")[-2000:]
            raise Unusable(f"{process.args!r} {state}. Its last words:\n{text}")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


class MemoryWatch:
    """Peak growth of the resident memory of a process and its children, in bytes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._pid = process.pid
        self._done = threading.Event()
        self._before = self._peak = _resident(process.pid)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """Bytes above the size at the start."""
        return self._peak - self._before

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, _resident(self._pid))


def _resident(pid: int) -> int:
    """Resident bytes of a process tree; a process that just ended counts nothing."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = pages * os.sysconf("SC_PAGE_SIZE")
    return own + sum(_resident(int(child)) for child in children)
