"""What was looked up a moment ago, so that it is not looked up for every request."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_HELD = 20_000


class Fresh(Generic[T]):
    """Answers that are good for some seconds, by name. What is not there is not remembered: names
    come from whoever calls."""

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[T | None]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[T | None]] = {}

    async def get(self, name: str) -> T | None:
        """The value of a name, looked up at most `seconds` ago; callers at the same time share a
        look."""
        held = self.held(name)
        if held is not None:
            return held
        looking = self._looking.get(name)
        if looking is None:
            looking = self._looking[name] = asyncio.ensure_future(self._look(name))
        return await asyncio.shield(looking)

    def held(self, name: str) -> T | None:
        """What is known without a look."""
        held = self._held.get(name)
        return held[1] if held is not None and self._clock() < held[0] else None

    def forget(self, name: str) -> None:
        """Look it up the next time."""
        self._held.pop(name, None)

    async def _look(self, name: str) -> T | None:
        began = self._clock()
        try:
            found = await self._look_up(name)
        finally:
            del self._looking[name]
        if found is None:
            self._held.pop(name, None)
            return None
        self._held[name] = began + self._seconds, found
        self._held.move_to_end(name)
        if len(self._held) > _HELD:
            self._held.popitem(last=False)
        return found
