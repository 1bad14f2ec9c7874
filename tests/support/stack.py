"""Real Kafka, Elasticsearch, MinIO and Keycloak for tests, each a process that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from support.harness import wait_until
from support.ports import pair_of_ports

SCRIPTS = Path(__file__).parents[2] / "infra/stack"
INSTALL_SECONDS = 1800  # MinIO is built from source on a machine that has never done it
READY_SECONDS = 90
IMPORTED_SECONDS = 240  # Keycloak starts, and reads its realm
ACCESS_KEY, SECRET_KEY = "isocenter", "isocenter-secret"
KINDS = ("kafka", "elasticsearch", "minio")

# What a server answers once it serves; Kafka opens its port last.
HEALTH = {
    "elasticsearch": "/_cluster/health?wait_for_status=yellow&timeout=1s",
    "minio": "/minio/health/ready",
    "keycloak": "/realms/hospital/.well-known/openid-configuration",  # once the realm is there
}


class Server:
    """One server of a kind on a directory of its own. It keeps its port over restarts."""

    def __init__(self, kind: str, directory: Path, *arguments: str) -> None:
        self.kind = kind
        self.directory = directory
        self.arguments = arguments
        self.port = pair_of_ports()
        self.log = directory.parent / f"{directory.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it serves."""
        script = SCRIPTS / self.kind / "run.sh"
        subprocess.run([script, "install"], check=True, timeout=INSTALL_SECONDS)
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [script, self.directory, str(self.port), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        seconds = IMPORTED_SECONDS if self.kind == "keycloak" else READY_SECONDS
        wait_until(self._serving, seconds, f"{self.kind} serves; see {self.log}")

    def _serving(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.kind} ended:\n{self.log.read_text()[-4000:]}")
        if self.kind not in HEALTH:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        try:
            with urllib.request.urlopen(f"http://{self.address}{HEALTH[self.kind]}", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it is there and does not answer."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(60)
            self._process = None


def with_sign_in(server: Server, users: Mapping[str, str], *more: str) -> Server:
    """A broker that lets in these users alone, by SASL; `more` are further settings of it. The
    first of them is the one that the broker itself is."""
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    own = next(iter(users))
    itself = f'username="{own}" password="{users[own]}"'
    known = " ".join(f'user_{user}="{password}"' for user, password in users.items())
    server.arguments = (
        f"listeners=SASL_PLAINTEXT://{server.address},CONTROLLER://127.0.0.1:{server.port + 1}",
        f"advertised.listeners=SASL_PLAINTEXT://{server.address}",
        "listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name=SASL_PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN",
        "sasl.mechanism.inter.broker.protocol=PLAIN",
        f"listener.name.sasl_plaintext.plain.sasl.jaas.config={login} {itself} {known};",
        *more,
    )
    return server


class Stack:
    """One server of each kind."""

    def __init__(self, directory: Path) -> None:
        self.servers = {kind: Server(kind, directory / kind) for kind in KINDS}

    @property
    def kafka(self) -> Server:
        """The broker."""
        return self.servers["kafka"]

    @property
    def elasticsearch(self) -> Server:
        """The search server."""
        return self.servers["elasticsearch"]

    @property
    def minio(self) -> Server:
        """The object store."""
        return self.servers["minio"]

    def start(self) -> None:
        """Start all of them."""
        for server in self.servers.values():
            server.start()

    def stop(self) -> None:
        """End all of them at once; their data are of no use any more."""
        for server in self.servers.values():
            server.kill()

    def settings(self, name: str) -> dict[str, object]:
        """Settings of an installation of that name, apart from all others on these servers."""
        return {
            "bus": f"kafka://{self.kafka.address}/{name}",
            "blobs": f"s3://{self.minio.address}/{name}",
            "index": f"elasticsearch://{self.elasticsearch.address}/{name}",
            "s3.access_key": ACCESS_KEY,
            "s3.secret_key": SECRET_KEY,
            "elasticsearch.replicas": 0,
            "kafka.partitions": 4,
        }
