"""The page of emergency access: somebody has to see a patient now, and says why."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

from isocenter.core.errors import Invalid
from isocenter.runtime.access.sharing import (
    LONGEST_REASON,
    SHORTEST_REASON,
    Sharing,
)
from isocenter.web import cookies
from isocenter.web.exchange import Exchange
from isocenter.web.shell import Shell, View
from isocenter.web.small_bodies import form

EMERGENCY = "/emergency"

_MINUTE = timedelta(minutes=1)


class EmergencyPages:
    """The transactions."""

    def __init__(self, sharing: Sharing, shell: Shell) -> None:
        self._sharing = sharing
        self._shell = shell

    async def shown(self, exchange: Exchange, view: View) -> None:
        """The form."""
        await self._page(exchange, view, dict(view.query).get("patient", ""))

    async def begin(self, exchange: Exchange, view: View) -> None:
        """See the patient's studies from now on, for a while."""
        given = dict(await form(exchange))
        patient = given.get("patient", "")
        try:
            secret = await self._sharing.in_emergency(
                exchange.asker,
                exchange.session,
                cookies.session(exchange),
                patient,
                given.get("issuer", ""),
                given.get("reason", ""),
            )
        except Invalid as error:
            await self._page(exchange, view, patient, str(error), 400)
            return
        place = f"{view.root}/viewer/?{urlencode({'mrn': patient.strip()})}"
        location = (b"location", place.encode("ascii"))
        await exchange.answer(303, [location, cookies.kept(exchange, secret)])

    async def _page(
        self, exchange: Exchange, view: View, patient: str, error: str = "", status: int = 200
    ) -> None:
        context = {
            "page": "emergency",
            "caller": exchange.caller,
            "patient": patient,
            "error": error,
            "minutes": max(1, round(self._sharing.doors.emergency / _MINUTE)),
            "shortest": SHORTEST_REASON,
            "longest": LONGEST_REASON,
        }
        await self._shell.answer(exchange, view, "emergency.html", context, status)
