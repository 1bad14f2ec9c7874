"""Studies that have gone quiet: told once, complete, and their packs merged.

Complete: an object of the study that was never announced is found and announced first, and while
one may still be about to be announced the study is not quiet. What a `StudyQuiet` counts is what
the index then holds; what the changes counted may be older than their place in the log.

The invariant: what is pending is in the log, not in this process. A position is committed only
when every study that was changed before it has settled, or has been told again behind it; so
whoever owns a partition next, after a commit or after none, is given every study that is pending.
What this member holds of a partition that has moved it forgets, for its new owner settles it. A
`StudyQuiet` says which change it settles: one that came later stays pending, wherever the two
stand in the log. A member that ends in between may tell the same twice, never not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from isocenter.core.apis import Storage
from isocenter.core.errors import IsocenterError
from isocenter.core.events import TOPIC_STUDIES, StudyChanged, StudyQuiet
from isocenter.core.ports import Consumer, Delivery, EventBus, Record
from isocenter.indexing.packing import compact_study
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.sweeping import Sweeper, Swept, now_utc
from isocenter.runtime.event_codec import encode
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.retrying import POLL_SECONDS, Retrying, Stopped
from isocenter.runtime.telemetry import OFF, Telemetry

GROUP = "settling"
SETTLES = "settles"  # header of a `StudyQuiet`: offset of the change that it settles

_BATCH = 1000
_COMMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Pending:
    """A study that has changed."""

    changed: StudyChanged
    delivery: Delivery  # the last one that told so
    due: datetime


class Settler:
    """Consumes changes of studies."""

    def __init__(
        self,
        *,
        bus: EventBus,
        storage: Storage,
        sweeper: Sweeper,
        settings: IndexingSettings,
        now: Callable[[], datetime] = now_utc,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._bus = bus
        self._storage = storage
        self._sweeper = sweeper
        self._quiet = timedelta(seconds=settings.quiet_seconds)
        self._now = now
        self._events = EventReader(GROUP, telemetry)
        self._pending: dict[tuple[str, str], _Pending] = {}
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
            await self._settle(consumer)
            await self._commit(consumer)

    async def _take(self, consumer: Consumer, delivery: Delivery) -> None:
        try:
            event = self._events.read(delivery)
        except IsocenterError as error:
            text = str(error)
            await self.retrying(lambda: consumer.dead_letter(delivery, text))
            return
        if isinstance(event, StudyChanged):
            name = (event.partition, event.study)
            known = self._pending.get(name)
            # Told again by `_commit`, it is not a change: the time goes on counting.
            told_again = known is not None and known.changed == event
            due = known.due if known and told_again else delivery.appended_at + self._quiet
            self._pending[name] = _Pending(event, delivery, due)
        elif isinstance(event, StudyQuiet):
            self._settled(event, delivery)

    def _settled(self, quiet: StudyQuiet, delivery: Delivery) -> None:
        name = (quiet.partition, quiet.study)
        known = self._pending.get(name)
        settles = int(delivery.headers.get(SETTLES, delivery.offset))
        if known is not None and known.delivery.offset <= settles:
            del self._pending[name]

    async def _settle(self, consumer: Consumer) -> None:
        for name, pending in list(self._pending.items()):
            if pending.due > self._now():
                continue
            if not consumer.owns(pending.delivery):
                continue
            swept = await self.retrying(partial(self._sweeper.study, *name))
            if swept.waiting:
                self._pending[name] = replace(pending, due=self._now() + self._quiet)
                continue
            await self.retrying(partial(compact_study, self._storage, *name))
            record = _quiet(pending, swept)
            await self.retrying(partial(self._bus.append, TOPIC_STUDIES, [record]))
            del self._pending[name]

    async def _commit(self, consumer: Consumer) -> None:
        self._pending = {
            name: pending
            for name, pending in self._pending.items()
            if consumer.owns(pending.delivery)
        }
        if not self._polled:
            return
        if self._pending:
            if time.monotonic() - self._committed_at < _COMMIT_SECONDS:
                return
            records = [encode(pending.changed) for pending in self._pending.values()]
            await self.retrying(lambda: self._bus.append(TOPIC_STUDIES, records))
        await self.retrying(consumer.commit)
        self._polled = False
        self._committed_at = time.monotonic()


def _quiet(pending: _Pending, swept: Swept) -> Record:
    changed = pending.changed
    series = {name.series for name in swept.held}
    record = encode(StudyQuiet(changed.partition, changed.study, len(series), len(swept.held)))
    return replace(record, headers={**record.headers, SETTLES: str(pending.delivery.offset)})
