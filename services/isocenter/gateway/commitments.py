"""Storage Commitment as SCP (PS3.4 J.3): requests from the log, results to those who asked.

A request is durable in the log before it is answered, and stands until its end follows there. The
process that took it checks the objects and reports at once, on the same association if it lasts.
Whatever ends in between, the owner of the request's partition does it later, on an association of
its own, again and again until the peer takes the result or the time for it is over. What is
pending is in the log: a position is committed only when nothing read before it is pending, or when
what is has been told again behind it. A peer may be told twice, never not at all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from isocenter.core.access import Caller
from isocenter.core.errors import IsocenterError, NotFound
from isocenter.core.events import (
    TOPIC_JOBS,
    AuditAction,
    AuditOutcome,
    CommitmentEnded,
    CommitmentFate,
    CommitmentRequested,
    Event,
)
from isocenter.core.identity import DEFAULT_PARTITION
from isocenter.core.matching import JsonAttributes
from isocenter.core.ports import Consumer, Delivery, EventBus
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext, ProposedContext
from isocenter.dimse.errors import AssociationAborted
from isocenter.gateway import identifiers
from isocenter.gateway.callers import caller_of
from isocenter.gateway.calls import Calls
from isocenter.gateway.commitment_check import Checked, Checker
from isocenter.gateway.commitment_items import (
    ALL_COMMITTED,
    FAILED_SOPS,
    FAILURE_REASON,
    FAILURES_EXIST,
    REFERENCED_SOPS,
    TRANSACTION_UID,
    WELL_KNOWN_INSTANCE,
    reference,
    sequence,
)
from isocenter.gateway.contexts import MESSAGE_TRANSFER_SYNTAXES, STORAGE_COMMITMENT
from isocenter.gateway.n_action import STORAGE_COMMITMENT as IN_TRAIL
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import encode
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.retrying import POLL_SECONDS, Retrying, Stopped

logger = logging.getLogger(__name__)

GROUP = "commitment"

_BATCH = 100
_AT_ONCE = 8  # results that are worked on by one process
_LOCAL = timedelta(seconds=30)  # that the process which took a request has for itself
_AGAIN = timedelta(seconds=1)  # between looks for objects that are not found yet
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
_COMMIT_SECONDS = 60.0

_Name = tuple[str, str]  # AE title of the peer, Transaction UID


@dataclass(slots=True)
class _Pending:
    """A request that is not at its end."""

    event: CommitmentRequested
    delivery: Delivery
    due: datetime
    pause: timedelta = _FIRST_PAUSE
    under_way: bool = False


class Commitments:
    """One process's part in it."""

    def __init__(
        self,
        *,
        bus: EventBus,
        checker: Checker,
        settings: GatewaySettings,
        calls: Calls,
        directory: Directory,
        audit: AuditLog,
    ) -> None:
        self._audit = audit
        self._bus = bus
        self._checker = checker
        self._settings = settings
        self._calls = calls
        self._directory = directory
        self._wait = timedelta(seconds=settings.commitment_wait_seconds)
        self._patience = timedelta(hours=settings.commitment_retry_hours)
        self._events = EventReader(GROUP)
        self._pending: dict[_Name, _Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._polled = False
        self._committed_at = time.monotonic()
        self._consuming: asyncio.Task[None] | None = None
        self.retrying = Retrying(_LONGEST_PAUSE.total_seconds(), "storage commitment")

    def start(self) -> None:
        """Begin to work on what is pending."""
        self._consuming = asyncio.create_task(self._run(), name=GROUP)

    async def stop(self) -> None:
        """End at once; what is pending is another process's, or this one's when it starts again."""
        self.retrying.stop()
        tasks = [*self._tasks, *([self._consuming] if self._consuming else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(
        self, event: CommitmentRequested, association: Association, context: PresentationContext
    ) -> None:
        """See `n_action.Custody`."""
        await self._bus.append(TOPIC_JOBS, [encode(event)])
        self._spawn(self._at_once(event, association, context))

    # --- what the log tells ----------------------------------------------------------------------

    async def _run(self) -> None:
        with suppress(Stopped):
            consumer = await self.retrying(lambda: self._bus.consumer(GROUP, [TOPIC_JOBS]))
            try:
                while not self.retrying.stopping:
                    await self.step(consumer)
            finally:
                await consumer.close()

    async def step(self, consumer: Consumer) -> None:
        """Take in requests and ends, and begin what is due."""
        deliveries = await self.retrying(lambda: consumer.poll(_BATCH, POLL_SECONDS))
        self._polled |= bool(deliveries)
        for delivery in deliveries:
            try:
                event = self._events.read(delivery)
            except IsocenterError:
                continue  # the sweep, which reads this topic too, buries it
            self._take(delivery, event)
        if len(deliveries) < _BATCH:
            self._begin_due(consumer)
            await self._commit(consumer)

    def _take(self, delivery: Delivery, event: Event | None) -> None:
        if isinstance(event, CommitmentRequested):
            name = event.source.ae_title, event.transaction
            known = self._pending.get(name)
            if known is not None:
                known.delivery = delivery  # told again
                return
            self._pending[name] = _Pending(event, delivery, due=event.at + _LOCAL)
        elif isinstance(event, CommitmentEnded):
            self._pending.pop((event.ae_title, event.transaction), None)

    def _begin_due(self, consumer: Consumer) -> None:
        now = datetime.now(UTC)
        for name, pending in self._pending.items():
            if pending.under_way or pending.due > now or not consumer.owns(pending.delivery):
                continue
            pending.under_way = True
            self._spawn(self._later(name, pending))

    async def _commit(self, consumer: Consumer) -> None:
        self._pending = {
            name: pending
            for name, pending in self._pending.items()
            if pending.under_way or consumer.owns(pending.delivery)
        }
        if not self._polled:
            return
        if self._pending:
            if time.monotonic() - self._committed_at < _COMMIT_SECONDS:
                return
            records = [encode(pending.event) for pending in self._pending.values()]
            await self.retrying(lambda: self._bus.append(TOPIC_JOBS, records))
        await self.retrying(consumer.commit)
        self._polled = False
        self._committed_at = time.monotonic()

    # --- what is done ----------------------------------------------------------------------------

    async def _at_once(
        self, event: CommitmentRequested, association: Association, context: PresentationContext
    ) -> None:
        """By the process that took the request. What does not work is tried by the owner later."""
        try:
            async with asyncio.timeout(_LOCAL.total_seconds()), self._gate:
                checked = await self._check(event)
                try:
                    await self._report(event, checked, association, context)
                except AssociationAborted:
                    await self._call(event, checked)
                await self._end(event, CommitmentFate.REPORTED, checked)
        except (IsocenterError, TimeoutError) as error:
            logger.info(
                "a result of storage commitment is reported later",
                extra={"ae_title": event.source.ae_title, "problem": str(error)},
            )

    async def _later(self, name: _Name, pending: _Pending) -> None:
        event, checked = pending.event, Checked()
        try:
            async with self._gate:
                checked = await self._check(event)
                await self._call(event, checked)
                await self._end(event, CommitmentFate.REPORTED, checked)
        except IsocenterError as error:
            await self._not_reported(pending, checked, error)
        else:
            self._pending.pop(name, None)
        finally:
            pending.under_way = False

    async def _not_reported(
        self, pending: _Pending, checked: Checked, error: IsocenterError
    ) -> None:
        event = pending.event
        fields = {
            "ae_title": event.source.ae_title,
            "transaction": event.transaction,
            "problem": str(error),
        }
        pending.due = datetime.now(UTC) + pending.pause
        pending.pause = min(2 * pending.pause, _LONGEST_PAUSE)
        if pending.due < event.at + self._patience:
            logger.warning("a result of storage commitment could not be reported", extra=fields)
            return
        logger.error("a result of storage commitment will never be reported", extra=fields)
        with suppress(IsocenterError):  # it is given up again in a while
            await self._end(event, CommitmentFate.GIVEN_UP, checked, str(error))
            self._pending.pop((event.source.ae_title, event.transaction), None)

    async def _check(self, event: CommitmentRequested) -> Checked:
        """What was found; what is not found yet has a while to come."""
        while True:
            checked = await self._checker.check(self._caller(event), event.references)
            if not checked.missing or datetime.now(UTC) + _AGAIN > event.at + self._wait:
                return checked
            await asyncio.sleep(_AGAIN.total_seconds())

    def _caller(self, event: CommitmentRequested) -> Caller:
        """Who asked, as the directory sees it now. That it may ask is known: what it may not do
        otherwise is nothing to this."""
        title = event.source.ae_title.strip(" ")
        known = self._directory.named(title) if event.source.known else None
        return replace(caller_of(title, known), only=None)

    async def _call(self, event: CommitmentRequested, checked: Checked) -> None:
        """Report on an association of our own."""
        title = event.source.ae_title
        peer = self._directory.named(title)
        if peer is None or not peer.port:
            raise NotFound(
                f"no host and port are known for {title}", fix="add them with `isocenter aes set`"
            )
        association = await self._calls.associate(
            peer,
            [ProposedContext(STORAGE_COMMITMENT, MESSAGE_TRANSFER_SYNTAXES, scu=False, scp=True)],
            calling_ae_title=event.source.called_ae_title,
        )
        try:
            for context in association.contexts.values():
                await self._report(event, checked, association, context)
                return
            raise NotFound(f"{title} does not take results of storage commitment")
        finally:
            await association.release()

    async def _report(
        self,
        event: CommitmentRequested,
        checked: Checked,
        association: Association,
        context: PresentationContext,
    ) -> None:
        response = await association.n_event_report(
            context,
            STORAGE_COMMITMENT,
            WELL_KNOWN_INSTANCE,
            FAILURES_EXIST if checked.failed else ALL_COMMITTED,
            identifiers.write(self._information(event, checked), context.transfer_syntax),
        )
        if response.status:
            raise AssociationAborted(
                f"{event.source.ae_title} answers the result with 0x{response.status:04X}"
            )

    def _information(self, event: CommitmentRequested, checked: Checked) -> JsonAttributes:
        """The event information (PS3.4 table J.3-2)."""
        attributes: JsonAttributes = {
            TRANSACTION_UID: {"vr": "UI", "Value": [event.transaction]},
            identifiers.RETRIEVE_AE_TITLE: {"vr": "AE", "Value": [self._settings.ae_title]},
        }
        if checked.committed:
            attributes[REFERENCED_SOPS] = sequence([reference(one) for one in checked.committed])
        if checked.failed:
            attributes[FAILED_SOPS] = sequence(
                [
                    {**reference(one), FAILURE_REASON: {"vr": "US", "Value": [reason]}}
                    for one, reason in checked.failed.items()
                ]
            )
        return attributes

    async def _end(
        self, event: CommitmentRequested, fate: CommitmentFate, checked: Checked, reason: str = ""
    ) -> None:
        ended = CommitmentEnded(
            transaction=event.transaction,
            ae_title=event.source.ae_title,
            fate=fate,
            committed=len(checked.committed),
            failed=len(checked.failed),
            at=datetime.now(UTC),
            reason=reason,
        )
        if checked.failed or fate is CommitmentFate.GIVEN_UP:
            await self._record_failure(event, checked, reason)
        await self._bus.append(TOPIC_JOBS, [encode(ended)])

    async def _record_failure(
        self, event: CommitmentRequested, checked: Checked, reason: str
    ) -> None:
        """That not all was committed, or nobody could be told, after the record of the request."""
        well, failed = len(checked.committed), checked.failed
        await self._audit.record(
            AuditAction.VERIFY,
            event.source,
            outcome=AuditOutcome.MINOR_FAILURE if well else AuditOutcome.FAILURE,
            partition=DEFAULT_PARTITION,
            instances=tuple(one.instance for one in failed),
            instance_count=len(failed),
            detail=f"{IN_TRAIL} {event.transaction}",
            error=reason or f"{well} committed, {len(failed)} not",
        )

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
