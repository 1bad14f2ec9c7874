"""haproxy before DICOM ports, as hospitals run it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from support.ports import free_ports

ADDRESS = "127.0.0.9"  # where its connections come from

_CONFIGURATION = """
global
    stats socket {socket}
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend dicom
    bind 127.0.0.1:{port}
    {rules}
    default_backend gateways
backend gateways
    {checks}
    {servers}
"""


class Balancer:
    """One that runs."""

    def __init__(self, port: int, socket: Path) -> None:
        self.port = port
        self._socket = socket

    async def check(self) -> dict[str, str]:
        """What it tells of the (first) gateway behind it: `status`, `check_status` ..."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(b"show stat gateways 4 -1\n")
        head, row = (await reader.read()).decode().split("\n")[:2]
        writer.close()
        return dict(zip(head.removeprefix("# ").split(","), row.split(","), strict=True))


@asynccontextmanager
async def haproxy(
    folder: Path,
    gateways: int | Sequence[int],
    options: str,
    *,
    rules: str = "",
    checks: str = "",
) -> AsyncIterator[Balancer]:
    """haproxy that passes on to the port of a gateway, or those of several in turn. `options` of
    each server, `rules` of the frontend and `checks` of the backend are in haproxy's words."""
    path = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/usr/local/sbin:/usr/local/bin")
    assert path, "haproxy is missing: install the Debian package haproxy"
    [port] = free_ports(1)
    ports = [gateways] if isinstance(gateways, int) else gateways
    servers = [
        f"server gateway{number} 127.0.0.1:{gateway} source {ADDRESS} {options}"
        for number, gateway in enumerate(ports, 1)
    ]
    socket, configuration = folder / "haproxy.sock", folder / "haproxy.cfg"
    configuration.write_text(
        _CONFIGURATION.format(
            socket=socket,
            port=port,
            rules=rules,
            checks=checks,
            servers="\n    ".join(servers),
        )
    )
    process = await asyncio.create_subprocess_exec(
        path, "-db", "-f", configuration,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    balancer = Balancer(port, socket)
    try:
        await _answers(process, balancer)
        yield balancer
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _answers(process: asyncio.subprocess.Process, balancer: Balancer) -> None:
    async with asyncio.timeout(20):
        while True:
            if process.returncode is not None:
                output, _ = await process.communicate()
                raise AssertionError(f"haproxy ended: {output.decode()}")
            try:
                await balancer.check()
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return
