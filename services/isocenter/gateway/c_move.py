"""C-MOVE (PS3.7 9.1.4, PS3.4 C.4.2): sub-operations on associations to a third AE."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from isocenter.core.apis import StoredInstance, Transcoding
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.events import AuditAction
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from isocenter.dimse import requestor
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import Request
from isocenter.dimse.negotiation import MAX_CONTEXTS
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.retrieval import Retrieval
from isocenter.gateway.settings import GatewaySettings
from isocenter.gateway.suboperations import Contexts, Originator, SubOperations
from isocenter.runtime.aes import Directory, KnownAE

log = logging.getLogger(__name__)

MAX_LOSSES = 3  # associations that the destination may lose before the rest is given up
# What every storage SCP takes, or nearly every one; proposed beside what is stored.
_FALLBACKS = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


class DestinationRoute:
    """Associations to a C-MOVE destination, one after another, each with the presentation
    contexts that the next instances need."""

    def __init__(
        self,
        destination: KnownAE,
        instances: Sequence[StoredInstance],
        *,
        settings: GatewaySettings,
        transcoding: Transcoding,
        originator: Originator,
    ) -> None:
        self.originator: Originator | None = originator
        self._destination = destination
        self.receiver = destination.title
        self._instances = instances
        self._settings = settings
        self._transcoding = transcoding
        self._association: Association | None = None
        self._contexts: Contexts = {}
        self._until = 0  # position of the first instance that was not planned for
        self._losses = 0

    async def association(self, position: int) -> Association:
        """The present one as long as it lasts and suits the instance, or else a new one."""
        current = self._association
        if current is not None and not current.closed.is_set() and position < self._until:
            return current
        if current is not None and current.closed.is_set():
            self._losses += 1
            if self._losses > MAX_LOSSES:
                raise Unavailable(f"{self._destination.title} keeps ending the association")
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

    async def close(self) -> None:
        """Release the association, if there is one."""
        current, self._association = self._association, None
        if current is not None:
            await current.release()

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
        settings = self._settings
        return await requestor.associate(
            self._destination.host,
            self._destination.port,
            calling_ae_title=settings.ae_title,
            called_ae_title=self._destination.title,
            contexts=[ProposedContext(sop_class, (syntax,)) for sop_class, syntax in proposed],
            timeouts=settings.timeouts,
            max_pdu=settings.max_pdu,
        )

    def _proposals(self, stored: StoredInstance) -> Iterator[tuple[str, str]]:
        yield stored.sop_class, stored.transfer_syntax
        targets = self._transcoding.targets(stored.transfer_syntax)
        yield from ((stored.sop_class, syntax) for syntax in _FALLBACKS if syntax in targets)


class CMove:
    """The retrieve SCP that delivers to a destination of the directory."""

    def __init__(
        self,
        *,
        retrieval: Retrieval,
        sub_operations: SubOperations,
        transcoding: Transcoding,
        settings: GatewaySettings,
        directory: Directory,
    ) -> None:
        self._retrieval = retrieval
        self._sub_operations = sub_operations
        self._transcoding = transcoding
        self._settings = settings
        self._directory = directory

    async def __call__(self, request: Request) -> None:
        """The audit record is durable before the first object leaves."""
        title = request.command.move_destination
        destination = self._directory.named(title)
        try:
            if destination is None or not destination.port:
                await self._unknown(request, title)
                return
            plan = await self._retrieval.plan(request, "move")
            await self._retrieval.record(
                AuditAction.EXPORT, request, plan, destination=destination.title
            )
        except IsocenterError as error:
            await refuse(request, statuses.Service.MOVE, error)
            return
        route = DestinationRoute(
            destination,
            plan.instances,
            settings=self._settings,
            transcoding=self._transcoding,
            originator=Originator(request.association.calling_ae_title, request.command.message_id),
        )
        try:
            await self._sub_operations.perform(request, plan.instances, route)
        finally:
            await route.close()

    async def _unknown(self, request: Request, title: str) -> None:
        log.warning(
            "move destination unknown",
            extra={"destination": title, "fix": "add it to gateway.known_aes with host and port"},
        )
        await self._retrieval.record_refusal(request, title)
        await request.respond(
            statuses.MOVE_DESTINATION_UNKNOWN,
            error_comment=statuses.comment(f"no host and port are known for {title}"),
        )
