"""A running Isocenter for tests: real processes, in both shapes, on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_SECONDS = 60
POLL_SECONDS = 0.02

ROLES_WITH_RPC = ("storage", "ingest", "query", "transcoding", "indexing", "audit")
EDGES = ("gateway", "web")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_until(condition: Callable[[], Any], seconds: float = 20, what: str = "") -> Any:
    """The first true answer of the condition; fails with `what` when the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(POLL_SECONDS)


class Isocenter:
    """One installation on one data directory. `shape` is `up` or `split` (a process a role)."""

    ae_title = "ISOCENTER"
    host = "127.0.0.1"

    def __init__(
        self, data: Path, shape: str = "up", settings: Mapping[str, object] | None = None
    ) -> None:
        self.data = data
        self.shape = shape
        self.dicom_port, self.http_port, *self._rpc_ports = free_ports(2 + len(ROLES_WITH_RPC))
        self.settings = {
            "gateway.port": self.dicom_port,
            "web.port": self.http_port,
            "process.workers": 2,
            **(settings or {}),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.destination_port = 0  # of the C-MOVE destination DESTINATION, where a test set one
        self.log = data.parent / f"{data.name}.log"

    @property
    def http_url(self) -> str:
        """`http://host:port`."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        """The DICOMweb root."""
        return f"{self.http_url}/dicomweb"

    def start(self) -> None:
        """Start every process and wait until the edges are ready."""
        if self.shape == "up":
            self._spawn("up", "up")
        else:
            for role, port in zip(ROLES_WITH_RPC, self._rpc_ports, strict=True):
                self._spawn(role, "run", role, **{"rpc.port": port}, **self._addresses())
            for role in EDGES:
                self._spawn(role, "run", role, **self._addresses())
        wait_until(self._ready, READY_SECONDS, "ready")

    def _addresses(self) -> dict[str, object]:
        return {
            f"rpc.{role}": f"127.0.0.1:{port}"
            for role, port in zip(ROLES_WITH_RPC, self._rpc_ports, strict=True)
        }

    def _spawn(self, name: str, *verb: str, **extra: object) -> None:
        command = [sys.executable, "-m", "isocenter", *verb, "--data", str(self.data)]
        for key, value in {**self.settings, **extra}.items():
            text = value if isinstance(value, str) else json.dumps(value)
            command += ["--set", f"{key}={text}"]
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def _ready(self) -> bool:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise AssertionError(
                    f"{name} ended with {process.returncode}:\n{self.log.read_text()[-4000:]}"
                )
        try:
            with urllib.request.urlopen(f"{self.http_url}/readyz", timeout=5) as response:
                http_ready = response.status == 200
        except (urllib.error.URLError, OSError):
            return False
        with socket.socket() as probe:
            return http_ready and probe.connect_ex((self.host, self.dicom_port)) == 0

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; the exit codes."""
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        try:
            return {name: process.wait(60) for name, process in self.processes.items()}
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.processes.clear()

    def kill(self) -> None:
        """SIGKILL to every process of the installation, children first come first served."""
        for pid in self.pids():
            _kill(pid)
        for process in self.processes.values():
            process.wait(20)
        self.processes.clear()

    def pids(self) -> list[int]:
        """All processes of this installation, children included."""
        found = [process.pid for process in self.processes.values()]
        for pid in found:
            found += _children(pid)
        return found

    def get(self, path: str, accept: str = "application/dicom+json") -> bytes:
        """The body of a DICOMweb answer."""
        request = urllib.request.Request(f"{self.dicomweb}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as response:
            body: bytes = response.read()
            return body

    def search(self, path: str) -> list[dict[str, Any]]:
        """The answers of a QIDO-RS search."""
        return list(json.loads(self.get(path) or b"[]"))


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in path.read_text().split()]
    except FileNotFoundError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def running(
    data: Path, shape: str = "up", settings: Mapping[str, object] | None = None
) -> Iterator[Isocenter]:
    """An installation that is up, and is gone afterwards."""
    isocenter = Isocenter(data, shape, settings)
    try:
        isocenter.start()
        yield isocenter
    finally:
        isocenter.kill()
