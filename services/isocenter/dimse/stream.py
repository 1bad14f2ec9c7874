"""The data set of a message on its way from the socket to a handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self


class DataStream:
    """An async iterator of what has arrived since it was last asked; iterated once.

    `taken` is told how many bytes left the stream, so that the association knows when to read on,
    and `done`, when nobody reads it any more, how many it held in all.
    """

    __slots__ = (
        "_arrived", "_discarding", "_done", "_ended", "_error", "_held", "_taken", "_waiter",
    )  # fmt: skip

    def __init__(self, taken: Callable[[int], None], done: Callable[[int], None]) -> None:
        self._arrived = bytearray()
        self._taken = taken
        self._done = done
        self._held = 0
        self._ended = False
        self._discarding = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the last fragment has arrived."""
        return self._ended

    def feed(self, fragment: memoryview) -> int:
        """Add a fragment (copied: its memory is reused); answers how many bytes are held back."""
        if self._discarding:
            return 0
        self._arrived += fragment
        self._held += len(fragment)
        self._wake()
        return len(fragment)

    def end(self) -> None:
        """The last fragment has arrived."""
        self._ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """The rest will never arrive; nothing happens if nothing was missing."""
        if not self._ended:
            self._error = error
            self._wake()

    def discard(self) -> None:
        """Nobody will read the rest."""
        self._discarding = True
        self._take()
        held, self._held = self._held, 0
        self._done(held)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytearray:
        while not self._arrived:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._take()

    def _take(self) -> bytearray:
        arrived, self._arrived = self._arrived, bytearray()
        self._taken(len(arrived))
        return arrived

    def _wake(self) -> None:
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None
