"""A gateway that listens, and the unchanged clients that call it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE

from isocenter.gateway.role import GatewayRole, build
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.telemetry import OFF, Telemetry
from support.gateway_fakes import FakeEnv

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY_1 = ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]


@dataclass
class Live:
    """A gateway that listens."""

    env: FakeEnv
    role: GatewayRole

    @property
    def port(self) -> int:
        return self.role.port

    @property
    def tls_port(self) -> int:
        return self.env.section(GatewaySettings).tls_port


@asynccontextmanager
async def live(held=None, *, telemetry: Telemetry = OFF, **settings) -> AsyncIterator[Live]:
    """One with these settings over fakes, where whoever calls from this machine is trusted."""
    env = FakeEnv(GatewaySettings(**{"port": 0, **settings}), list(held or ()), telemetry)
    async with live_in(env) as gateway:
        yield gateway


@asynccontextmanager
async def live_in(env: FakeEnv) -> AsyncIterator[Live]:
    """One in these surroundings."""
    role = await build(env)
    await role.start()
    try:
        yield Live(env, role)
    finally:
        await role.drain()
        await role.stop()


@dataclass(frozen=True)
class Outcome:
    code: int
    text: str


async def dcmtk(name: str, *arguments: object) -> Outcome:
    """Run one of dcmtk's tools to its end."""
    path = shutil.which(name)
    assert path, f"{name} is missing: install the Debian package dcmtk"
    return await run(path, *arguments)


async def run(*command: object) -> Outcome:
    """Run a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, output.decode(errors="replace"))


def at(gateway: Live, called: str = "ISOCENTER") -> tuple[object, ...]:
    return "-aet", "TESTER", "-aec", called, "127.0.0.1", gateway.port


async def in_thread(work: Callable[[], object]) -> object:
    """Run pynetdicom, which blocks, beside the gateway's event loop."""
    return await asyncio.wait_for(asyncio.to_thread(work), 30)


@asynccontextmanager
async def storescp(folder: Path, *arguments: str) -> AsyncIterator[int]:
    """dcmtk's storage SCP writing into a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = shutil.which("storescp")
    assert path, "storescp is missing: install the Debian package dcmtk"
    process = await asyncio.create_subprocess_exec(
        path, "-od", str(folder), *arguments, str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wait_for(lambda: _reached(port))
        yield port
    finally:
        process.kill()
        await process.wait()


async def _reached(port: int) -> Outcome:
    """A server that refuses every association is there, too."""
    outcome = await dcmtk("echoscu", "127.0.0.1", port)
    return outcome if "Connection refused" in outcome.text else Outcome(0, outcome.text)


async def wait_for(attempt: Callable[[], Awaitable[Outcome]]) -> None:
    async with asyncio.timeout(20):
        while (await attempt()).code:
            await asyncio.sleep(0.05)


def instances(folder: Path) -> list[str]:
    return sorted(str(dcmread(path).SOPInstanceUID) for path in folder.iterdir())


def associate(gateway: Live, *contexts: tuple[str, list[str]], handlers=(), roles=()):
    ae = AE("TESTER")
    for abstract_syntax, syntaxes in contexts:
        ae.add_requested_context(abstract_syntax, syntaxes)
    association = ae.associate(
        "127.0.0.1",
        gateway.port,
        ae_title="ISOCENTER",
        evt_handlers=list(handlers),
        ext_neg=list(roles),
    )
    assert association.is_established
    return association
