"""The chunks of an answer: got while others are sent, held back until something is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from isocenter.core.errors import Corrupted, Unavailable
from isocenter.web.chunks import held_back, read_ahead


class Source:
    """Numbered chunks, with an error at the end if told so."""

    def __init__(self, count: int, *, fails: bool = False) -> None:
        self.given = 0
        self.closed = False
        self._count = count
        self._fails = fails

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(self._count):
                self.given += 1
                yield b"%d" % number
            if self._fails:
                raise Corrupted("the last chunk is not what was kept")
        finally:
            self.closed = True


async def settle() -> None:
    """Everything that is ready to run has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_chunks_are_read_ahead_in_order_and_in_bounds() -> None:
    source = Source(10)
    ahead = read_ahead(source.chunks(), 3)
    received = [await anext(ahead)]
    await settle()
    assert source.given == 1 + 3 + 1  # received, waiting, and one that finds no room
    received += [chunk async for chunk in ahead]
    assert received == [b"%d" % number for number in range(10)]
    assert source.closed


async def test_an_error_of_what_is_read_ahead_comes_in_its_place() -> None:
    ahead = read_ahead(Source(2, fails=True).chunks(), 4)
    assert [await anext(ahead), await anext(ahead)] == [b"0", b"1"]
    with pytest.raises(Corrupted):
        await anext(ahead)


async def test_leaving_early_closes_what_is_read_ahead() -> None:
    source = Source(10)
    ahead = read_ahead(source.chunks(), 2)
    await anext(ahead)
    await ahead.aclose()
    assert source.closed


async def test_the_first_chunk_is_got_but_held_back_until_all_may_go() -> None:
    source, allowed = Source(2), asyncio.Event()

    async def wait() -> None:
        await allowed.wait()

    chunks = held_back(source.chunks(), asyncio.create_task(wait()))
    first = asyncio.create_task(anext(chunks))  # type: ignore[arg-type]
    await settle()
    assert source.given == 1
    assert not first.done()
    allowed.set()
    assert await first == b"0"
    assert [chunk async for chunk in chunks] == [b"1"]


async def test_no_chunk_goes_out_where_what_it_waits_for_fails() -> None:
    source = Source(2)

    async def fail() -> None:
        raise Unavailable("the log is down")

    chunks = held_back(source.chunks(), asyncio.create_task(fail()))
    with pytest.raises(Unavailable):
        await anext(chunks)
    assert source.closed
