"""rsyslog as a collector: the configuration of our example, in a folder and on ports of its own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isocenter.runtime.tls_files import Tls
from support.authority import Authority
from support.harness import wait_until
from support.ports import free_ports

EXAMPLE = Path(__file__).parents[2] / "examples/rsyslog.conf"
PEER = "isocenter.hospital.example"

# Beside the example: plain TCP and UDP.
_MORE = """
module(load="imptcp")
module(load="imudp")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="audit")
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="audit" rcvbufSize="4m")
"""
_START = re.compile(rb"(?=<8[45]>1 \d{4}-\d\d-\d\dT)")


class Rsyslog:
    """One that may be killed and started again."""

    def __init__(self, folder: Path, driver: str = "ossl") -> None:
        path = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert path, "rsyslog is missing: infra/setup/test-tools.sh installs it"
        authority = Authority(folder / "ca")
        server = authority.issue("collector")
        self.ours: Tls = authority.issue("isocenter", f"DNS:{PEER}")
        self.ports = dict(zip(("tls", "tcp", "udp"), free_ports(3), strict=True))
        self.file = folder / "received.log"
        self._listening = folder / "rsyslog.conf"
        self._listening.write_text(self._configuration(folder, server, driver))
        self._command = [path, "-n", "-f", str(self._listening), "-i", str(folder / "pid")]
        self._log = folder / "rsyslog.log"
        self._process: subprocess.Popen[bytes] | None = None

    def _configuration(self, folder: Path, server: Tls, driver: str) -> str:
        text = EXAMPLE.read_text()
        for theirs, ours in {
            "/var/spool/rsyslog": str(folder),
            "/etc/isocenter-audit/ca.pem": str(server.ca),
            "/etc/isocenter-audit/collector.pem": str(server.certificate),
            "/etc/isocenter-audit/collector.key": str(server.key),
            "/var/log/isocenter-audit.log": str(self.file),
            '"ossl"': f'"{driver}"',
            'port="6514"': f'address="127.0.0.1" port="{self.ports["tls"]}"',
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        return text + _MORE.format(**self.ports)

    def url(self, kind: str) -> str:
        """As the settings name it."""
        return f"syslog+{kind}://127.0.0.1:{self.ports[kind]}"

    def start(self) -> None:
        """Until it listens everywhere."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._listens, what="rsyslog listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        kinds = {"tls": socket.SOCK_STREAM, "tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
        return all(_is_taken(kind, self.ports[name]) for name, kind in kinds.items())

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def messages(self) -> list[bytes]:
        """What it has written, in order. One that it was killed in the middle of is there too, with
        its beginning alone."""
        if not self.file.exists():
            return []
        lines = self.file.read_bytes().split(b"\n")
        return [piece for line in lines for piece in _START.split(line) if piece]


def _is_taken(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


@contextmanager
def rsyslog(folder: Path, driver: str = "ossl") -> Iterator[Rsyslog]:
    """One that listens."""
    made = Rsyslog(folder, driver)
    made.start()
    try:
        yield made
    finally:
        made.kill()
