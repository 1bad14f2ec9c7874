"""Whose turn it is among the C-MOVEs towards one destination."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.gateway.destinations import Destinations, Queue
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.instruments import MOVES_ACTIVE, MOVES_WAITING
from support.telemetry import Recorder

MEDIUM, HIGH, LOW = 0, 1, 2


class Moves:
    """C-MOVEs that are under way until they are let go."""

    def __init__(self, queue: Queue, limit: int) -> None:
        self._queue, self._limit = queue, limit
        self.began: list[str] = []
        self._end = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def add(self, name: str, priority: int = MEDIUM) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._move(name, priority))
        await asyncio.sleep(0)

    async def _move(self, name: str, priority: int) -> None:
        async with self._queue.turn(self._limit, priority):
            self.began.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.tasks[name]
        await asyncio.sleep(0)


async def test_so_many_are_under_way_and_the_others_come_by_priority_then_arrival():
    queue = Queue()
    moves = Moves(queue, 2)
    for name, priority in [
        ("a", LOW), ("b", LOW), ("low", LOW), ("first", MEDIUM), ("second", MEDIUM), ("high", HIGH),
    ]:  # fmt: skip
        await moves.add(name, priority)
    assert (moves.began, queue.active, queue.waiting) == (["a", "b"], 2, 4)
    for name in ("a", "b", "high", "first", "second", "low"):
        await moves.end(name)
    assert moves.began == ["a", "b", "high", "first", "second", "low"]
    assert (queue.active, queue.waiting) == (0, 0)


async def test_a_priority_that_the_standard_does_not_have_counts_as_the_lowest():
    moves = Moves(Queue(), 1)
    for name, priority in [("a", 0), ("odd", 77), ("low", LOW), ("medium", MEDIUM)]:
        await moves.add(name, priority)
    for name in ("a", "medium", "odd", "low"):
        await moves.end(name)
    assert moves.began == ["a", "medium", "odd", "low"]


async def test_one_that_is_cancelled_while_it_waits_leaves_no_gap():
    queue = Queue()
    moves = Moves(queue, 1)
    for name in ("a", "b", "c"):
        await moves.add(name)
    await moves.cancel("b")
    assert queue.waiting == 1
    await moves.cancel("a")
    assert moves.began == ["a", "c"]
    await moves.end("c")
    assert (queue.active, queue.waiting) == (0, 0)


async def test_one_that_is_cancelled_as_its_turn_comes_gives_it_to_the_next():
    queue = Queue()
    moves = Moves(queue, 1)
    for name in ("a", "b", "c"):
        await moves.add(name)
    moves.tasks["a"].cancel()
    await asyncio.wait([moves.tasks["a"]])  # the turn is b's now, which does not run yet
    moves.tasks["b"].cancel()
    await asyncio.wait([moves.tasks["b"]])
    await asyncio.sleep(0)
    assert moves.began[-1] == "c"
    await moves.end("c")
    assert (queue.active, queue.waiting) == (0, 0)


async def test_a_limit_that_is_raised_lets_those_in_that_wait():
    queue = Queue()
    moves = Moves(queue, 1)
    for name in ("a", "b"):
        await moves.add(name)
    wider = Moves(queue, 3)
    await wider.add("c")
    await asyncio.sleep(0)
    assert (moves.began, wider.began, queue.active) == (["a", "b"], ["c"], 3)


async def test_destinations_do_not_share_a_queue_and_tell_how_many_there_are():
    recorder = Recorder()
    destinations = Destinations(recorder.telemetry)
    one, other = (KnownAE(title=title, host="192.0.2.1", port=104) for title in ("ONE", "OTHER"))
    assert destinations.queue(one) is destinations.queue(one) is not destinations.queue(other)
    moves = Moves(destinations.queue(one), 1)
    for name in ("a", "b", "c"):
        await moves.add(name)
    assert recorder.values(MOVES_ACTIVE) == {("ONE",): 1, ("OTHER",): 0}
    assert recorder.values(MOVES_WAITING) == {("ONE",): 2, ("OTHER",): 0}
    for name in ("a", "b", "c"):
        await moves.end(name)
