"""What compliance officers do on the pages about the audit trail: verify it, keep searches, place
and release legal holds.

Forms are answered only where a page of ours sent them (`web.admission.from_here`).
"""

from __future__ import annotations

from contextlib import aclosing

from markupsafe import Markup

from isocenter.core.audit_api import MAX_DAYS, Hold
from isocenter.core.errors import Invalid
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web.audit_common import ROOT
from isocenter.web.audit_filters import number_of, without
from isocenter.web.audit_notes import search_of
from isocenter.web.audit_overview import last_verified
from isocenter.web.audit_page import SEARCH
from isocenter.web.chunks import Chunks
from isocenter.web.exchange import Exchange
from isocenter.web.shell import Shell, View, headers_of
from isocenter.web.small_bodies import form

VERIFICATION = ROOT + "/verification"
SEARCHES = ROOT + "/searches"
FORGOTTEN = ROOT + "/searches/remove"
HOLDS = ROOT + "/holds"
RELEASED = ROOT + "/holds/release"

# In the page around a verification: where what it tells comes. No text of a page is a comment.
_HERE = Markup("<!-- here -->")


class AuditDesk:
    """The transactions."""

    def __init__(self, access: TrailAccess, shell: Shell) -> None:
        self._access = access
        self._shell = shell

    async def verification(self, exchange: Exchange, view: View) -> None:
        """The last verification, and the button for another one."""
        trail = await self._access.read(exchange.asker, "page: verification")
        context = {
            "page": "verification",
            "verified": await last_verified(trail, self._shell.now()),
            "state": await trail.state(),
        }
        await self._shell.answer(exchange, view, "verification.html", context)

    async def verify(self, exchange: Exchange, view: View) -> None:
        """Verify the trail; the page comes as that goes on."""
        await form(exchange)
        await exchange.stream(200, headers_of(view), self._verified(exchange, view))

    async def _verified(self, exchange: Exchange, view: View) -> Chunks:
        context = {"page": "verification", "here": _HERE}
        page = self._shell.render(view, "verifying.html", context)
        told, _, behind = page.partition(_HERE.encode("ascii"))
        async with aclosing(self._access.verify(exchange.asker)) as reports:
            async for report in reports:  # nothing is sent before it is sure to begin
                told += self._shell.render(view, "verified.html", {"report": report})
                yield told
                told = b""
        yield told + behind

    async def save(self, exchange: Exchange, view: View) -> None:
        """Keep the search that a form holds."""
        asked, more = without(await form(exchange), "name", "days")
        days = number_of("days", more.get("days", "") or "0", MAX_DAYS, 0)
        if days:
            asked = [pair for pair in asked if pair[0] != "since"]
        search = search_of(exchange, more.get("name", ""), asked, days, blank=True)
        await self._access.save(exchange.asker, search)
        await _see(exchange, view.within(SEARCH, search.which))

    async def forget(self, exchange: Exchange, view: View) -> None:
        """Remove a saved search."""
        name = await _name(exchange)
        await self._access.forget(exchange.asker, name)
        await _see(exchange, view.link(ROOT))

    async def hold(self, exchange: Exchange, view: View) -> None:
        """Place a legal hold."""
        given = dict(await form(exchange))
        name, reason = given.get("name", "").strip(), given.get("reason", "").strip()
        hold = Hold(name, reason, exchange.source, self._shell.now())
        await self._access.hold(exchange.asker, hold)
        await _see(exchange, view.link(ROOT))

    async def release(self, exchange: Exchange, view: View) -> None:
        """End a legal hold."""
        await self._access.release(exchange.asker, await _name(exchange))
        await _see(exchange, view.link(ROOT))


async def _name(exchange: Exchange) -> str:
    name = dict(await form(exchange)).get("name", "")
    if not name:
        raise Invalid("the form names nothing", fix="open the page again")
    return name


async def _see(exchange: Exchange, address: str) -> None:
    """To the page that shows what was done (RFC 9110 15.4.4)."""
    await exchange.answer(303, [(b"location", address.encode("ascii"))])
