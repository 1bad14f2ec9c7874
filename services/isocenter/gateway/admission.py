"""Whether an association request is admitted, and with which presentation contexts."""

from __future__ import annotations

import logging

from isocenter.dimse.contexts import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    Accepted,
    Admission,
    AssociationOffer,
    Rejected,
)
from isocenter.gateway import extended
from isocenter.gateway.callers import Callers
from isocenter.gateway.contexts import is_storage, transfer_syntaxes
from isocenter.gateway.settings import GatewaySettings

log = logging.getLogger(__name__)


class Admissions:
    """Decides on association requests."""

    def __init__(self, *, settings: GatewaySettings, callers: Callers) -> None:
        self._settings = settings
        self._callers = callers

    def __call__(self, offer: AssociationOffer) -> Admission:
        """Reject callers that may not call; accept what is supported of what is proposed."""
        if offer.called_ae_title not in self._settings.called_ae_titles:
            return self._reject(offer, CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not ours")
        if not self._callers.may_call(offer.calling_ae_title, offer.peer_host):
            return self._reject(
                offer, CALLING_AE_TITLE_NOT_RECOGNIZED, "caller not in gateway.known_aes"
            )
        unknown = self._settings.accept_unknown_sop_classes
        accepted: dict[str, dict[str, None]] = {}
        storage: set[str] = set()
        for context in offer.contexts:
            uid = context.abstract_syntax
            if is_storage(uid, offer.common.get(uid), accept_unknown=unknown):
                storage.add(uid)
            supported = frozenset(transfer_syntaxes(uid, storage=uid in storage))
            # In the proposer's order: it puts first what costs it, or its objects, least.
            chosen = (syntax for syntax in context.transfer_syntaxes if syntax in supported)
            accepted.setdefault(uid, {}).update(dict.fromkeys(chosen))
        contexts = {uid: tuple(syntaxes) for uid, syntaxes in accepted.items() if syntaxes}
        answers = {
            uid: answer
            for uid, proposed in offer.extended.items()
            if uid in contexts
            and (answer := extended.answer(uid, proposed, storage=uid in storage))
        }
        return Accepted(contexts=contexts, roles=frozenset(storage), extended=answers)

    def _reject(self, offer: AssociationOffer, how: Rejected, why: str) -> Rejected:
        log.warning(
            "association rejected",
            extra={
                "calling_ae_title": offer.calling_ae_title,
                "called_ae_title": offer.called_ae_title,
                "peer": offer.peer_host,
                "reason": why,
            },
        )
        return how
