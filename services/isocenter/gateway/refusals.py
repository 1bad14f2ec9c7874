"""Who was refused, for the audit trail: it is told in the background (`runtime.audit_notices`), and
nobody waits for it."""

from __future__ import annotations

from isocenter.core.events import Source
from isocenter.dimse.contexts import Admission, AssociationOffer, Rejected
from isocenter.dimse.errors import REJECT_REASONS
from isocenter.dimse.messages import Request
from isocenter.gateway.callers import Callers
from isocenter.runtime.audit_notices import Notices


class Refusals:
    """Associations and connections that are not let in, and requests that are not permitted.
    Those that are let in leave no record: what is asked for on them does."""

    def __init__(self, notices: Notices, callers: Callers) -> None:
        self._notices = notices
        self._callers = callers

    def answered(self, offer: AssociationOffer, admission: Admission) -> None:
        """See `dimse.server.Answered`."""
        if not isinstance(admission, Rejected):
            return
        words = REJECT_REASONS.get((admission.source, admission.reason), "")
        self._notices.note(
            self._callers.source_of(offer), "association refused", admission.why or words
        )

    def turned_away(self, host: str, why: str) -> None:
        """See `dimse.server.TurnedAway`."""
        self._notices.note(Source("DIMSE", host, known=False), "connection refused", why)

    def request(self, request: Request, why: str) -> None:
        """See `permissions.permitted`."""
        self._notices.note(self._callers.source(request.association), "request refused", why)

    async def stop(self) -> None:
        """Record what is left, within a bounded time."""
        await self._notices.stop()
