"""Forwards every record to the syslog collectors of the settings, as DICOM audit messages.

Each collector is a group of consumers of its own, so that the log is the spool: it keeps what a
collector has not got, and gives it again in order. A position is committed only behind what the
collector has confirmed (`audit.syslog`); after a broken connection everything behind the last
commit is sent again. So a collector gets every record at least once, and tells by the id which it
has had already. What is sent between two confirmations is halved whenever one fails: a collector
that takes little at a time gets on all the same.

A collector that is gone from the settings is forgotten at the next start: the log waits for it no
longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from isocenter.audit.consumer import Membership
from isocenter.audit.heads import Newest, publication
from isocenter.audit.keys import KeyFolder
from isocenter.audit.records import record_of
from isocenter.audit.segments import Sealed
from isocenter.audit.settings import Collector
from isocenter.audit.syslog import AUDIT_MESSAGE, NOTICE, WARNING, Message, Origin, sender_to
from isocenter.core.errors import IsocenterError, what_of
from isocenter.core.events import AuditEvent, AuditOutcome
from isocenter.core.ports import Consumer, Delivery, EventBus
from isocenter.runtime.audit_bounds import bounded
from isocenter.runtime.audit_dicom import message
from isocenter.runtime.audit_records import time_text
from isocenter.runtime.event_codec import decode
from isocenter.runtime.instruments import (
    AUDIT_FORWARD_DOWN,
    AUDIT_FORWARD_FAILURES,
    AUDIT_FORWARDED,
)
from isocenter.runtime.telemetry import OFF, Observations, Telemetry
from isocenter.runtime.threads import Threads

logger = logging.getLogger(__name__)

GROUPS = "audit-forward-"  # and the name of the collector
HEADS = "ISOCENTER-HEADS"  # MSGID of what is published of the chains

_USUAL = 8192  # bytes of a message; a longer one may have texts that the trail cuts off
_BATCH = 1000
_MOST = 10_000  # deliveries between two confirmations
_CONFIRM_SECONDS = 10.0  # between them, while little comes
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_POLL_SECONDS = 0.5
_STOP_SECONDS = 5.0  # for the last confirmation


@dataclass(slots=True)
class _Cycle:
    """What was sent and is not confirmed."""

    deliveries: int = 0
    messages: int = 0
    seals: Sequence[Sealed] = ()
    due: float = field(default_factory=lambda: time.monotonic() + _CONFIRM_SECONDS)

    @property
    def is_empty(self) -> bool:
        return not self.deliveries and not self.seals

    def is_due(self, most: int) -> bool:
        """Whether it is to be confirmed."""
        return self.deliveries >= most or time.monotonic() >= self.due


class Forwarder:
    """One member of the group of a collector."""

    def __init__(
        self,
        *,
        bus: EventBus,
        collector: Collector,
        keys: KeyFolder,
        site: str,
        telemetry: Telemetry = OFF,
    ) -> None:
        self.collector = collector
        self._bus = bus
        self._keys = keys
        self._site = site
        self._telemetry = telemetry
        self._labels = {"collector": collector.name}
        self._sender = sender_to(collector, Origin.named(socket.gethostname(), os.getpid()))
        self._threads = Threads(1, f"forward-{collector.name}")
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._heads = Newest()
        self._cycle = _Cycle()
        self._most = _MOST
        self._pause = _FIRST_PAUSE
        self._problem = ""
        self._since: datetime | None = None  # it does not work
        telemetry.observe(AUDIT_FORWARD_DOWN, self._down)

    def problems(self) -> Sequence[str]:
        """Why the collector gets nothing now, and since when."""
        if self._since is None:
            return ()
        since = time_text(self._since)
        return (f"audit records wait for {self.collector.name} since {since}: {self._problem}",)

    def _down(self) -> Observations:
        since = self._since
        seconds = (datetime.now(UTC) - since).total_seconds() if since is not None else 0.0
        return [(seconds, self._labels)]

    def tell(self, seals: Sequence[Sealed]) -> None:
        """Let the collector have the newest heads too, soon."""
        self._heads.add(seals)

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"forward to {self.collector.name}")

    async def stop(self) -> None:
        """Have confirmed what was sent, if that is soon done; the rest the next member sends."""
        if self._task is not None:
            self._stopping.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await asyncio.shield(self._task)
            self._sender.abort()
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._threads.close()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with Membership(self._bus, f"{GROUPS}{self.collector.name}") as consumer:
                    await self._threads.run(self._sender.open)
                    while not self._stopping.is_set():
                        await self._step(consumer)
                    await self._end(consumer)
                    return
            except Exception as error:  # noqa: BLE001 (whatever it is, records must get there)
                self._failed(error)
            finally:
                await self._threads.run(self._sender.close)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._stopping.wait()
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _failed(self, error: Exception) -> None:
        if self._cycle.deliveries:
            self._most = max(1, min(self._most, self._cycle.deliveries) // 2)
        self._cycle = _Cycle()
        self._since = self._since or datetime.now(UTC)
        self._problem = what_of(error)
        self._telemetry.count(AUDIT_FORWARD_FAILURES, 1, self._labels)
        logger.warning(
            "audit records wait for a syslog collector",
            extra={**self._labels, "error": self._problem, "pause": self._pause},
        )

    def _works(self) -> None:
        if self._since is not None:
            logger.info("a syslog collector takes audit records again", extra=self._labels)
        self._since, self._pause = None, _FIRST_PAUSE

    async def _step(self, consumer: Consumer) -> None:
        wanted = min(_BATCH, self._most - self._cycle.deliveries)
        deliveries = await consumer.poll(wanted, _POLL_SECONDS)
        seals = () if self._cycle.seals else self._heads.all()
        if deliveries or seals:
            await self._forward(consumer, deliveries, seals)
        elif self._cycle.is_empty:
            await self._threads.run(self._sender.watch)
            self._works()
        if not self._cycle.is_empty and self._cycle.is_due(self._most):
            await self._confirm(consumer)

    async def _forward(
        self, consumer: Consumer, deliveries: Sequence[Delivery], seals: Sequence[Sealed]
    ) -> None:
        if self._cycle.is_empty:
            self._cycle = _Cycle()
        self._cycle.deliveries += len(deliveries)
        mine = [delivery for delivery in deliveries if consumer.owns(delivery)]
        sent, unwritten = await self._threads.run(self._send, mine, seals)
        for delivery, why in unwritten:
            await consumer.dead_letter(delivery, f"not forwarded to {self.collector.name}: {why}")
        self._cycle.messages += sent
        self._cycle.seals = self._cycle.seals or seals

    async def _end(self, consumer: Consumer) -> None:
        """With the heads of the last seal, and nothing that is not confirmed."""
        if self._heads and not self._cycle.seals:
            await self._forward(consumer, (), self._heads.all())
        if not self._cycle.is_empty:
            await self._confirm(consumer)

    async def _confirm(self, consumer: Consumer) -> None:
        await self._threads.run(self._sender.confirm)
        await consumer.commit()
        cycle, self._cycle = self._cycle, _Cycle()
        self._heads.told(cycle.seals)
        self._telemetry.count(AUDIT_FORWARDED, cycle.messages, self._labels)
        self._most = min(self._most * 2, _MOST)
        self._works()

    # --- in the thread ---------------------------------------------------------------------------

    def _send(
        self, deliveries: Sequence[Delivery], seals: Sequence[Sealed]
    ) -> tuple[int, list[tuple[Delivery, str]]]:
        """How many messages were sent, and of which deliveries none could be written."""
        messages: list[Message] = []
        unwritten = []
        for delivery in deliveries:
            try:
                record = record_of(delivery, decode(delivery), self._site)
            except IsocenterError:
                continue  # what nobody can read is a dead letter already, of those that keep it
            if record is None or not self._wants(record):
                continue
            try:
                messages.append(_audit_message(record))
            except Exception as error:  # noqa: BLE001 (one record must not hold up the others)
                unwritten.append((delivery, what_of(error)))
        messages += self._heads_message(seals)
        self._sender.send(messages)
        return len(messages), unwritten

    def _wants(self, record: AuditEvent) -> bool:
        return not self.collector.actions or record.action in self.collector.actions

    def _heads_message(self, seals: Sequence[Sealed]) -> list[Message]:
        if not seals:
            return []
        now = datetime.now(UTC)
        try:
            text = publication(seals, self._keys.all()[-1], now)
        except IsocenterError as error:
            logger.warning("heads cannot be signed", extra={"error": str(error)})
            return []
        return [Message(NOTICE, now, HEADS, sha256(text).hexdigest(), text)]


def _audit_message(record: AuditEvent) -> Message:
    severity = NOTICE if record.outcome is AuditOutcome.SUCCESS else WARNING
    text = message(record)
    if len(text) > _USUAL:
        text = message(bounded(record))
    return Message(severity, record.at, AUDIT_MESSAGE, record.id, text)


class Forwarding:
    """The forwarders of this process, one for each collector."""

    def __init__(
        self,
        *,
        bus: EventBus,
        collectors: Sequence[Collector],
        keys: KeyFolder,
        site: str,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._bus = bus
        self._forwarders = [
            Forwarder(bus=bus, collector=one, keys=keys, site=site, telemetry=telemetry)
            for one in collectors
        ]

    def problems(self) -> Sequence[str]:
        """Which collectors get nothing now. None of it keeps the trail from being kept."""
        return [problem for one in self._forwarders for problem in one.problems()]

    def tell(self, seals: Sequence[Sealed]) -> None:
        """Let every collector have the newest heads."""
        for one in self._forwarders:
            one.tell(seals)

    async def start(self) -> None:
        """Begin, and forget collectors that are none any more."""
        keep = [f"{GROUPS}{one.collector.name}" for one in self._forwarders]
        try:
            forgotten = await self._bus.forget(GROUPS, keep)
        except IsocenterError as error:
            logger.warning("former collectors are not forgotten yet", extra={"error": str(error)})
        else:
            for group in forgotten:
                logger.info("a former collector is forgotten", extra={"group": group})
        for one in self._forwarders:
            await one.start()

    async def stop(self) -> None:
        """End."""
        await asyncio.gather(*(one.stop() for one in self._forwarders))
