"""The multipart reader, whatever the pieces it is fed with; and the writer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from isocenter.web.multipart import BrokenBody, MultipartReader, MultipartWriter


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def read(body: bytes, boundary: str = "b", size: int = 7) -> list[bytes]:
    reader = MultipartReader(pieces(body, size), boundary)
    return [b"".join([chunk async for chunk in part.body]) async for part in reader.parts()]


CASES = {
    "plain": (b"--b\r\nA: 1\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--", [b"one", b"two"]),
    "preamble and epilogue": (b"hello --b\r\n--b\r\n\r\none\r\n--b--\r\nbye", [b"one"]),
    "lines end in LF": (b"--b\nA: 1\n\none\r\n--b\n\ntwo\n--b--\n", [b"one\r", b"two"]),
    "blanks behind the boundary": (b"--b \t\r\n\r\none\r\n--b  \r\n\r\n\r\n--b--", [b"one", b""]),
    "data that looks like a boundary": (
        b"--b\r\n\r\n--b\r\n--bb\r\n--b-\r\n--b--",
        [b"--b\r\n--bb\r\n--b-"],
    ),
    "data with line ends at the end": (b"--b\r\n\r\none\r\n\r\n--b--", [b"one\r\n"]),
    "no parts": (b"--b--", []),
}


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("case", CASES)
async def test_parts_are_read_whatever_the_pieces(case: str, size: int) -> None:
    body, expected = CASES[case]
    assert await read(body, size=size) == expected


@pytest.mark.parametrize("length", range(len(CASES["plain"][0])))
async def test_a_body_that_ends_early_is_never_taken_for_whole(length: int) -> None:
    with pytest.raises(BrokenBody):
        await read(CASES["plain"][0][:length])


async def test_memory_does_not_grow_with_a_part() -> None:
    async def big() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\n"
        for _ in range(200):
            yield b"\r\n--" * 16_384
        yield b"\r\n--b--"

    reader = MultipartReader(big(), "b")
    total = 0
    async for part in reader.parts():
        async for chunk in part.body:
            assert len(chunk) <= 70_000
            assert len(reader._buffer) <= 70_000
            total += len(chunk)
    assert total == 200 * 65_536


async def test_what_is_not_read_of_a_part_is_skipped() -> None:
    reader = MultipartReader(pieces(CASES["plain"][0], 3), "b")
    headers = [part.headers async for part in reader.parts()]
    assert headers == [{"a": "1"}, {}]


@pytest.mark.parametrize("size", [1, 3, 20, 1000])
async def test_the_rest_of_a_part_that_was_refused_is_skipped(size: int) -> None:
    """Whoever refuses a part closes its body, wherever it is in it."""
    reader = MultipartReader(pieces(CASES["plain"][0], size), "b")
    seen = []
    async for part in reader.parts():
        seen.append(part.headers)
        async for _ in part.body:
            break
        await part.body.aclose()
    assert seen == [{"a": "1"}, {}]


async def test_what_the_writer_writes_the_reader_reads() -> None:
    writer = MultipartWriter("application/dicom")
    boundary = writer.content_type.decode().rpartition("boundary=")[2]
    body = writer.begin("application/dicom", "http://x/y") + b"one" + writer.end
    assert await read(body, boundary) == [b"one"]
    assert MultipartWriter("a/b").content_type != writer.content_type
