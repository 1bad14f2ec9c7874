"""C-FIND (PS3.7 9.1.2, PS3.4 C.4.1): matches stream from the query role to the requester."""

from __future__ import annotations

from contextlib import aclosing

from isocenter.core.apis import Query
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.errors import IsocenterError
from isocenter.core.identity import DEFAULT_PARTITION, is_uid
from isocenter.core.key_text import text_of
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.callers import Callers
from isocenter.gateway.cancelling import cancelled, unless_cancelled
from isocenter.gateway.contexts import MODELS
from isocenter.gateway.extended import matching_of
from isocenter.gateway.identifiers import PATIENT_ID, STUDY_UID, Identifier, read, write
from isocenter.gateway.lanes import Lanes, Work
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.streams import generator


class CFind:
    """The query SCP."""

    def __init__(
        self,
        *,
        query: Query,
        audit: AuditLog,
        callers: Callers,
        lanes: Lanes,
        ae_title: str,
        max_identifier: int,
        attributes: Attributes = BUILT_IN,
    ) -> None:
        self._query = query
        self._attributes = attributes
        self._audit = audit
        self._callers = callers
        self._lanes = lanes
        self._ae_title = ae_title
        self._max_identifier = max_identifier

    async def __call__(self, request: Request) -> None:
        """Pending responses as the matches come, then the final one."""
        try:
            data = await request.read_data(self._max_identifier)
            levels = MODELS[request.context.abstract_syntax].levels
            syntax = request.context.transfer_syntax
            identifier = read(data, syntax, levels, self._attributes)
            await self._record(request, identifier)
            await unless_cancelled(request, self._answer(request, identifier))
        except IsocenterError as error:
            await refuse(request, statuses.Service.FIND, error)
        else:
            await request.respond(statuses.SUCCESS)

    async def _record(self, request: Request, identifier: Identifier) -> None:
        """The audit trail knows of the search before the requester knows of an answer."""
        keys = (identifier.rows.get(key.tag) for key in identifier.narrowing)
        words = ["C-FIND", identifier.level.value, *(row.keyword for row in keys if row)]
        studies = identifier.values(STUDY_UID)
        await self._audit.searched(
            self._callers.source(request.association),
            partition=DEFAULT_PARTITION,
            patient_ids=identifier.values(PATIENT_ID),
            studies=tuple(uid for uid in studies if is_uid(uid)),
            detail=" ".join(words),
            query=text_of(identifier.keys),
        )

    async def _answer(self, request: Request, identifier: Identifier) -> None:
        status = statuses.PENDING
        # One that is being filled is not supported yet: not for all that is kept.
        if identifier.unsupported or await self._unfilled(identifier):
            status = statuses.PENDING_WITH_UNSUPPORTED_KEYS
        syntax = request.context.transfer_syntax
        matching = matching_of(request.association, request.context.abstract_syntax)
        moments = identifier.moments(matching)
        search = identifier.search(matching, moments)
        caller = await self._callers.caller(request.association)
        with self._lanes.turn(Work.READ, request) as turn:
            await turn.step()
            async with aclosing(generator(self._query.search(caller, search))) as batches:
                async for batch in batches:
                    for match in batch:
                        if request.cancelled.is_set():
                            raise cancelled()
                        attributes = moments.answer(match.attributes)
                        if attributes is None:
                            continue
                        answer = identifier.answer(attributes, self._ae_title)
                        data_set = write(answer, syntax, identifier.charset)
                        await request.respond(status, data_set=data_set)
                    await turn.step()

    async def _unfilled(self, identifier: Identifier) -> bool:
        added = identifier.added
        return bool(added and added & (await self._query.unfilled()).keys())
