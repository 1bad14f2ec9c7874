"""dcmtk's storescp: the peer that only writes files, and the C-MOVE destination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.server import Server, free_ports, nodelay, running

NAME = "dcmtk storescp"
DESTINATION = "BENCHDEST"
DURABILITY = "object: no fsync; no index"


@contextmanager
def start(
    folder: Path, *, keep: bool, nagle: bool = False, tls: Certificate | None = None
) -> Iterator[Server]:
    """A storage SCP with a process per association; without `keep` it drops what it receives.

    `nagle`: as installed, without the variable that makes dcmtk set TCP_NODELAY.
    `tls`: it speaks TLS.
    """
    folder.mkdir()
    (port,) = free_ports(1)
    (folder / "data").mkdir()
    sink = ["-od", str(folder / "data"), "+B"] if keep else ["--ignore"]
    secure = ["+tls", str(tls.key), str(tls.certificate), "-ic"] if tls is not None else []
    names = ["-aet", DESTINATION, "-pdu", "131072"]
    command = ["storescp", "--fork", *names, *secure, *sink, str(port)]
    with running(command, log=folder / "log", port=port, env=nodelay(nagle=nagle)) as process:
        yield Server(NAME, DESTINATION, port, "", process, tls=tls is not None)
