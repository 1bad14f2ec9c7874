"""The periodic sweep of all objects, by one member of a group at a time.

How far it is is in the log, not in this process: the newest `SweepCheckpoint` on the topic of
jobs. Its partition's owner sweeps on from there, appends the next one, and only then commits what
it has read; so the newest one is always delivered to whoever owns the partition next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

from isocenter.core.errors import IsocenterError
from isocenter.core.events import TOPIC_JOBS, SweepCheckpoint
from isocenter.core.identity import OBJECTS
from isocenter.core.ports import Consumer, Delivery, EventBus
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.sweeping import Sweeper, now_utc
from isocenter.runtime.event_codec import encode, type_of
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.retrying import POLL_SECONDS, Retrying, Stopped
from isocenter.runtime.streams import generator
from isocenter.runtime.telemetry import OFF, Telemetry

logger = logging.getLogger(__name__)

GROUP = "sweeping"
_BATCH = 100
_STEP = 5000  # objects between two checkpoints, at least
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class SweepJob:
    """Sweeps every so many hours."""

    def __init__(
        self,
        *,
        bus: EventBus,
        sweeper: Sweeper,
        settings: IndexingSettings,
        now: Callable[[], datetime] = now_utc,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._bus = bus
        self._sweeper = sweeper
        self._every = timedelta(hours=settings.sweep_hours)
        self._now = now
        self._events = EventReader(GROUP, telemetry)
        self._held: tuple[Delivery, SweepCheckpoint] | None = None
        self.retrying = Retrying(settings.retry_seconds, "the sweep for orphans")

    async def run(self) -> None:
        """Sweep until `stop`."""
        with suppress(Stopped):
            await self.retrying(self._begin)
            consumer = await self.retrying(lambda: self._bus.consumer(GROUP, [TOPIC_JOBS]))
            try:
                while not self.retrying.stopping:
                    await self.step(consumer)
            finally:
                await consumer.close()

    def stop(self) -> None:
        """End after the step in hand, unless it is being tried again."""
        self.retrying.stop()

    async def step(self, consumer: Consumer) -> None:
        """Take in checkpoints; sweep a part if it is due and this member's to do."""
        for delivery in await self.retrying(lambda: consumer.poll(_BATCH, POLL_SECONDS)):
            await self._take(consumer, delivery)
        if self._held is None:
            return
        delivery, last = self._held
        if not consumer.owns(delivery):
            self._held = None
            return
        if last.done and self._now() < last.started_at + self._every:
            return
        if await self.retrying(self._sweeper.behind):
            return  # what is missing in the index now is no orphan
        reached = await self.retrying(lambda: self._sweep(last))
        await self.retrying(lambda: self._bus.append(TOPIC_JOBS, [encode(reached)]))
        self._held = None  # it is what was appended, once it is delivered
        await self.retrying(consumer.commit)

    async def _begin(self) -> None:
        """In a log without any checkpoint, a first one tells who sweeps."""
        async with aclosing(generator(self._bus.replay(TOPIC_JOBS))) as deliveries:
            async for delivery in deliveries:
                if delivery.type == type_of(SweepCheckpoint):
                    return
        first = SweepCheckpoint(key="", started_at=_NEVER, done=True)
        await self._bus.append(TOPIC_JOBS, [encode(first)])

    async def _take(self, consumer: Consumer, delivery: Delivery) -> None:
        try:
            event = self._events.read(delivery)
        except IsocenterError as error:
            text = str(error)
            await self.retrying(lambda: consumer.dead_letter(delivery, text))
            return
        if isinstance(event, SweepCheckpoint):
            held = self._held
            behind = held is not None and _progress(event) < _progress(held[1])
            if held is None or not behind or not consumer.owns(held[0]):
                self._held = delivery, event

    async def _sweep(self, last: SweepCheckpoint) -> SweepCheckpoint:
        """Sweep on from a checkpoint; how far that went."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        started_at = self._now() if last.done else last.started_at
        objects = 0
        async with aclosing(self._sweeper.below(OBJECTS, "" if last.done else last.key)) as parts:
            async for swept in parts:
                objects += swept.objects
                if objects >= _STEP:
                    # As long a rest as the work took: others want to read and write too.
                    await asyncio.sleep(clock() - begun)
                    return SweepCheckpoint(swept.last, started_at, done=False)
        logger.info("all objects were compared with the index")
        return SweepCheckpoint("", started_at, done=True)


def _progress(checkpoint: SweepCheckpoint) -> tuple[datetime, bool, str]:
    """The order of checkpoints, whatever their order in the log."""
    return checkpoint.started_at, checkpoint.done, checkpoint.key
