"""The C-STORE sub-operations of C-MOVE and C-GET (PS3.4 C.4.2.2.1, C.4.3.2.1).

An object goes out as it is stored where the receiver accepted its transfer syntax, transcoded
where not. The next objects are read while one is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from isocenter.core.apis import Storage, StoredInstance, Transcoding
from isocenter.core.errors import IsocenterError, Unsupported
from isocenter.core.ports import Buffer
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.identifiers import FAILED_UIDS, write
from isocenter.gateway.payload import Payload, ReadAhead
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.runtime.traced_services import GivenOut

log = logging.getLogger(__name__)

Contexts = Mapping[tuple[str, str], PresentationContext]

# Pending responses are for the requester's patience, not for each sub-operation (C.4.2.3.1,
# C.4.3.3.1): seconds between two of them.
PENDING_INTERVAL = 0.25


@dataclass(frozen=True, slots=True)
class Originator:
    """The C-MOVE that a C-STORE is part of (PS3.7 9.1.1.1.10, 9.1.1.1.11)."""

    ae_title: str
    message_id: int


class Route(Protocol):
    """How sub-operations reach the receiver."""

    async def association(self, position: int) -> Association:
        """The association for the instance at a position of the list. Raises `Unavailable` if
        the receiver cannot be reached; then nothing further is tried."""
        ...

    @property
    def originator(self) -> Originator | None:
        """On whose behalf it is sent (C-MOVE only)."""
        ...

    @property
    def receiver(self) -> str:
        """The AE title of whoever gets the instances."""
        ...

    def contexts(self) -> Contexts:
        """The contexts of that association that carry objects to the receiver, by SOP class and
        transfer syntax."""
        ...


@dataclass(slots=True)
class Tally:
    """The counts of PS3.7 tables 9.1-3 and 9.1-4, and what failed."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def fail(self, instances: Sequence[StoredInstance]) -> None:
        """These were not delivered."""
        self.remaining -= len(instances)
        self.failed += len(instances)
        self.failed_uids += [stored.name.instance for stored in instances]

    def count(self, status: int) -> bool:
        """Count the receiver's answer; whether it kept the object. A failure is counted with
        `fail`."""
        kept = status == statuses.SUCCESS or statuses.is_warning(status)
        if kept:
            self.remaining -= 1
            self.completed += status == statuses.SUCCESS
            self.warning += status != statuses.SUCCESS
        return kept

    @property
    def final(self) -> int:
        """The status of the last response, unless it was cancelled."""
        if self.failed and not self.completed and not self.warning:
            return statuses.CANNOT_PERFORM_SUB_OPERATIONS
        return statuses.SUB_OPERATIONS_FAILED if self.failed or self.warning else statuses.SUCCESS


class Rendition(Protocol):
    """What of an object goes out."""

    def syntaxes(self, stored: StoredInstance) -> Iterable[str]:
        """The transfer syntaxes in which it can go out, best first."""
        ...

    def changes(self, stored: StoredInstance, target: str) -> bool:
        """Whether that is not the data set as it is stored."""
        ...

    def data_set(
        self, chunks: AsyncIterable[Buffer], stored: StoredInstance, target: str
    ) -> AsyncIterator[Buffer]:
        """What goes out in a transfer syntax, from the data set as it is stored."""
        ...


class AsStored:
    """The whole object, in another transfer syntax only where the receiver wants that."""

    def __init__(self, transcoding: Transcoding) -> None:
        self._transcoding = transcoding

    def syntaxes(self, stored: StoredInstance) -> Iterable[str]:
        """As it is stored, or else with the least change."""
        return (stored.transfer_syntax, *self._transcoding.targets(stored.transfer_syntax))

    def changes(self, stored: StoredInstance, target: str) -> bool:
        """See `Rendition`."""
        return target != stored.transfer_syntax

    def data_set(
        self, chunks: AsyncIterable[Buffer], stored: StoredInstance, target: str
    ) -> AsyncIterator[Buffer]:
        """See `Rendition`."""
        return self._transcoding.data_set(chunks, stored.transfer_syntax, target)


class SubOperations:
    """Delivers instances and reports on it to the requester."""

    def __init__(
        self, *, storage: Storage, transcoding: Transcoding, telemetry: Telemetry = OFF
    ) -> None:
        self._storage = storage
        self._as_stored = AsStored(transcoding)
        self._given_out = GivenOut(telemetry, "DIMSE")

    async def perform(
        self,
        request: Request,
        instances: Sequence[StoredInstance],
        route: Route,
        rendition: Rendition | None = None,
    ) -> None:
        """Send every instance on the route, as it is stored or in another rendition, with pending
        responses now and then and the final response at the end."""
        what = rendition or self._as_stored
        run = _Run(request, instances, route, self._storage, what, self._given_out)
        try:
            await run.deliver()
        finally:
            await run.close()
        await run.finish()


class _Run:
    """The sub-operations of one request."""

    def __init__(
        self,
        request: Request,
        instances: Sequence[StoredInstance],
        route: Route,
        storage: Storage,
        rendition: Rendition,
        given_out: GivenOut,
    ) -> None:
        self._given_out = given_out
        self._request = request
        self._instances = instances
        self._route = route
        self._payloads = ReadAhead(storage, instances)
        self._rendition = rendition
        self._tally = Tally(len(instances))
        self._clock = asyncio.get_running_loop().time
        self._pending_at = self._clock()  # when the next pending response is due

    async def deliver(self) -> None:
        """One sub-operation after another, until all are done, it is cancelled, or the receiver
        cannot be reached."""
        for position, stored in enumerate(self._instances):
            if self._request.cancelled.is_set():
                return
            try:
                association = await self._route.association(position)
            except IsocenterError as error:
                log.warning("receiver not reached", extra={"error": str(error)})
                self._tally.fail(self._instances[position:])
                return
            try:
                status = await self._send(position, association)
            except IsocenterError as error:
                self._failed(stored, error=str(error))
            else:
                if self._tally.count(status):
                    self._given_out.count(stored.size, self._route.receiver)
                else:
                    self._failed(stored, status=f"0x{status:04X}")
            await self._report()

    def _failed(self, stored: StoredInstance, **why: str) -> None:
        log.warning("sub-operation failed", extra={"instance": stored.name.instance, **why})
        self._tally.fail([stored])

    async def _send(self, position: int, association: Association) -> int:
        stored = self._instances[position]
        context = self._context(stored)
        payload = await self._payloads.take(position)
        try:
            target = context.transfer_syntax
            if not self._rendition.changes(stored, target):
                return await self._store(stored, association, context, payload.data)
            changed = await Payload.begin(
                self._rendition.data_set(payload.chunks(), stored, target)
            )
            try:
                return await self._store(stored, association, context, changed.data)
            finally:
                await changed.close()
        finally:
            await payload.close()

    async def _store(
        self,
        stored: StoredInstance,
        association: Association,
        context: PresentationContext,
        data: Buffer | AsyncIterable[Buffer],
    ) -> int:
        """The status that the receiver answers with."""
        originator = self._route.originator
        response = await association.c_store(
            context,
            stored.sop_class,
            stored.name.instance,
            data,
            priority=self._request.command.priority,
            move_originator=originator.ae_title if originator else "",
            move_originator_message_id=originator.message_id if originator else 0,
        )
        return response.status

    def _context(self, stored: StoredInstance) -> PresentationContext:
        """The context that takes the object best."""
        contexts = self._route.contexts()
        for syntax in self._rendition.syntaxes(stored):
            if context := contexts.get((stored.sop_class, syntax)):
                return context
        raise Unsupported(
            f"the receiver accepts SOP class {stored.sop_class} in no transfer syntax"
            f" that {stored.transfer_syntax} can be turned into"
        )

    async def _report(self) -> None:
        """A pending response if one is due."""
        now = self._clock()
        if now >= self._pending_at:
            self._pending_at = now + PENDING_INTERVAL
            await self._respond(statuses.PENDING)

    async def close(self) -> None:
        """Drop what was read ahead and will not be sent."""
        await self._payloads.close()

    async def finish(self) -> None:
        """The final response."""
        cancelled = self._tally.remaining > 0
        await self._respond(statuses.CANCELLED if cancelled else self._tally.final)

    async def _respond(self, status: int) -> None:
        tally = self._tally
        identifier = None
        if status != statuses.PENDING and tally.failed_uids:
            failed = {FAILED_UIDS: {"vr": "UI", "Value": tally.failed_uids}}
            identifier = write(failed, self._request.context.transfer_syntax)
        # Remaining has no place in a final response but that to a C-CANCEL (C.4.2.1.6).
        going_on = status in (statuses.PENDING, statuses.CANCELLED)
        await self._request.respond(
            status,
            data_set=identifier,
            remaining=_us(tally.remaining) if going_on else None,
            completed=_us(tally.completed),
            failed=_us(tally.failed),
            warning=_us(tally.warning),
        )


def _us(count: int) -> int:
    """A count as the VR of the command elements can hold it."""
    return min(count, 0xFFFF)
