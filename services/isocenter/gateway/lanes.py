"""Lanes: in which order the work of AEs is done where there is more of it than can be done at once.

Work takes a place of this process while it is done, never while a peer is waited for. Places are
given by lane; within a lane to one AE after another; within an AE by the priority of the request
(PS3.7 9.1.1.1.4) and then in order. While a lane has work, or had some a moment ago, the lanes
after it keep one place for each kind of work: they go on slowly, and never stop. Without contention
a place costs a few comparisons.

A request without a place takes nothing from its association, whose socket is then not read beyond
the bound of what an association may buffer.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from enum import Enum
from heapq import heappop, heappush
from itertools import count
from typing import Self

from isocenter.core.ports import Buffer
from isocenter.dimse.messages import Request
from isocenter.gateway.limits import Limits
from isocenter.runtime.aes import Lane


class Work(Enum):
    """Kinds of work that do not wait for each other: one may stand still while others go on."""

    STORE = "store"
    READ = "read"


# Objects being stored at once in this process: below its number a lane may begin another one. More
# than those of the last lane gain nothing; those before it find places left.
PLACES: Mapping[Lane, int] = {Lane.EMERGENCY: 32, Lane.ROUTINE: 24, Lane.BULK: 16}
KEPT = 1  # places that a lane has whatever the others do
# Seconds for which a lane counts as having work after its last: longer than a sender takes from
# one object to the next.
LINGER = 0.25
# Seconds after which a place is given back by work that may be waiting for a peer.
HOLD = 0.05

_ABOVE: Mapping[Lane, tuple[Lane, ...]] = {
    lane: tuple(Lane)[:position] for position, lane in enumerate(Lane)
}
# Of Priority (0000,0700): medium, high, low (PS3.7 E.1), as they come.
_RANKS = {0: 1, 1: 0, 2: 2}
_LAST = 2


def rank(priority: int) -> int:
    """When a request comes among others: those of a lower rank first; what is no priority, last."""
    return _RANKS.get(priority, _LAST)


class _Activity:
    """Which lanes have work, of any kind."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open = dict.fromkeys(Lane, 0)  # places that are taken or waited for
        self._until = dict.fromkeys(Lane, 0.0)

    def begin(self, lane: Lane) -> None:
        self._open[lane] += 1

    def end(self, lane: Lane) -> None:
        self._open[lane] -= 1
        self._until[lane] = self._clock() + LINGER

    def above(self, lane: Lane) -> bool:
        """Whether a lane before this one has work, or had some a moment ago."""
        now = self._clock()
        return any(self._open[one] or now < self._until[one] for one in _ABOVE[lane])


class _Queue:
    """Who waits in one lane."""

    def __init__(self) -> None:
        self._numbers = count()
        self._of: dict[str, list[tuple[int, int, asyncio.Future[None]]]] = {}  # whose turn is next

    def __bool__(self) -> bool:
        return bool(self._of)

    def push(self, ae: str, rank: int) -> asyncio.Future[None]:
        """Done when there is a place."""
        waiter = asyncio.get_running_loop().create_future()
        heappush(self._of.setdefault(ae, []), (rank, next(self._numbers), waiter))
        return waiter

    def pop(self) -> asyncio.Future[None] | None:
        """The next one that still waits; its AE is the last one again."""
        while self._of:
            ae = next(iter(self._of))
            waiting = self._of.pop(ae)
            *_, waiter = heappop(waiting)
            if waiting:
                self._of[ae] = waiting
            if not waiter.done():
                return waiter
        return None


class _Gate:
    """The places of one kind of work. Where some wait in a lane, at least one of it works: who
    gives its place back lets the next one in, so there is no timer."""

    def __init__(self, activity: _Activity, places: Mapping[Lane, int] | None) -> None:
        """`places`: None if only lanes that come first are made way for."""
        self._activity = activity
        self._places = places
        self._working = Counter[Lane]()
        self._queues = {lane: _Queue() for lane in Lane}

    async def enter(self, lane: Lane, ae: str, rank: int) -> None:
        """Take a place, as soon as there is one."""
        queue = self._queues[lane]
        self._activity.begin(lane)
        if not queue and self._may_enter(lane):
            self._working[lane] += 1
            return
        waiter = queue.push(ae, rank)
        self._let_in()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._activity.end(lane)
            else:
                self.leave(lane)
            raise

    def leave(self, lane: Lane) -> None:
        """Give a place back."""
        self._activity.end(lane)
        self._working[lane] -= 1
        self._let_in()

    def _let_in(self) -> None:
        for lane, queue in self._queues.items():
            while queue and self._may_enter(lane):
                waiter = queue.pop()
                if waiter is not None:
                    self._working[lane] += 1
                    waiter.set_result(None)

    def _may_enter(self, lane: Lane) -> bool:
        if self._working[lane] < KEPT:
            return True
        if self._places is not None and self._working.total() >= self._places[lane]:
            return False
        return not self._activity.above(lane)


class Turn:
    """The place of one request, or none; as a context manager it is given back at the end."""

    __slots__ = ("_ae", "_gate", "_lane", "_rank", "_taken", "_timer")

    def __init__(self, gate: _Gate, lane: Lane, ae: str, rank: int) -> None:
        self._gate = gate
        self._lane = lane
        self._ae = ae
        self._rank = rank
        self._taken = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    async def take(self) -> None:
        """Wait for a place."""
        await self._gate.enter(self._lane, self._ae, self._rank)
        self._taken = True

    def give_back(self) -> None:
        """Leave the place, if it has one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._taken:
            self._taken = False
            self._gate.leave(self._lane)

    async def step(self) -> None:
        """Wait for a place for the next piece of work. Since a peer may be waited for in it, the
        place is given back after a while though the work is not done."""
        self.give_back()
        await self.take()
        self._timer = asyncio.get_running_loop().call_later(HOLD, self.give_back)

    def chunks(self, data: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
        """What arrives, each part with a place to work on it, which is kept after the last one for
        what makes the object durable."""
        return _Paced(self, data)


class _Paced:
    """The parts of a data set."""

    __slots__ = ("_data", "_turn")

    def __init__(self, turn: Turn, data: AsyncIterator[Buffer]) -> None:
        self._turn = turn
        self._data = data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        self._turn.give_back()
        try:
            part = await anext(self._data)
        except StopAsyncIteration:
            await self._turn.take()
            raise
        await self._turn.take()
        return part


class Lanes:
    """Those of one process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        activity = _Activity(clock)
        self._gates = {
            work: _Gate(activity, PLACES if work is Work.STORE else None) for work in Work
        }

    def turn(self, work: Work, request: Request) -> Turn:
        """For a request, in the lane of who asks."""
        bounds = self._limits.bounds(request.association)
        return Turn(self._gates[work], bounds.lane, bounds.name, rank(request.command.priority))
