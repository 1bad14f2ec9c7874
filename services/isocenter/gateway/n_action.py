"""N-ACTION of Storage Commitment (PS3.7 10.1.4, PS3.4 J.3.2): taken down, and answered later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from isocenter.core import reader
from isocenter.core.errors import Invalid, IsocenterError, NotFound, Unsupported
from isocenter.core.events import AuditAction, CommitmentRequested, SopReference
from isocenter.core.identity import DEFAULT_PARTITION, is_uid
from isocenter.core.matching import JsonAttributes
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.callers import Callers
from isocenter.gateway.commitment_items import (
    REFERENCED_SOPS,
    REQUEST_STORAGE_COMMITMENT,
    SOP_CLASS,
    SOP_INSTANCE,
    TRANSACTION_UID,
    WELL_KNOWN_INSTANCE,
    items_of,
)
from isocenter.runtime.audit_log import AuditLog

STORAGE_COMMITMENT = "Storage Commitment, transaction"  # in the audit trail

_MAX_DEPTH = 4


class Custody(Protocol):
    """Who carries out what was asked for."""

    async def begin(
        self, event: CommitmentRequested, association: Association, context: PresentationContext
    ) -> None:
        """Durable on return. The result may go over the association while it lasts."""
        ...


class NAction:
    """The SCP of Storage Commitment."""

    def __init__(
        self, *, custody: Custody, audit: AuditLog, callers: Callers, max_identifier: int
    ) -> None:
        self._custody = custody
        self._audit = audit
        self._callers = callers
        self._max_identifier = max_identifier

    async def __call__(self, request: Request) -> None:
        """Success is answered when the request itself is durable."""
        try:
            event = await self._read(request)
            await self._audit.record(
                AuditAction.VERIFY,
                event.source,
                partition=DEFAULT_PARTITION,
                instances=tuple(one.instance for one in event.references),
                instance_count=len(event.references),
                detail=f"{STORAGE_COMMITMENT} {event.transaction}",
            )
            await self._custody.begin(event, request.association, request.context)
        except IsocenterError as error:
            await refuse(request, statuses.Service.ACTION, error)
        else:
            await request.respond(statuses.SUCCESS)

    async def _read(self, request: Request) -> CommitmentRequested:
        command, context = request.command, request.context
        if command.requested_sop_instance != WELL_KNOWN_INSTANCE:
            raise NotFound("Requested SOP Instance UID is not that of PS3.4 J.3.5")
        if command.action_type_id != REQUEST_STORAGE_COMMITMENT:
            raise Unsupported("the action type is not 1")
        data = await request.read_data(self._max_identifier)
        attributes = reader.to_json(data, context.transfer_syntax, max_depth=_MAX_DEPTH)
        return CommitmentRequested(
            transaction=_uid(attributes, TRANSACTION_UID),
            source=self._callers.source(request.association),
            references=_references(attributes),
            at=datetime.now(UTC),
        )


def _references(attributes: JsonAttributes) -> tuple[SopReference, ...]:
    items = items_of(attributes, REFERENCED_SOPS)
    if not items:
        raise Invalid("(0008,1199) has no items")
    named = (SopReference(_uid(item, SOP_CLASS), _uid(item, SOP_INSTANCE)) for item in items)
    return tuple(dict.fromkeys(named))


def _uid(attributes: JsonAttributes, tag: str) -> str:
    values: Any = attributes.get(tag, {}).get("Value") or [""]
    uid = str(values[0]).strip(" \0")
    if len(values) != 1 or not is_uid(uid):
        raise Invalid(f"({tag[:4]},{tag[4:]}) is no UID")
    return uid
