"""A running Isocenter for tests: real processes, in every shape, on free ports."""

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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from isocenter.runtime.secret_settings import secrets_of
from isocenter.settings import NESTED, PREFIX, Settings
from support.kept import KeptObjects, ObjectFiles, ObjectsInBucket
from support.ports import free_ports

READY_SECONDS = 60
POLL_SECONDS = 0.02

ROLES_WITH_RPC = ("storage", "ingest", "query", "transcoding", "indexing", "audit")
EDGES = ("gateway", "web")

_SECRETS = frozenset(secrets_of(Settings))


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


class Reached(ABC):
    """An installation as its clients see it."""

    ae_title = "ISOCENTER"
    host = "127.0.0.1"
    dicom_port: int
    http_port: int

    @property
    def http_url(self) -> str:
        """`http://host:port`."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        """The DICOMweb root."""
        return f"{self.http_url}/dicomweb"

    @property
    def credentials(self) -> Mapping[str, str]:
        """Header fields that let in who asks; none where this machine is trusted."""
        return {}

    @property
    @abstractmethod
    def objects(self) -> KeptObjects:
        """What it keeps, looked at from outside."""

    def get(self, path: str, accept: str = "application/dicom+json") -> bytes:
        """The body of a DICOMweb answer."""
        headers = {"Accept": accept, **self.credentials}
        request = urllib.request.Request(f"{self.dicomweb}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            body: bytes = response.read()
            return body

    def search(self, path: str) -> list[dict[str, Any]]:
        """The answers of a QIDO-RS search."""
        return list(json.loads(self.get(path) or b"[]"))


class Isocenter(Reached):
    """One installation. `shape` is `up` or `split` (a process a role, or `copies` of them).

    Its parts are embedded on a data directory, or on servers if the settings say so.
    """

    def __init__(
        self,
        data: Path,
        shape: str = "up",
        settings: Mapping[str, object] | None = None,
        copies: Mapping[str, int] | None = None,
    ) -> None:
        self.data = data
        self.shape = shape
        roles = (*EDGES, *ROLES_WITH_RPC)
        self.names = {role: _names(role, (copies or {}).get(role, 1)) for role in roles}
        every = [name for names in self.names.values() for name in names]
        self.ports = dict(zip(every, free_ports(len(every)), strict=True))
        self.dicom_port, self.http_port = self.ports["gateway"], self.ports["web"]
        (self.grpc_port,) = free_ports(1)  # of programs
        self.settings = {
            "gateway.port": self.dicom_port,
            "web.port": self.http_port,
            "web.grpc_port": self.grpc_port,
            "process.workers": 2,
            "access.trust_loopback": True,
            **(settings or {}),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.destination_port = 0  # of the C-MOVE destination DESTINATION, where a test set one
        self.log = data.parent / f"{data.name}.log"

    @property
    def objects(self) -> KeptObjects:
        """What it keeps, looked at from outside."""
        blobs = urlsplit(str(self.settings.get("blobs", "")))
        if blobs.scheme != "s3":
            return ObjectFiles(self.data)
        keys = str(self.settings["s3.access_key"]), str(self.settings["s3.secret_key"])
        return ObjectsInBucket(blobs.netloc, blobs.path.strip("/"), *keys)

    def prepare(self) -> None:
        """Make what it needs on the servers that the settings name."""
        if "bus" in self.settings:
            done = self.cli("check", "--prepare")
            assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start every process and wait until the edges are ready."""
        self.launch()
        wait_until(self.ready, READY_SECONDS, "ready")

    def launch(self) -> None:
        """Start every process."""
        if self.shape == "up":
            self._spawn("up", self._command("up"))
        else:
            for name in self.ports:
                self.start_one(name)

    def start_one(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start one process of a split installation: `storage`, or `storage-2` for a copy."""
        role, port = name.partition("-")[0], self.ports[name]
        extra: dict[str, object] = {
            f"rpc.{of}": ",".join(f"127.0.0.1:{self.ports[copy]}" for copy in self.names[of])
            for of in ROLES_WITH_RPC
        }
        extra[f"{role}.port" if role in EDGES else "rpc.port"] = port
        self._spawn(name, [*self._command("run", **extra), "--name", name, role], env)

    def kill_one(self, name: str) -> None:
        """SIGKILL to one process of a split installation."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(20)

    def cli(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another verb on the same settings."""
        return subprocess.run(
            [*self._command(*verb.split()), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **self._secrets},
        )

    @property
    def _secrets(self) -> dict[str, str]:
        """Settings that no command line may have, as variables of the environment."""
        return {
            PREFIX + name.replace(".", NESTED).upper(): str(self.settings[name])
            for name in _SECRETS & self.settings.keys()
        }

    def _command(self, *verb: str, **extra: object) -> list[str]:
        command = [sys.executable, "-m", "isocenter", *verb, "--data", str(self.data)]
        for key, value in {**self.settings, **extra}.items():
            if key in _SECRETS:
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            command += ["--set", f"{key}={text}"]
        return command

    def _spawn(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> None:
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **self._secrets, **(env or {})},
            )

    def ready(self) -> bool:
        """Whether every process serves. Fails if one has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise AssertionError(
                    f"{name} ended with {process.returncode}:\n{self.log.read_text()[-4000:]}"
                )
        names = EDGES if self.shape == "up" else tuple(self.ports)
        return all(
            self._web_is_ready(self.ports[name])
            if name in self.names["web"]
            else self.listens(self.ports[name])
            for name in names
        )

    def _web_is_ready(self, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{port}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def listens(self, port: int) -> bool:
        """Whether somebody listens on a port."""
        with socket.socket() as probe:
            return probe.connect_ex((self.host, port)) == 0

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


def _names(role: str, copies: int) -> list[str]:
    return [role, *(f"{role}-{number}" for number in range(2, copies + 1))]


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
        isocenter.prepare()
        isocenter.start()
        yield isocenter
    finally:
        isocenter.kill()
