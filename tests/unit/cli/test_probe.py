"""`isocenter probe` shows a token to the web role, and tells who is not let in how to get one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isocenter.cli import probe
from isocenter.core.errors import Invalid, Refused

DICOM = "dicom://ISOCENTER@127.0.0.1:1"


@pytest.fixture
async def shut(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of a web role that lets nobody in, and what it was shown; the store succeeds."""
    shown: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = (line.partition(b": ") for line in head.split(b"\r\n"))
        shown.extend(value for name, _, value in fields if name.lower() == b"authorization")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def sent(*_: object, **__: object) -> int:
        return 0

    monkeypatch.setattr(probe, "send", sent)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dicomweb", shown


async def test_the_token_of_the_file_is_shown(shut, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("iso_1_secret\n")
    with pytest.raises(Refused, match=r"answers 401.*token create NAME") as raised:
        await probe.probe(DICOM, shut[0], seconds=1, token_file=tmp_path / "token")
    assert shut[1] == [b"Bearer iso_1_secret"]
    assert "iso_1" not in str(raised.value)


async def test_without_a_file_nothing_is_shown(shut) -> None:
    with pytest.raises(Refused, match="--token-file"):
        await probe.probe(DICOM, shut[0], seconds=1)
    assert shut[1] == []


async def test_a_file_that_is_not_there_is_told_before_anything_is_stored(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"token cannot be read: .*token create NAME"):
        await probe.probe(DICOM, "http://127.0.0.1:1", seconds=1, token_file=tmp_path / "token")
