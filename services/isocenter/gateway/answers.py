"""How a request that cannot be carried out is answered."""

from __future__ import annotations

import logging

from isocenter.core.errors import IsocenterError
from isocenter.dimse.errors import AssociationAborted
from isocenter.dimse.messages import Request
from isocenter.gateway.statuses import CANCELLED, Service, failure

log = logging.getLogger(__name__)


async def refuse(request: Request, service: Service, error: IsocenterError) -> None:
    """Answer with the error's status in this service; a requester that is gone gets none, one that
    cancelled knows why."""
    if isinstance(error, AssociationAborted):
        raise error
    answer = failure(service, error)
    if answer.status == CANCELLED:
        await request.respond(CANCELLED)
        return
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
