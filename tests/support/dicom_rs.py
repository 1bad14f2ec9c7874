"""The tools of dicom-rs, a DICOM stack of others in Rust; `infra/setup/dicom-rs.sh` builds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.live_gateway import Outcome, run, wait_for
from support.ports import free_ports

_BIN = Path(__file__).parents[2] / ".cache/dicom-rs/bin"

BUILT = pytest.mark.skipif(
    not _BIN.is_dir(),
    reason="dicom-rs is not built: install Rust (https://rustup.rs), then infra/setup/dicom-rs.sh",
)


async def dicom_rs(name: str, *arguments: object) -> Outcome:
    """Run one of the tools to its end: `echoscu`, `storescu`, `findscu`."""
    return await run(_BIN / f"dicom-{name}", *arguments)


@asynccontextmanager
async def storescp(folder: Path, *options: str, port: int = 0) -> AsyncIterator[int]:
    """The storage SCP, writing into a folder; its port."""
    port = port or free_ports(1)[0]
    process = await asyncio.create_subprocess_exec(
        _BIN / "dicom-storescp", "-p", str(port), "-o", str(folder), *options,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wait_for(lambda: dicom_rs("echoscu", f"127.0.0.1:{port}"))
        yield port
    finally:
        process.kill()
        await process.wait()
