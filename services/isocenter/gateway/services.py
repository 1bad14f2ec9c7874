"""Which SOP classes the services are for: a request must be of the service that its presentation
context was proposed for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from isocenter.core.events import AuditAction
from isocenter.dimse.association import Handler
from isocenter.dimse.messages import CommandField, Request
from isocenter.gateway.contexts import INFORMATION_MODELS, STORAGE_COMMITMENT, VERIFICATION
from isocenter.gateway.statuses import SOP_CLASS_NOT_SUPPORTED

# C-STORE is for what the directory and the settings take: it looks at what it gets itself.
SOP_CLASSES: Mapping[int, frozenset[str]] = {
    CommandField.C_ECHO: frozenset({VERIFICATION}),
    CommandField.C_FIND: frozenset(model.find for model in INFORMATION_MODELS if model.find),
    CommandField.C_MOVE: frozenset(model.move for model in INFORMATION_MODELS if model.move),
    CommandField.C_GET: frozenset(model.get for model in INFORMATION_MODELS if model.get),
    CommandField.N_ACTION: frozenset({STORAGE_COMMITMENT}),
}

# What every verb leaves in the audit trail: the action of its record, or why it leaves none.
AUDITED: Mapping[int, AuditAction | str] = {
    CommandField.C_ECHO: "it touches no patient data",
    CommandField.C_STORE: AuditAction.STORE,
    CommandField.C_FIND: AuditAction.QUERY,
    CommandField.C_MOVE: AuditAction.EXPORT,
    CommandField.C_GET: AuditAction.RETRIEVE,
    CommandField.N_ACTION: AuditAction.VERIFY,
}


def of_their_sop_classes(handlers: Mapping[int, Handler]) -> dict[int, Handler]:
    """The handlers, with requests on presentation contexts of other services refused."""
    return {
        field: partial(_on_its_own, SOP_CLASSES[field], handler)
        if field in SOP_CLASSES
        else handler
        for field, handler in handlers.items()
    }


async def _on_its_own(sop_classes: frozenset[str], handler: Handler, request: Request) -> None:
    if request.context.abstract_syntax in sop_classes:
        await handler(request)
    else:
        await request.respond(
            SOP_CLASS_NOT_SUPPORTED,
            error_comment="the presentation context is not for this service",
        )
