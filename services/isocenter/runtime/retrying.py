"""Work of consumers that goes on whatever is down meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from isocenter.core.errors import IsocenterError

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0  # that a consumer waits for events
_FIRST_PAUSE = 0.1


class Stopped(Exception):
    """It was told to stop while it tried in vain; what was not committed is delivered again."""


class Retrying:
    """Tries again until it works; tells meanwhile why it does not."""

    def __init__(self, longest: float, doing: str) -> None:
        self._longest = longest
        self._doing = doing
        self._stop = asyncio.Event()
        self.problem = ""

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Try nothing again from now on."""
        self._stop.set()

    async def __call__(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, tried with growing pauses until `stop`. Raises `Stopped`."""
        pause = _FIRST_PAUSE
        while True:
            try:
                result = await work()
            except IsocenterError as error:
                self.problem = f"{self._doing} is waiting: {error}"
                logger.warning(
                    "work is tried again",
                    extra={"work": self._doing, "error": str(error), "pause_seconds": pause},
                )
            except Exception as error:
                self.problem = f"{self._doing} is waiting: {type(error).__name__}"
                logger.exception(
                    "work failed and is tried again",
                    extra={"work": self._doing, "pause_seconds": pause},
                )
            else:
                self.problem = ""
                return result
            await self.rest(pause)
            if self.stopping:
                raise Stopped
            pause = min(pause * 2, self._longest)

    async def rest(self, seconds: float) -> None:
        """Do nothing for so long, or until `stop`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
