"""C-MOVE (PS3.7 9.1.4, PS3.4 C.4.2): sub-operations on associations to a third AE."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterable, Iterator, Sequence
from dataclasses import dataclass

from isocenter.core.apis import StoredInstance, Transcoding
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.events import AuditAction
from isocenter.core.ports import Buffer
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext, ProposedContext
from isocenter.dimse.messages import Request
from isocenter.dimse.negotiation import MAX_CONTEXTS
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.calls import Calls
from isocenter.gateway.cancelling import unless_cancelled
from isocenter.gateway.contexts import FALLBACK_TRANSFER_SYNTAXES
from isocenter.gateway.destinations import Destinations
from isocenter.gateway.retrieval import Retrieval
from isocenter.gateway.suboperations import Contexts, SubOperations
from isocenter.runtime.aes import Directory, KnownAE

log = logging.getLogger(__name__)

# Seconds before what failed for a reason that may pass is tried again, and again.
PAUSES = (1.0, 2.0, 4.0)
# What is worth another association: fewer are sent before it is established.
INSTANCES_PER_ASSOCIATION = 4


@dataclass(frozen=True, slots=True)
class Originator:
    """The C-MOVE that a C-STORE is part of (PS3.7 9.1.1.1.10, 9.1.1.1.11)."""

    ae_title: str
    message_id: int


class DestinationRoute:
    """Associations to a C-MOVE destination, one after another, each with the presentation
    contexts that the next instances need."""

    breakable = True

    def __init__(
        self,
        destination: KnownAE,
        instances: Sequence[StoredInstance],
        *,
        calls: Calls,
        transcoding: Transcoding,
        originator: Originator,
    ) -> None:
        self.pauses: Sequence[float] = PAUSES
        self._originator = originator
        self._destination = destination
        self.receiver = destination.title
        self._instances = instances
        self._calls = calls
        self._transcoding = transcoding
        self._association: Association | None = None
        self._contexts: Contexts = {}
        self._until = 0  # position of the first instance that was not planned for

    async def association(self, position: int) -> Association:
        """The present one as long as it lasts and suits the instance, or else a new one."""
        current = self._association
        if current is not None and not current.closed.is_set() and position < self._until:
            return current
        await self.close()
        self._association = await self._associate(position)
        self._contexts = {
            (context.abstract_syntax, context.transfer_syntax): context
            for context in self._association.contexts.values()
        }
        return self._association

    def contexts(self) -> Contexts:
        """Those that the destination accepted."""
        return self._contexts

    async def store(
        self,
        context: PresentationContext,
        stored: StoredInstance,
        data: Buffer | AsyncIterable[Buffer],
        priority: int,
    ) -> int:
        """See `Route`."""
        if self._association is None:
            raise Unavailable(f"there is no association with {self.receiver}")
        response = await self._association.c_store(
            context,
            stored.sop_class,
            stored.name.instance,
            data,
            priority=priority,
            move_originator=self._originator.ae_title,
            move_originator_message_id=self._originator.message_id,
        )
        return response.status

    async def break_off(self) -> None:
        """Abort the association, if there is one; nothing that was not sent yet is kept."""
        current, self._association = self._association, None
        if current is not None:
            await current.abort()
            await current.abandon()

    async def close(self) -> None:
        """Release the association, if there is one."""
        try:
            if self._association is not None:
                await self._association.release()
        except asyncio.CancelledError:
            await self.break_off()
            raise
        self._association = None

    async def _associate(self, position: int) -> Association:
        proposed: dict[tuple[str, str], None] = {}
        self._until = position
        for stored in self._instances[position:]:
            if (stored.sop_class, stored.transfer_syntax) not in proposed:
                wider = proposed | dict.fromkeys(self._proposals(stored))
                if len(wider) > MAX_CONTEXTS:
                    break
                proposed = wider
            self._until += 1
        return await self._calls.associate(
            self._destination,
            [ProposedContext(sop_class, (syntax,)) for sop_class, syntax in proposed],
        )

    def _proposals(self, stored: StoredInstance) -> Iterator[tuple[str, str]]:
        yield stored.sop_class, stored.transfer_syntax
        targets = self._transcoding.targets(stored.transfer_syntax)
        yield from (
            (stored.sop_class, syntax) for syntax in FALLBACK_TRANSFER_SYNTAXES if syntax in targets
        )


class CMove:
    """The retrieve SCP that delivers to a destination of the directory."""

    def __init__(
        self,
        *,
        retrieval: Retrieval,
        sub_operations: SubOperations,
        transcoding: Transcoding,
        calls: Calls,
        directory: Directory,
        destinations: Destinations,
    ) -> None:
        self._retrieval = retrieval
        self._sub_operations = sub_operations
        self._transcoding = transcoding
        self._calls = calls
        self._directory = directory
        self._destinations = destinations

    async def __call__(self, request: Request) -> None:
        """The audit record is durable before the first object leaves."""
        title = request.command.move_destination
        destination = self._directory.named(title)
        try:
            if destination is None or not destination.port:
                await self._unknown(request, title)
                return
            plan = await unless_cancelled(
                request, self._retrieval.plan(request, destination.caller)
            )
            ended = await self._retrieval.record(
                AuditAction.EXPORT, request, plan, destination=destination.title
            )
        except IsocenterError as error:
            await refuse(request, statuses.Service.MOVE, error)
            return
        turn = self._destinations.queue(destination).turn(
            destination.move_requests, request.command.priority
        )
        routes = self._routes(request, destination, plan.sent)
        await self._sub_operations.perform(
            request, plan.sent, routes, turn, ended=ended, source=plan.extracted
        )

    def _routes(
        self, request: Request, destination: KnownAE, instances: Sequence[StoredInstance]
    ) -> list[DestinationRoute]:
        worth = math.ceil(len(instances) / INSTANCES_PER_ASSOCIATION)
        originator = Originator(request.association.calling_ae_title, request.command.message_id)
        return [
            DestinationRoute(
                destination,
                instances,
                calls=self._calls,
                transcoding=self._transcoding,
                originator=originator,
            )
            for _ in range(min(destination.move_associations, worth))
        ]

    async def _unknown(self, request: Request, title: str) -> None:
        log.warning(
            "move destination unknown",
            extra={"destination": title, "fix": "add it to the AE directory with host and port"},
        )
        await self._retrieval.record_refusal(request, title)
        await request.respond(
            statuses.MOVE_DESTINATION_UNKNOWN,
            error_comment=statuses.comment(f"no host and port are known for {title}"),
        )
