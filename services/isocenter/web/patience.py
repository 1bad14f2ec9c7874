"""A limit of time on each of many steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self


class Patience:
    """A limit of seconds on each of many steps, as `asyncio.timeout` around each would be, at the
    cost of one: the timer is not set anew for every step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None  # when the present step began
        self._timeout = asyncio.timeout(None)
        self._timer = self._loop.call_later(seconds, self._look)

    async def step(self, what: Awaitable[None]) -> None:
        """Wait for a step. One that takes too long raises `TimeoutError` from the context."""
        self._since = self._loop.time()
        await what
        self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        left = self._seconds if self._since is None else self._since + self._seconds - now
        if left <= 0:
            self._timeout.reschedule(now)
        else:
            self._timer = self._loop.call_later(left, self._look)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)
