"""C-GET (PS3.7 9.1.3, PS3.4 C.4.3): sub-operations on the requester's own association."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

from isocenter.core.apis import StoredInstance, Transcoding
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.events import AuditAction
from isocenter.core.ports import Buffer
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.cancelling import unless_cancelled
from isocenter.gateway.contexts import WITHOUT_BULK_DATA
from isocenter.gateway.retrieval import Retrieval
from isocenter.gateway.suboperations import Contexts, SubOperations
from isocenter.gateway.without_bulk_data import WithoutBulkData


class RequesterRoute:
    """The association that the C-GET came on; the requester took the role of storage SCP where
    it wants objects (PS3.7 D.3.3.4)."""

    pauses: Sequence[float] = ()  # the requester sees what failed, and can ask again
    breakable = False  # the final response needs it

    def __init__(self, request: Request) -> None:
        self._association = request.association
        self.receiver = request.association.calling_ae_title
        self._contexts: Contexts = {
            (context.abstract_syntax, context.transfer_syntax): context
            for context in request.association.contexts.values()
            if context.scu
        }

    async def association(self, position: int) -> Association:
        """Always the same one."""
        del position
        if self._association.closed.is_set():
            raise Unavailable("the requester's association is gone")
        return self._association

    def contexts(self) -> Contexts:
        """Those in which we are the SCU."""
        return self._contexts

    async def store(
        self,
        context: PresentationContext,
        stored: StoredInstance,
        data: Buffer | AsyncIterable[Buffer],
        priority: int,
    ) -> int:
        """See `Route`."""
        response = await self._association.c_store(
            context, stored.sop_class, stored.name.instance, data, priority=priority
        )
        return response.status

    async def break_off(self) -> None:
        """Not ours to end."""

    async def close(self) -> None:
        """Not ours to release."""


class CGet:
    """The retrieve SCP that delivers to the requester."""

    def __init__(
        self, *, retrieval: Retrieval, sub_operations: SubOperations, transcoding: Transcoding
    ) -> None:
        self._retrieval = retrieval
        self._sub_operations = sub_operations
        self._renditions = {WITHOUT_BULK_DATA.get: WithoutBulkData(transcoding)}

    async def __call__(self, request: Request) -> None:
        """The audit record is durable before the first object leaves."""
        try:
            plan = await unless_cancelled(request, self._retrieval.plan(request))
            ended = await self._retrieval.record(AuditAction.RETRIEVE, request, plan)
        except IsocenterError as error:
            await refuse(request, statuses.Service.GET, error)
            return
        rendition = self._renditions.get(request.context.abstract_syntax)
        routes = [RequesterRoute(request)]
        await self._sub_operations.perform(
            request,
            plan.sent,
            routes,
            ended=ended,
            source=plan.extracted,
            rendition=rendition,
        )
