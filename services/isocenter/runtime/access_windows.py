"""Accesses of which many follow each other (frames of a series, a list of studies that is asked for
again and again), as few records without losing one.

The first of what agrees (`Access`) in a window of a minute has a record of its own, durable before
it is answered. Further ones are counted, in memory and in a file that survives the process
(`access_journal`), and recorded with their number when the window ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.runtime.access_journal import Access, Journal, leftovers

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60.0
_MOST = 10_000  # windows at a time; what is beyond them has a record each

# Makes the record of so many accesses durable, under an id.
Recorder = Callable[[Access, int, str], Awaitable[None]]


@dataclass(slots=True)
class _Window:
    """Accesses after the first one, which has a record of its own."""

    ends_at: float  # of the event loop's clock
    settled: asyncio.Future[None]  # the first record is durable, or there is no window any more
    record: str  # id of the record of what is counted
    count: int = 0


class AccessWindows:
    """The windows of one process."""

    def __init__(
        self,
        recorder: Recorder,
        new_id: Callable[[], str],
        *,
        folder: Path | None,
        seconds: float = WINDOW_SECONDS,
    ) -> None:
        """`folder`: where the counts are kept; None: in memory alone."""
        self._recorder = recorder
        self._new_id = new_id
        self._folder = folder
        self._journal = Journal(folder) if folder else None
        self._seconds = seconds
        self._windows: dict[Access, _Window] = {}
        self._ending: deque[tuple[Access, _Window]] = deque()  # whose record is not durable yet
        self._flusher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Record, in the background, what processes that were killed had counted."""
        if self._flusher is None:
            # It outlives the access that starts it, and is no part of its trace.
            loop = asyncio.get_running_loop()
            self._flusher = loop.create_task(self._flush_for_ever(), context=Context())

    async def accessed(self, access: Access, count: int) -> None:
        """Durable, or counted, on return."""
        while (window := self._windows.get(access)) is not None:
            if window.settled.done():
                if not self._count(access, window, count):
                    await self._recorder(access, count, self._new_id())
                return
            # One that goes away must not wake the others who wait for the first record.
            await asyncio.shield(window.settled)
        if len(self._windows) < _MOST:
            await self._first(access, count)
        else:
            await self._recorder(access, count, self._new_id())

    async def _first(self, access: Access, count: int) -> None:
        """Without its first record there is no window: the next access tries again."""
        self.start()
        loop = asyncio.get_running_loop()
        window = _Window(loop.time() + self._seconds, loop.create_future(), self._new_id())
        self._windows[access] = window
        try:
            await self._recorder(access, count, self._new_id())
        except BaseException:
            if self._windows.get(access) is window:
                del self._windows[access]
            raise
        finally:
            window.settled.set_result(None)

    def _count(self, access: Access, window: _Window, count: int) -> bool:
        """Whether an access is counted now, so that it is recorded whatever happens."""
        if not self._told(lambda journal: journal.counted(window.record, access, count)):
            return False
        window.count += count
        return True

    def _over(self, window: _Window) -> None:
        self._told(lambda journal: journal.ended(window.record))

    def _told(self, tell: Callable[[Journal], None]) -> bool:
        """Whether the journal, if there is one, has taken something."""
        if self._journal is None:
            return True
        try:
            tell(self._journal)
        except Unavailable as error:
            logger.warning("each access has a record of its own", extra={"error": str(error)})
            return False
        return True

    async def _flush_for_ever(self) -> None:
        recovered = False
        while True:
            try:
                if not recovered:
                    await self._recover()
                    recovered = True
                await self._end_old()
            except IsocenterError as error:
                logger.warning("audit records wait for the log", extra={"error": str(error)})
            await asyncio.sleep(self._seconds / 10)

    async def _recover(self) -> None:
        for left in leftovers(self._folder) if self._folder else ():
            try:
                for one in left.counts:
                    await self._recorder(one.access, one.count, one.record)
            except BaseException:
                left.leave()
                raise
            left.forget()

    async def _end_old(self) -> None:
        now = asyncio.get_running_loop().time()
        # They stand in the order of their beginning.
        await self._end(list(takewhile(lambda one: one[1].ends_at <= now, self._windows.items())))

    async def _end(self, ended: list[tuple[Access, _Window]]) -> None:
        """Record what windows counted; what is accessed from now on is in the next ones. Counts
        stay if that fails."""
        for access, _ in ended:
            del self._windows[access]
        self._ending += ended
        while self._ending:
            access, window = self._ending[0]
            if window.count:
                await self._recorder(access, window.count, window.record)
            self._ending.popleft()
            self._over(window)

    async def close(self) -> None:
        """Record what is counted so far. Raises `Unavailable` if that cannot be made durable."""
        if self._flusher is not None:
            self._flusher.cancel()
            with suppress(asyncio.CancelledError):
                await self._flusher
            self._flusher = None
        for window in list(self._windows.values()):
            await asyncio.shield(window.settled)
        await self._end(list(self._windows.items()))
        if self._journal is not None:
            self._journal.close()
