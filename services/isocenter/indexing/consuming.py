"""The indexing group's member: from the log to the index, whatever is down meanwhile.

Ownership: partitions move between members at any time. What this one holds of a partition that has
moved is dropped right before it is applied, for the new owner is given it again; what it applies
in the moment of the move is applied twice, which changes nothing (`StudyIndex`). A position is
committed only behind events that are in the index and whose studies are told as changed, so a
member that ends anywhere before leaves both to the next one.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from isocenter.core.apis import Storage
from isocenter.core.errors import IsocenterError, what_of
from isocenter.core.events import (
    TOPIC_INSTANCES,
    TOPIC_STUDIES,
    AuditAction,
    Event,
    InstanceConflict,
    StudyChanged,
)
from isocenter.core.ports import Consumer, Delivery, EventBus, Record, StudyIndex
from isocenter.indexing.applying import Applier, Outcome
from isocenter.indexing.packing import SeriesName, compact
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.tracing import BatchTracing
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import encode
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.retrying import POLL_SECONDS, Retrying, Stopped
from isocenter.runtime.telemetry import OFF, Telemetry

logger = logging.getLogger(__name__)

_LULL = 0.01  # seconds without an event that end the waiting for more
# After a batch, what comes is gathered for so many times as long as the batch took: it is one
# batch, which costs an index about as much as one event. A lull of a part of that ends it, or the
# last instances of a study would wait for nothing. Behind a full batch there may be a backlog,
# which does not wait.
_GATHERING = 4
_LONGEST_GATHERING = 1.0
_COUNTED_SERIES = 10_000


class Indexer:
    """Consumes stored and deleted instances."""

    def __init__(
        self,
        *,
        bus: EventBus,
        index: StudyIndex,
        storage: Storage,
        audit_log: AuditLog,
        settings: IndexingSettings,
        fill: Callable[[], Awaitable[None]],
        telemetry: Telemetry = OFF,
    ) -> None:
        """`fill` makes the index of this version, where another one's is in use."""
        self._bus = bus
        self._storage = storage
        self._audit_log = audit_log
        self._settings = settings
        self._applier = Applier(index=index, storage=storage, announce=self._announce)
        self._segments: OrderedDict[SeriesName, int] = OrderedDict()
        self._tracing = BatchTracing(telemetry)
        self._feed = index.feed
        self._fill = fill
        self._events = EventReader(self._feed, telemetry)
        self.retrying = Retrying(settings.retry_seconds, "indexing")
        self._ended = self._took = 0.0  # the last batch: when, and how many seconds

    async def run(self) -> None:
        """Index until `stop`."""
        with suppress(Stopped):
            await self.retrying(self._fill)
            consumer = await self.retrying(
                lambda: self._bus.consumer(self._feed, [TOPIC_INSTANCES])
            )
            try:
                while not self.retrying.stopping:
                    deliveries = await self.retrying(lambda: self._poll(consumer))
                    if deliveries:
                        began = time.monotonic()
                        await self._index(consumer, deliveries)
                        self._ended = time.monotonic()
                        full = len(deliveries) >= self._settings.batch_size
                        self._took = 0.0 if full else self._ended - began
            finally:
                await consumer.close()

    def stop(self) -> None:
        """End after the batch in hand, unless it is being tried again."""
        self.retrying.stop()

    async def _poll(self, consumer: Consumer) -> Sequence[Delivery]:
        """The next batch. A few at a time would make many small packs and transactions, so a
        small one waits for more, but not once nothing more comes."""
        size = self._settings.batch_size
        deliveries = list(await consumer.poll(size, POLL_SECONDS))
        now = time.monotonic()
        busy_until = self._ended + min(_GATHERING * self._took, _LONGEST_GATHERING)
        lull = max(_LULL, self._took / _GATHERING) if now < busy_until else _LULL
        deadline = max(now + self._settings.linger_seconds, busy_until)
        more = len(deliveries)
        while more and len(deliveries) < size and (left := deadline - time.monotonic()) > 0:
            await self.retrying.rest(min(lull, left))
            try:
                late = await consumer.poll(size - len(deliveries), 0)
            except Exception:  # noqa: BLE001 - the next poll meets it; what is here is not lost
                break
            deliveries += late
            more = len(late)
        return deliveries

    async def _index(self, consumer: Consumer, deliveries: Sequence[Delivery]) -> None:
        read: list[tuple[Delivery, Event]] = []
        dead: list[tuple[Delivery, Exception]] = []
        for delivery in deliveries:
            try:
                event = self._events.read(delivery)
            except IsocenterError as error:
                dead.append((delivery, error))
                continue
            if event is not None:
                read.append((delivery, event))
        mine, outcome = await self.retrying(lambda: self._apply(consumer, read))
        dead += [(mine[place], cause) for place, cause in sorted(outcome.errors.items())]
        for delivery, cause in dead:
            if consumer.owns(delivery):
                await self._bury(consumer, delivery, cause)
        await self.retrying(lambda: self._tell(outcome))
        await self.retrying(consumer.commit)
        await self._compact(outcome)

    async def _apply(
        self, consumer: Consumer, read: Sequence[tuple[Delivery, Event]]
    ) -> tuple[Sequence[Delivery], Outcome]:
        """One try, with what is this member's by then: an index may be down for long."""
        mine = [(delivery, event) for delivery, event in read if consumer.owns(delivery)]
        deliveries = [delivery for delivery, _ in mine]
        with self._tracing.applying(deliveries) as traces:
            outcome = await self._applier.apply([event for _, event in mine], traces)
        return deliveries, outcome

    async def _bury(self, consumer: Consumer, delivery: Delivery, error: Exception) -> None:
        logger.error(
            "an event cannot be indexed and goes to the dead letters",
            extra={"topic": delivery.topic, "offset": delivery.offset, "error": str(error)},
        )
        text = what_of(error)
        await self.retrying(lambda: consumer.dead_letter(delivery, text))

    async def _tell(self, outcome: Outcome) -> None:
        records: list[Record] = [
            encode(StudyChanged(count.partition, count.study, count.series, count.instances))
            for count in outcome.counts.values()
        ]
        if records:
            await self._bus.append(TOPIC_STUDIES, records)

    async def _announce(self, conflict: InstanceConflict) -> None:
        await self._bus.append(TOPIC_INSTANCES, [encode(conflict)])
        await self._audit_log.record(
            AuditAction.CONFLICT,
            conflict.source,
            partition=conflict.name.partition,
            studies=(conflict.name.study,),
            series=(conflict.name.series,),
            instances=(conflict.name.instance,),
            instance_count=1,
            digests=(conflict.current_digest, conflict.other_digest),
            detail=f"{conflict.policy.value}: {conflict.current_digest} is current, "
            f"{conflict.other_digest} is kept",
        )

    async def _compact(self, outcome: Outcome) -> None:
        """Merge the packs of series that have many before their study is quiet."""
        for series in outcome.series:
            count = self._segments.pop(series, 0) + 1
            if count >= self._settings.pack_segments:
                await self.retrying(partial(compact, self._storage, series))
                count = 1
            self._segments[series] = count
        while len(self._segments) > _COUNTED_SERIES:
            self._segments.popitem(last=False)
