"""Facts that must be in the log before anybody is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from isocenter.core.errors import Unavailable
from isocenter.core.events import TOPIC_INSTANCES
from isocenter.core.ports import EventBus, Record
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.outbox import Outbox

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between tries to reach the log


class Announcer:
    """Appends events of instances."""

    def __init__(self, bus: EventBus, outbox: Outbox, settings: IngestSettings) -> None:
        self._bus = bus
        self._outbox = outbox
        self._settings = settings

    async def until_durable(self, records: Sequence[Record]) -> None:
        """Append events. While the log does not answer, try again for a bounded time, or leave
        them in the outbox if the settings say so."""
        if self._settings.outbox:
            for record in records:
                await self._outbox.append_in_order(TOPIC_INSTANCES, record)
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.announce_seconds
        pause = _FIRST_PAUSE
        why = f"no answer within {self._settings.announce_seconds} s"
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._bus.append(TOPIC_INSTANCES, records)
            except (Unavailable, TimeoutError) as error:
                if isinstance(error, Unavailable):
                    why = str(error)
                if clock() + pause > deadline:
                    logger.warning("events cannot be announced", extra={"error": why})
                    raise Unavailable(
                        "the log does not answer, so this is not announced", fix="try again later"
                    ) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return
