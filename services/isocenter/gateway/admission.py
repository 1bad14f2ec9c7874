"""Whether an association request is admitted, and with which presentation contexts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from isocenter.core.errors import Refused, TooMany, Unauthenticated, Unavailable
from isocenter.dimse.contexts import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    TEMPORARY_CONGESTION,
    USER_IDENTITY_REFUSED,
    Accepted,
    Admission,
    AssociationOffer,
    Rejected,
    UserIdentity,
)
from isocenter.dimse.server import Decide
from isocenter.gateway import extended
from isocenter.gateway.callers import Callers
from isocenter.gateway.contexts import FALLBACK_TRANSFER_SYNTAXES, is_storage, transfer_syntaxes
from isocenter.gateway.identities import Users, Verified
from isocenter.gateway.limits import Limits
from isocenter.gateway.permissions import Verdict, judged
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import KnownAE, Verb

log = logging.getLogger(__name__)


class Admissions:
    """Decides on association requests."""

    def __init__(
        self,
        *,
        settings: GatewaySettings,
        callers: Callers,
        limits: Limits,
        users: Users,
    ) -> None:
        self._settings = settings
        self._callers = callers
        self._limits = limits
        self._users = users

    def __call__(self, offer: AssociationOffer) -> Admission | Decide:
        """Reject callers that may not call; accept what is supported of what is proposed, once it
        is known who it is, where somebody says so.

        Strangers are told nothing but that: not which titles are known or called here, nor what
        was not right about a title that is.
        """
        if not self._callers.may_call(offer):
            return self._reject(offer, *self._stranger(offer))
        if offer.called_ae_title not in self._settings.called_ae_titles:
            return self._reject(offer, CALLED_AE_TITLE_NOT_RECOGNIZED, "called AE title not ours")
        if offer.user_identity is not None:
            return partial(self._identified, offer, offer.user_identity)
        return self._within_limits(offer, None)

    async def _identified(self, offer: AssociationOffer, claim: UserIdentity) -> Admission:
        try:
            verified = await self._users.verify(claim, self._callers.source_of(offer))
        except (Refused, Unauthenticated) as refusal:
            return self._reject(offer, USER_IDENTITY_REFUSED, refusal.message)
        except (TooMany, Unavailable) as error:
            return self._reject(offer, TEMPORARY_CONGESTION, error.message)
        return self._within_limits(offer, verified)

    def _within_limits(self, offer: AssociationOffer, verified: Verified | None) -> Admission:
        admission = self._limits.within(offer, self._accepted(offer, verified))
        if isinstance(admission, Rejected):
            return self._reject(offer, admission, admission.why)
        return admission

    def _accepted(self, offer: AssociationOffer, verified: Verified | None) -> Accepted:
        asked = offer.user_identity is not None and offer.user_identity.response_requested
        known = self._callers.known(offer)
        verbs = self._callers.verbs(offer, signed_in=verified is not None)
        contexts, storage, refused = self._judge(known, verbs, offer)
        coerces = known is not None and known.coercing is not None
        answers = {
            uid: answer
            for uid, proposed in offer.extended.items()
            if uid in contexts
            and (answer := extended.answer(uid, proposed, storage=uid in storage, coerces=coerces))
        }
        return Accepted(
            contexts=contexts,
            roles=storage if Verb.GET in verbs else frozenset(),
            refused=refused,
            extended=answers,
            user=verified.user if verified else "",
            user_now=verified.now if verified else None,
            identity_response=b"" if verified and asked else None,
            max_operations=self._settings.max_operations,
        )

    def _stranger(self, offer: AssociationOffer) -> tuple[Rejected, str]:
        if self._callers.complete:
            return CALLING_AE_TITLE_NOT_RECOGNIZED, self._callers.what_is_wrong(offer)
        return TEMPORARY_CONGESTION, "the AE directory has not been read yet"

    def _judge(
        self, ae: KnownAE | None, verbs: Collection[Verb], offer: AssociationOffer
    ) -> tuple[dict[str, Sequence[str]], frozenset[str], frozenset[str]]:
        """The transfer syntaxes that are taken of each abstract syntax that is, best first; which
        of these are of storage; and the abstract syntaxes that are supported, but not for this
        AE."""
        accepted: dict[str, dict[str, None]] = {}
        supported: dict[str, Sequence[str]] = {}
        storage, refused = set(), set()
        received = set()  # by the requestor, as SCP
        for context in offer.contexts:
            uid = context.abstract_syntax
            if is_storage(uid, offer.common.get(uid), accept_unknown=self._takes_unknown(ae, uid)):
                storage.add(uid)
            supported[uid] = transfer_syntaxes(uid, storage=uid in storage)
            verdict = judged(ae, verbs, uid, as_scp=context.scp)
            if supported[uid] and verdict is Verdict.REFUSED:
                refused.add(uid)
            elif supported[uid] and verdict is Verdict.ACCEPTED:
                chosen = (one for one in context.transfer_syntaxes if one in supported[uid])
                accepted.setdefault(uid, {}).update(dict.fromkeys(chosen))
                if context.scp:
                    received.add(uid)
        in_order = {
            # Where nothing of it is proposed, what could be: the answer then is that the transfer
            # syntaxes are not supported, not that the abstract syntax is not (PS3.8 table 9-18).
            uid: _in_order(ae, chosen, received=uid in received) or supported[uid]
            for uid, chosen in accepted.items()
        }
        return in_order, frozenset(storage & accepted.keys()), frozenset(refused)

    def _takes_unknown(self, ae: KnownAE | None, uid: str) -> bool:
        """Whether an object of this SOP class is taken though our tables do not know it."""
        named = ae is not None and uid in ae.sop_classes
        return named or self._settings.accept_unknown_sop_classes

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
        return replace(how, why=why)


def _in_order(ae: KnownAE | None, offered: Collection[str], *, received: bool) -> tuple[str, ...]:
    """What we prefer for this AE, then the others in the proposer's order: it puts first what
    costs it, or its objects, least. Where it receives, one context is to carry whatever is kept:
    best what nearly all of it can become."""
    preferred = [uid for uid in (ae.transfer_syntaxes if ae else ()) if uid in offered]
    others = sorted(offered, key=_is_special) if received else offered
    return tuple(dict.fromkeys((*preferred, *others)))


def _is_special(transfer_syntax: str) -> bool:
    return transfer_syntax not in FALLBACK_TRANSFER_SYNTAXES
