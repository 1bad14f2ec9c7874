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
from isocenter.gateway.callers import Callers
from isocenter.gateway.contexts import (
    FALLBACK_TRANSFER_SYNTAXES,
    is_storage,
    transfer_syntaxes,
)
from isocenter.gateway.settings import GatewaySettings

log = logging.getLogger(__name__)


class Admissions:
    """Decides on association requests."""

    def __init__(self, *, settings: GatewaySettings, callers: Callers) -> None:
        self._settings = settings
        self._callers = callers

    def __call__(self, offer: AssociationOffer) -> Admission:
        """Reject callers that may not call; accept what is supported of what is proposed."""
        # The caller first: strangers do not find out our AE titles by trying them.
        if not self._callers.may_call(offer.calling_ae_title, offer.peer_host):
            return self._reject(
                offer, CALLING_AE_TITLE_NOT_RECOGNIZED, "caller not in gateway.known_aes"
            )
        if offer.called_ae_title not in self._settings.called_ae_titles:
            return self._reject(offer, CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not ours")
        unknown = self._settings.accept_unknown_sop_classes
        accepted: dict[str, dict[str, None]] = {}
        received: set[str] = set()  # by the requestor, as SCP
        for context in offer.contexts:
            supported = transfer_syntaxes(context.abstract_syntax, accept_unknown=unknown)
            if not supported:
                continue
            # In the proposer's order: it puts first what costs it, or its objects, least.
            chosen = (uid for uid in context.transfer_syntaxes if uid in supported)
            accepted.setdefault(context.abstract_syntax, {}).update(dict.fromkeys(chosen))
            if context.scp:
                received.add(context.abstract_syntax)
        for uid in received:
            # One context is to carry whatever is kept: best what nearly all of it can become.
            accepted[uid] = dict.fromkeys(sorted(accepted[uid], key=_is_special))
        return Accepted(
            # Where nothing of it is proposed, what could be: the answer then is that the transfer
            # syntaxes are not supported, not that the abstract syntax is not (PS3.8 table 9-18).
            contexts={
                uid: tuple(syntaxes) or transfer_syntaxes(uid, accept_unknown=unknown)
                for uid, syntaxes in accepted.items()
            },
            roles=frozenset(uid for uid in accepted if is_storage(uid, accept_unknown=unknown)),
        )

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


def _is_special(transfer_syntax: str) -> bool:
    return transfer_syntax not in FALLBACK_TRANSFER_SYNTAXES
