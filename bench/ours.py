"""Our side: `isocenter up` on a scratch data directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.server import HOST, Server, free_ports, running

NAME = "isocenter"
AE_TITLE = "ISOCENTER"
DURABILITY = (
    "object: written past the page cache, fsync; event: SQLite log, WAL, synchronous=FULL; both"
    " before success is answered"
)


@contextmanager
def start(
    folder: Path,
    destination: tuple[str, int],
    *,
    aes: Sequence[Mapping[str, object]] = (),
    tls: Certificate | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """`destination` is the AE title and port of the C-MOVE destination; `aes` are further ones.
    `tls`: DICOM is spoken on the port of TLS. `env`: of its processes, on top. Who
    calls from this machine is its operator, unless that says otherwise."""
    folder.mkdir(exist_ok=True)
    dicom, http, grpc, secure = free_ports(4)
    title, port = destination
    known = [{"title": title, "host": HOST, "port": port}, *aes]
    env = {
        "ISOCENTER_ACCESS__TRUST_LOOPBACK": "true",
        **(env or {}),
        "ISOCENTER_GATEWAY__PORT": str(dicom),
        "ISOCENTER_GATEWAY__KNOWN_AES": json.dumps(known),
        "ISOCENTER_WEB__PORT": str(http),
        "ISOCENTER_WEB__GRPC_PORT": str(grpc),
    }
    if tls is not None:
        env |= {
            "ISOCENTER_GATEWAY__TLS_PORT": str(secure),
            "ISOCENTER_GATEWAY__CERTIFICATE_FILE": str(tls.certificate),
            "ISOCENTER_GATEWAY__KEY_FILE": str(tls.key),
        }
    command = [sys.executable, "-m", "isocenter", "up", "--data", str(folder / "data")]
    url = f"http://{HOST}:{http}"
    with running(command, log=folder / "log", port=dicom, url=f"{url}/readyz", env=env) as process:
        port = dicom if tls is None else secure
        yield Server(NAME, AE_TITLE, port, f"{url}/dicomweb", process, tls=tls is not None)
