"""A client that goes away in the middle of an answer leaves no task and no open iterator behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from support.web_fakes import INSTANCE, JPEG_LS, STUDY, Web

BIG = 32 * 1024 * 1024


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (INSTANCE, "application/dicom"),
        (INSTANCE, 'application/dicom; transfer-syntax="1.2.840.10008.1.2.1"'),
        (f"/dicomweb/studies/{STUDY}", "*/*"),
        (f"/dicomweb/studies/{STUDY}", "application/zip"),
    ],
)
@pytest.mark.parametrize("stored", ["1.2.840.10008.1.2.1", JPEG_LS])
@pytest.mark.parametrize("reset", [True, False])
async def test_a_client_that_vanishes_leaves_no_task(
    path: str, accept: str, stored: str, *, reset: bool
) -> None:
    web = Web()
    web.storage.keep(syntax=stored, data=bytes(BIG))
    async with web.listening() as (role, _):
        before = asyncio.all_tasks()
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
        assert (await reader.readexactly(12)) == b"HTTP/1.1 200"
        assert len(await reader.readexactly(65_536)) == 65_536
        assert not web.storage.closed
        if reset:
            writer.transport.abort()
        else:
            writer.close()
        await _until(lambda: web.storage.closed == 1)
        await _until(lambda: asyncio.all_tasks() <= before)
    assert web.storage.sent * web.storage.chunk < BIG
