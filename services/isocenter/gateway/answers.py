"""How a request that cannot be carried out is answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from isocenter.core.errors import IsocenterError
from isocenter.dimse.association import Handler
from isocenter.dimse.errors import AssociationAborted
from isocenter.dimse.messages import Request
from isocenter.gateway.contexts import QUERY_RETRIEVE
from isocenter.gateway.statuses import SOP_CLASS_NOT_SUPPORTED, Service, failure

log = logging.getLogger(__name__)


async def refuse(request: Request, service: Service, error: IsocenterError) -> None:
    """Answer with the error's status in this service; a requester that is gone gets none."""
    if isinstance(error, AssociationAborted):
        raise error
    answer = failure(service, error)
    log.warning(
        "request failed",
        extra={
            "service": service.value,
            "calling_ae_title": request.association.calling_ae_title,
            "peer": request.association.peer_host,
            "status": f"0x{answer.status:04X}",
            "error": str(error),
        },
    )
    await request.respond(answer.status, error_comment=answer.comment)


def in_their_contexts(handlers: Mapping[int, Handler]) -> Mapping[int, Handler]:
    """The handlers, those of Query/Retrieve only for requests in contexts of their SOP classes."""
    return {field: _in_its_contexts(field, handler) for field, handler in handlers.items()}


def _in_its_contexts(field: int, handler: Handler) -> Handler:
    sop_classes = QUERY_RETRIEVE.get(field)
    if sop_classes is None:
        return handler

    async def handle(request: Request) -> None:
        if request.context.abstract_syntax in sop_classes:
            await handler(request)
        else:
            await request.respond(
                SOP_CLASS_NOT_SUPPORTED,
                error_comment="the presentation context is not for this service",
            )

    return handle
