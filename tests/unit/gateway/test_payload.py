"""Reading ahead: what is begun, and that nothing begun is left open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from isocenter.core.apis import StoredInstance
from isocenter.core.errors import Corrupted
from isocenter.gateway.payload import READ_AHEAD, Payload, ReadAhead
from support.gateway_fakes import series


class Opened:
    """A storage whose data sets are told apart by the size of their instance."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.open: set[int] = set()

    async def data_set(self, instance: StoredInstance) -> AsyncIterator[bytes]:
        number = instance.size % 100
        self.begun.append(number)
        self.open.add(number)
        try:
            if number == 1:
                raise Corrupted("not what was stored")
            yield bytes([number]) * READ_AHEAD if instance.size > READ_AHEAD else bytes([number])
            yield b"end"
        finally:
            self.open.discard(number)


def _instances(count: int, size: int = 1000) -> list[StoredInstance]:
    (held,) = series(1)
    return [replace(held.stored, size=size + number) for number in range(count)]


async def _settled() -> None:
    """Everything that can go on without us has."""
    for _ in range(20):
        await asyncio.sleep(0)


async def _whole(payload: Payload) -> bytes:
    return b"".join([chunk async for chunk in payload.chunks()])


async def test_a_few_objects_are_begun_and_come_in_their_order():
    storage = Opened()
    ahead = ReadAhead(storage, _instances(8))
    assert await _whole(await ahead.take(0)) == b"\x00end"
    await _settled()
    assert storage.begun == [0, 1, 2, 3]
    assert await _whole(await ahead.take(2)) == b"\x02end"
    await ahead.close()
    assert storage.open == set()


async def test_of_large_objects_only_the_next_one_is_begun():
    storage = Opened()
    ahead = ReadAhead(storage, _instances(8, size=READ_AHEAD // 100 * 100 + 100))
    first = await ahead.take(0)
    await _settled()
    assert storage.begun == [0, 1]
    await first.close()
    await ahead.close()
    assert storage.open == set()


async def test_an_error_comes_with_the_object_that_has_it_and_the_next_one_is_there():
    ahead = ReadAhead(Opened(), _instances(3))
    await ahead.take(0)
    with pytest.raises(Corrupted):
        await ahead.take(1)
    assert await _whole(await ahead.take(2)) == b"\x02end"


async def test_an_object_that_came_in_one_piece_is_sent_in_one_piece():
    async def one() -> AsyncIterator[bytes]:
        yield b"all of it"

    assert (await Payload.begin(one())).data == b"all of it"
