"""DIMSE operations and associations, with traces and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

from isocenter.dimse.association import Handler
from isocenter.dimse.contexts import LOCAL_LIMIT_EXCEEDED, Accepted, Admission, AssociationOffer
from isocenter.dimse.messages import CommandField, Request
from isocenter.dimse.server import Answered, Server
from isocenter.gateway import statuses
from isocenter.gateway.callers import Callers
from isocenter.runtime.instruments import (
    ASSOCIATIONS,
    ASSOCIATIONS_OPEN,
    DIMSE_DURATION,
    LIMITS_REFUSED,
)
from isocenter.runtime.limits import Limit
from isocenter.runtime.telemetry import Telemetry

_ABORTED = "aborted"
_UNKNOWN = "unknown"  # strangers are not told apart
_OUTCOMES = {True: "accepted", False: "rejected"}


def status_class(status: int | None) -> str:
    """The class of a final response (PS3.7 annex C)."""
    if status is None:
        return _ABORTED
    if status == statuses.SUCCESS:
        return "success"
    if status == statuses.CANCELLED:
        return "cancel"
    return "warning" if statuses.is_warning(status) else "failure"


def traced(handlers: Mapping[int, Handler], telemetry: Telemetry) -> Mapping[int, Handler]:
    """The handlers, each operation with a span and measured; themselves if telemetry is off."""
    if not telemetry.on:
        return handlers
    return {field: _traced(field, handler, telemetry) for field, handler in handlers.items()}


def _traced(field: int, handler: Handler, telemetry: Telemetry) -> Handler:
    verb = CommandField(field).name.replace("_", "-")

    async def handle(request: Request) -> None:
        association, context = request.association, request.context
        attributes = {
            "dicom.calling_ae_title": association.calling_ae_title,
            "dicom.called_ae_title": association.called_ae_title,
            "dicom.sop_class": context.abstract_syntax,
            "dicom.transfer_syntax": context.transfer_syntax,
        }
        began = perf_counter()
        with telemetry.span(verb, attributes, role="server") as span:
            try:
                await handler(request)
            finally:
                labels = {
                    "verb": verb,
                    "ae": telemetry.ae(association.calling_ae_title),
                    "status": status_class(request.status),
                }
                telemetry.record(DIMSE_DURATION, perf_counter() - began, labels)
                if request.status is not None:
                    span.set({"dicom.status": f"0x{request.status:04X}"})
                if labels["status"] in ("failure", _ABORTED):
                    span.fail(labels["status"])

    return handle


def answered(callers: Callers, telemetry: Telemetry) -> Answered:
    """Counts the requests of associations."""
    for outcome in _OUTCOMES.values():  # from the start, so that the first one is an increase
        telemetry.count(ASSOCIATIONS, 0, {"ae": _UNKNOWN, "outcome": outcome})

    def count(offer: AssociationOffer, admission: Admission) -> None:
        known = callers.known(offer) is not None
        ae = telemetry.ae(offer.calling_ae_title) if known else _UNKNOWN
        outcome = _OUTCOMES[isinstance(admission, Accepted)]
        telemetry.count(ASSOCIATIONS, 1, {"ae": ae, "outcome": outcome})
        if admission == LOCAL_LIMIT_EXCEEDED:
            telemetry.count(LIMITS_REFUSED, 1, {"limit": Limit.ASSOCIATIONS.value})

    return count


def observe(server: Server, telemetry: Telemetry) -> None:
    """Tell how many associations there are."""
    telemetry.observe(ASSOCIATIONS_OPEN, lambda: [(server.associations, {})])
