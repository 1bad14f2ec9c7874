"""Our side: `isocenter up` on a scratch data directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.server import HOST, Server, free_ports, running

NAME = "isocenter"
AE_TITLE = "ISOCENTER"
DURABILITY = (
    "object: written past the page cache, fsync; event: SQLite log, WAL, synchronous=FULL; both"
    " before success is answered"
)


@contextmanager
def start(
    folder: Path, destination: tuple[str, int], *, aes: Sequence[Mapping[str, object]] = ()
) -> Iterator[Server]:
    """`destination` is the AE title and port of the C-MOVE destination; `aes` are further ones."""
    folder.mkdir(exist_ok=True)
    dicom, http, grpc = free_ports(3)
    title, port = destination
    known = [{"title": title, "host": HOST, "port": port}, *aes]
    env = {
        "ISOCENTER_GATEWAY__PORT": str(dicom),
        "ISOCENTER_GATEWAY__KNOWN_AES": json.dumps(known),
        "ISOCENTER_WEB__PORT": str(http),
        "ISOCENTER_WEB__GRPC_PORT": str(grpc),
    }
    command = [sys.executable, "-m", "isocenter", "up", "--data", str(folder / "data")]
    url = f"http://{HOST}:{http}"
    with running(command, log=folder / "log", port=dicom, url=f"{url}/readyz", env=env) as process:
        yield Server(NAME, AE_TITLE, dicom, f"{url}/dicomweb", process)
