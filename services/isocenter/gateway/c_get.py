"""C-GET (PS3.7 9.1.3, PS3.4 C.4.3): sub-operations on the requester's own association."""

from __future__ import annotations

from isocenter.core.apis import Transcoding
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.events import AuditAction
from isocenter.dimse.association import Association
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.contexts import WITHOUT_BULK_DATA
from isocenter.gateway.retrieval import Retrieval
from isocenter.gateway.suboperations import Contexts, Originator, SubOperations
from isocenter.gateway.without_bulk_data import WithoutBulkData


class RequesterRoute:
    """The association that the C-GET came on; the requester took the role of storage SCP where
    it wants objects (PS3.7 D.3.3.4)."""

    originator: Originator | None = None

    def __init__(self, association: Association) -> None:
        self._association = association
        self.receiver = association.calling_ae_title
        self._contexts: Contexts = {
            (context.abstract_syntax, context.transfer_syntax): context
            for context in association.contexts.values()
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
            plan = await self._retrieval.plan(request, "get")
            await self._retrieval.record(AuditAction.RETRIEVE, request, plan)
        except IsocenterError as error:
            await refuse(request, statuses.Service.GET, error)
            return
        route = RequesterRoute(request.association)
        rendition = self._renditions.get(request.context.abstract_syntax)
        await self._sub_operations.perform(request, plan.instances, route, rendition)
