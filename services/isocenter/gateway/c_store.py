"""C-STORE (PS3.7 9.1.1, PS3.4 annex B): the data set goes to ingest as it arrives."""

from __future__ import annotations

from isocenter.core.apis import Announcement, Ingest
from isocenter.core.errors import Invalid, IsocenterError, Mismatch
from isocenter.core.identity import is_uid
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.callers import Callers
from isocenter.gateway.contexts import general_class
from isocenter.gateway.lanes import Lanes, Work


class CStore:
    """The storage SCP."""

    def __init__(self, *, ingest: Ingest, callers: Callers, lanes: Lanes) -> None:
        self._ingest = ingest
        self._callers = callers
        self._lanes = lanes

    async def __call__(self, request: Request) -> None:
        """Success is answered only when ingest says that the object is durable."""
        try:
            announcement = await self._announcement(request)
            with self._lanes.turn(Work.STORE, request) as turn:
                stored = await self._ingest.store(announcement, turn.chunks(request.data))
        except IsocenterError as error:
            await refuse(request, statuses.Service.STORE, error)
            return
        if not stored.coerced:
            await request.respond(statuses.SUCCESS)
            return
        # PS3.4 table B.2-1: the elements that were coerced are those in Offending Element.
        await request.respond(
            statuses.COERCION_OF_DATA_ELEMENTS,
            error_comment="attributes were coerced",
            offending_elements=stored.coerced,
        )

    async def _announcement(self, request: Request) -> Announcement:
        command = request.command
        if not is_uid(command.affected_sop_instance):
            raise Invalid("Affected SOP Instance UID is no UID", fix="see PS3.5 9.1")
        if command.affected_sop_class != request.context.abstract_syntax:
            raise Mismatch("Affected SOP Class UID is not the presentation context's")
        return Announcement(
            source=self._callers.source(request.association),
            caller=await self._callers.caller(request.association),
            transfer_syntax=request.context.transfer_syntax,
            sop_class=command.affected_sop_class,
            instance=command.affected_sop_instance,
            general_sop_class=general_class(
                request.association.common.get(command.affected_sop_class)
            ),
        )
