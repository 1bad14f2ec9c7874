"""Studies that have gone quiet: told once, and their packs merged.

What is still pending is in the log, not in this process: the position is committed only when
every study before it has settled or has been told again behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from isocenter.core.apis import Storage
from isocenter.core.errors import IsocenterError
from isocenter.core.events import TOPIC_STUDIES, StudyChanged, StudyQuiet
from isocenter.core.ports import Consumer, Delivery, EventBus
from isocenter.indexing.consuming import POLL_SECONDS, Retrying, Stopped
from isocenter.indexing.packing import compact_study
from isocenter.indexing.settings import IndexingSettings
from isocenter.runtime.event_codec import decode, encode

GROUP = "settling"
_BATCH = 1000
_COMMIT_SECONDS = 60.0


def _now() -> datetime:
    return datetime.now(UTC)


class Settler:
    """Consumes changes of studies."""

    def __init__(
        self,
        *,
        bus: EventBus,
        storage: Storage,
        settings: IndexingSettings,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._bus = bus
        self._storage = storage
        self._quiet = timedelta(seconds=settings.quiet_seconds)
        self._now = now
        self._pending: dict[tuple[str, str], tuple[datetime, StudyChanged]] = {}
        self._polled = False  # something since the last commit
        self._committed_at = time.monotonic()
        self.retrying = Retrying(settings.retry_seconds, "settling of studies")

    async def run(self) -> None:
        """Settle until `stop`."""
        with suppress(Stopped):
            consumer = await self.retrying(lambda: self._bus.consumer(GROUP, [TOPIC_STUDIES]))
            try:
                while not self.retrying.stopping:
                    await self.step(consumer)
            finally:
                await consumer.close()

    def stop(self) -> None:
        """End after the step in hand, unless it is being tried again."""
        self.retrying.stop()

    async def step(self, consumer: Consumer) -> None:
        """Take in what has changed, and settle what is due once all of it is known."""
        wait = min(POLL_SECONDS, self._quiet.total_seconds())
        deliveries = await self.retrying(lambda: consumer.poll(_BATCH, wait))
        self._polled |= bool(deliveries)
        for delivery in deliveries:
            await self._take(consumer, delivery)
        if len(deliveries) < _BATCH:
            await self._settle()
            await self._commit(consumer)

    async def _take(self, consumer: Consumer, delivery: Delivery) -> None:
        try:
            event = decode(delivery)
        except IsocenterError as error:
            text = str(error)
            await self.retrying(lambda: consumer.dead_letter(delivery, text))
            return
        if isinstance(event, StudyChanged):
            name = (event.partition, event.study)
            at, known = self._pending.get(name, (delivery.appended_at, event))
            # Told again by `_commit`, it is not a change: the time goes on counting.
            self._pending[name] = (at if known == event else delivery.appended_at, event)
        elif isinstance(event, StudyQuiet):
            self._pending.pop((event.partition, event.study), None)

    async def _settle(self) -> None:
        due = self._now() - self._quiet
        for name, (at, changed) in list(self._pending.items()):
            if at > due:
                continue
            await self.retrying(partial(compact_study, self._storage, *name))
            quiet = StudyQuiet(*name, changed.series_count, changed.instance_count)
            await self.retrying(partial(self._bus.append, TOPIC_STUDIES, [encode(quiet)]))
            del self._pending[name]

    async def _commit(self, consumer: Consumer) -> None:
        if not self._polled:
            return
        if self._pending:
            if time.monotonic() - self._committed_at < _COMMIT_SECONDS:
                return
            records = [encode(changed) for _, changed in self._pending.values()]
            await self.retrying(lambda: self._bus.append(TOPIC_STUDIES, records))
        await self.retrying(consumer.commit)
        self._polled = False
        self._committed_at = time.monotonic()
