"""The C-MOVEs towards each destination: so many are under way at once, the others wait for their
turn, whatever goes on towards another destination."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from heapq import heapify, heappop, heappush
from itertools import count

from isocenter.gateway.lanes import rank
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.instruments import MOVES_ACTIVE, MOVES_WAITING
from isocenter.runtime.telemetry import OFF, Labels, Telemetry


class Queue:
    """Of one destination. Order is that of priority, then of arrival."""

    def __init__(self) -> None:
        self.active = 0
        self._limit = 1
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap
        self._arrivals = count()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self, limit: int, priority: int) -> AsyncIterator[None]:
        """The time in which a C-MOVE is one of at most `limit` that are under way."""
        self._limit = limit
        await self._enter(priority)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (rank(priority), next(self._arrivals), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = [entry for entry in self._waiting if entry[2] is not turn]
                heapify(self._waiting)
            else:  # its turn had come at the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        self.active -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.active < self._limit:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                self.active += 1
                turn.set_result(None)


class Destinations:
    """The queues of this process, by AE title."""

    def __init__(self, telemetry: Telemetry = OFF) -> None:
        self._queues: dict[str, Queue] = {}
        self._telemetry = telemetry
        telemetry.observe(MOVES_WAITING, lambda: self._observed(lambda queue: queue.waiting))
        telemetry.observe(MOVES_ACTIVE, lambda: self._observed(lambda queue: queue.active))

    def queue(self, destination: KnownAE) -> Queue:
        """That of a destination."""
        return self._queues.setdefault(destination.title, Queue())

    def _observed(self, number: Callable[[Queue], int]) -> Iterator[tuple[float, Labels]]:
        for title, queue in list(self._queues.items()):
            yield number(queue), {"ae": self._telemetry.ae(title)}
