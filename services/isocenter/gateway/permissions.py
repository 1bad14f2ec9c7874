"""What an AE of the directory may ask, of each presentation context and of each request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum

from isocenter.core.errors import IsocenterError, Refused, Unsupported
from isocenter.dimse.association import Handler
from isocenter.dimse.messages import CommandField, Request
from isocenter.gateway import statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.callers import Callers
from isocenter.gateway.services import SOP_CLASSES
from isocenter.gateway.statuses import Service
from isocenter.runtime.aes import KnownAE, Verb

_REQUESTS: Mapping[int, tuple[Verb, Service | None]] = {
    CommandField.C_ECHO: (Verb.ECHO, None),
    CommandField.C_STORE: (Verb.STORE, Service.STORE),
    CommandField.C_FIND: (Verb.FIND, Service.FIND),
    CommandField.C_MOVE: (Verb.MOVE, Service.MOVE),
    CommandField.C_GET: (Verb.GET, Service.GET),
    CommandField.N_ACTION: (Verb.COMMIT, Service.ACTION),
}
_VERBS: Mapping[str, Verb] = {
    uid: _REQUESTS[field][0] for field, uids in SOP_CLASSES.items() for uid in uids
}


def may_store(ae: KnownAE | None, sop_class: str) -> bool:
    """Whether objects of this SOP class are taken from an AE."""
    return ae is None or not ae.sop_classes or sop_class in ae.sop_classes


class Verdict(Enum):
    """On a presentation context of an AE."""

    ACCEPTED = "accepted"
    REFUSED = "user-rejection"  # supported, but not for it
    NOT_TAKEN = "abstract-syntax-not-supported"


def judged(
    ae: KnownAE | None, verbs: Collection[Verb], abstract_syntax: str, *, as_scp: bool
) -> Verdict:
    """Whether a presentation context is for an AE that may ask for these verbs. `as_scp`: it wants
    that role, which receives the objects of a C-GET."""
    verb = _VERBS.get(abstract_syntax, Verb.STORE)
    if verb is Verb.STORE and as_scp and Verb.GET in verbs:
        return Verdict.ACCEPTED
    if verb not in verbs:
        return Verdict.REFUSED
    if verb is Verb.STORE and not may_store(ae, abstract_syntax):
        return Verdict.NOT_TAKEN
    return Verdict.ACCEPTED


def permitted(
    handlers: Mapping[int, Handler], callers: Callers, refused: Callable[[Request, str], None]
) -> Mapping[int, Handler]:
    """The handlers, which are asked only for what the directory permits at that moment: what it
    forbids is over on open associations too. `refused` is told of it, and why."""
    return {
        field: _permitted(field, handler, callers, refused) for field, handler in handlers.items()
    }


def _permitted(
    field: int, handler: Handler, callers: Callers, refused: Callable[[Request, str], None]
) -> Handler:
    verb, service = _REQUESTS[field]

    async def handle(request: Request) -> None:
        problem = _problem(request, verb, callers)
        if problem is None:
            await handler(request)
            return
        refused(request, problem.message)
        if service is None:  # C-ECHO knows no status "not authorized" (PS3.7 9.1.5.1.4)
            await request.respond(statuses.SOP_CLASS_NOT_SUPPORTED)
        else:
            await refuse(request, service, problem)

    return handle


def _problem(request: Request, verb: Verb, callers: Callers) -> IsocenterError | None:
    association = request.association
    if verb not in callers.verbs(association, signed_in=association.user_now is not None):
        return Refused(f"{association.calling_ae_title} may not {verb.value}")
    ae = callers.known(association)
    if verb is Verb.STORE and not may_store(ae, request.context.abstract_syntax):
        return Unsupported("this SOP class is not taken from this AE")
    return None
