"""Takes audit records from the log into the audit index.

Most are on a topic of their own. That of a store is the event that announces the object: one
append makes both durable, and neither can be there without the other.

Partitions move between members: what has moved is dropped right before it is kept, for its new
owner is given it again. A record that two members keep all the same is one record: it has one id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from isocenter.core.errors import Code, IsocenterError
from isocenter.core.events import (
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    InstanceStored,
)
from isocenter.core.ports import AuditIndex, Consumer, Delivery, EventBus
from isocenter.runtime.event_codec import decode

logger = logging.getLogger(__name__)

GROUP = "audit"
POLL_SECONDS = 5.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0

# Failures that another attempt may cure; any other is the record's own.
_PASSING = frozenset(
    {Code.OUT_OF_RESOURCES, Code.UNAVAILABLE, Code.DEADLINE, Code.CANCELLED, Code.INTERNAL}
)


def store_record(event: InstanceStored, event_id: str) -> AuditEvent:
    """The audit record of a store; its id is that of the event that announced it."""
    return AuditEvent(
        action=AuditAction.STORE,
        outcome=AuditOutcome.SUCCESS,
        source=event.source,
        at=event.received_at,
        id=event_id,
        partition=event.name.partition,
        patient_ids=(event.patient_id,) if event.patient_id else (),
        studies=(event.name.study,),
        series=(event.name.series,),
        instances=(event.name.instance,),
        instance_count=1,
        detail=f"{event.source.store_verb} coerced" if event.overlay else event.source.store_verb,
    )


class AuditConsumer:
    """One member of the group that keeps the trail.

    Records are committed after the index has them; a record that cannot be kept goes to the
    dead-letter topic. While the index or the log is down it waits and tries again.
    """

    def __init__(self, *, bus: EventBus, index: AuditIndex, batch: int, linger: float) -> None:
        """`linger`: how many seconds a batch smaller than `batch` waits for more."""
        self._linger = linger
        self._bus = bus
        self._index = index
        self._batch = batch
        self._task: asyncio.Task[None] | None = None
        self._problem = ""

    def problems(self) -> Sequence[str]:
        """Why records are not being taken now."""
        return (self._problem,) if self._problem else ()

    async def start(self) -> None:
        """Begin to consume."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave the group; what was not committed is taken by the next member."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                consumer = await self._bus.consumer(GROUP, [TOPIC_AUDIT, TOPIC_INSTANCES])
                try:
                    while True:
                        await self._step(consumer)
                        self._problem = ""
                        pause = _FIRST_PAUSE
                finally:
                    await consumer.close()
            except Exception as error:  # noqa: BLE001 (whatever it is, the trail must go on)
                self._problem = f"audit records wait in the log: {error}"
                logger.warning(
                    "audit records wait in the log", extra={"error": str(error), "pause": pause}
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _step(self, consumer: Consumer) -> None:
        deliveries = list(await consumer.poll(self._batch, POLL_SECONDS))
        if not deliveries:
            return
        if len(deliveries) < self._batch:
            # Records are durable in the log; few at a time would cost a transaction each.
            await asyncio.sleep(self._linger)
            deliveries += await consumer.poll(self._batch - len(deliveries), 0)
        records: list[tuple[Delivery, AuditEvent]] = []
        for delivery in deliveries:
            try:
                event = decode(delivery)
            except IsocenterError as error:
                # What nobody can read of the instances is a letter already: of indexing.
                if delivery.topic == TOPIC_AUDIT and consumer.owns(delivery):
                    await self._bury(consumer, delivery, str(error))
                continue
            if isinstance(event, AuditEvent):
                records.append((delivery, event))
            elif isinstance(event, InstanceStored):
                records.append((delivery, store_record(event, delivery.headers["ce_id"])))
            elif delivery.topic == TOPIC_AUDIT and consumer.owns(delivery):
                await self._bury(consumer, delivery, "this is no audit record")
        await self._keep(consumer, [record for record in records if consumer.owns(record[0])])
        await consumer.commit()

    async def _keep(
        self, consumer: Consumer, records: Sequence[tuple[Delivery, AuditEvent]]
    ) -> None:
        """All at once; if the index refuses them, one by one to find those that it refuses."""
        if not records:
            return
        try:
            await self._index.append([event for _, event in records])
        except IsocenterError as error:
            if error.code in _PASSING:
                raise
            if len(records) == 1:
                await self._bury(consumer, records[0][0], str(error))
                return
            for record in records:
                await self._keep(consumer, [record])

    async def _bury(self, consumer: Consumer, delivery: Delivery, error: str) -> None:
        await consumer.dead_letter(delivery, error)
        logger.error(
            "an audit record went to the dead-letter topic",
            extra={"offset": delivery.offset, "error": error},
        )
