"""Takes audit records from the log into their chains (`audit.trail`).

A position is committed only behind records that are sealed, so that the log gives again whatever
is not. Partitions move between members: what has moved is dropped right before it is kept, for its
new owner is given it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from isocenter.audit.records import chain_of, is_audit, record_of
from isocenter.audit.segments import Sealed
from isocenter.audit.settings import AuditSettings
from isocenter.audit.trail import Trail
from isocenter.core.errors import IsocenterError
from isocenter.core.events import TOPIC_AUDIT, TOPIC_INSTANCES, AuditEvent
from isocenter.core.ports import Consumer, Delivery, EventBus
from isocenter.runtime.event_codec import decode

logger = logging.getLogger(__name__)

GROUP = "audit"
TOPICS = (TOPIC_AUDIT, TOPIC_INSTANCES)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_POLL_SECONDS = 0.5  # a poll is never cut off: what it has taken would be committed, and lost
_STOP_SECONDS = 8.0  # for the last seal

OnSeal = Callable[[Sequence[Sealed]], Awaitable[None]]


class AuditConsumer:
    """One member of the group that keeps the trail.

    A record that cannot be kept goes to the dead-letter topic. While the index, the object store or
    the log is down it waits and tries again.
    """

    def __init__(
        self,
        *,
        bus: EventBus,
        trail: Trail,
        settings: AuditSettings,
        site: str,
        sealed: OnSeal,
    ) -> None:
        """`sealed` is told of every seal that this member makes."""
        self._bus = bus
        self._trail = trail
        self._settings = settings
        self._site = site
        self._sealed = sealed
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._problem = ""
        self._uncommitted = 0  # deliveries
        self._seal_at = 0.0
        self._last: dict[str, Delivery] = {}  # of each chain that is open

    def problems(self) -> Sequence[str]:
        """Why records are not being taken now."""
        return (self._problem,) if self._problem else ()

    async def start(self) -> None:
        """Begin to consume."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Seal what is open and leave the group; what cannot be sealed the next member takes."""
        if self._task is not None:
            self._stopping.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await asyncio.shield(self._task)
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                await self._trail.refill(self._refilling)
                await self._trail.adopt(datetime.now(UTC), self._adopting)
                self._problem = ""
                async with Membership(self._bus, GROUP) as consumer:
                    while not self._stopping.is_set():
                        await self._step(consumer)
                        self._problem = ""
                        pause = _FIRST_PAUSE
                    await self._seal(consumer)
                    return
            except Exception as error:  # noqa: BLE001 (whatever it is, the trail must go on)
                self._problem = f"audit records wait in the log: {error}"
                logger.warning(
                    "audit records wait in the log", extra={"error": str(error), "pause": pause}
                )
            self._forget()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _refilling(self, how_far: str) -> None:
        self._problem = f"the audit index is being filled from the sealed segments: {how_far}"

    def _adopting(self, how_far: str) -> None:
        self._problem = f"records of the version before are brought into the trail: {how_far}"

    def _forget(self) -> None:
        self._trail.forget()
        self._last.clear()
        self._uncommitted = 0

    async def _step(self, consumer: Consumer) -> None:
        deliveries = await self._poll(consumer)
        records: list[tuple[Delivery, AuditEvent]] = []
        for delivery in deliveries:
            try:
                record = record_of(delivery, decode(delivery), self._site)
            except IsocenterError as error:
                # What nobody can read of the instances is a letter already: of indexing.
                if is_audit(delivery) and consumer.owns(delivery):
                    await self._bury(consumer, delivery, str(error))
                continue
            if record is not None:
                records.append((delivery, record))
            elif is_audit(delivery) and consumer.owns(delivery):
                await self._bury(consumer, delivery, "this is no audit record")
        await self._keep(consumer, records)
        if deliveries and not self._uncommitted:
            self._seal_at = time.monotonic() + self._settings.seal_seconds
        self._uncommitted += len(deliveries)
        if self._is_due():
            await self._seal(consumer)

    async def _poll(self, consumer: Consumer) -> Sequence[Delivery]:
        size = self._settings.batch
        deliveries = list(await consumer.poll(size, _POLL_SECONDS))
        if deliveries and len(deliveries) < size:
            # Records are durable in the log; few at a time would cost a transaction each.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.linger_seconds):
                    await self._stopping.wait()
            deliveries += await consumer.poll(size - len(deliveries), 0)
        return deliveries

    async def _keep(
        self, consumer: Consumer, records: Sequence[tuple[Delivery, AuditEvent]]
    ) -> None:
        mine = []
        for delivery, event in records:
            if consumer.owns(delivery):
                mine.append((delivery, event))
            else:
                self._lose(chain_of(delivery))
        if not mine:
            return
        refused = await self._trail.keep([(chain_of(delivery), event) for delivery, event in mine])
        of_id = {event.id: delivery for delivery, event in mine}
        for refusal in refused:
            await self._bury(consumer, of_id[refusal.event.id], refusal.why)
        for delivery, _ in mine:
            self._last[chain_of(delivery)] = delivery

    def _lose(self, chain: str) -> None:
        self._trail.forget(chain)
        self._last.pop(chain, None)

    def _is_due(self) -> bool:
        if self._trail.waiting >= self._settings.segment_records:
            return True
        return self._uncommitted > 0 and time.monotonic() >= self._seal_at

    async def _seal(self, consumer: Consumer) -> None:
        """Seal everything that was polled, then commit it."""
        for chain, delivery in list(self._last.items()):
            if not consumer.owns(delivery):
                self._lose(chain)
        made = await self._trail.seal()
        await consumer.commit()
        self._uncommitted = 0
        self._last.clear()
        if made:
            await self._sealed(made)

    async def _bury(self, consumer: Consumer, delivery: Delivery, error: str) -> None:
        await consumer.dead_letter(delivery, error)
        logger.error(
            "an audit record went to the dead-letter topic",
            extra={"offset": delivery.offset, "error": error},
        )


class Membership:
    """In a group that takes records, from the beginning to the end of a block."""

    def __init__(self, bus: EventBus, group: str) -> None:
        self._bus = bus
        self._group = group

    async def __aenter__(self) -> Consumer:
        self._consumer = await self._bus.consumer(self._group, TOPICS)
        return self._consumer

    async def __aexit__(self, *error: object) -> None:
        await self._consumer.close()
