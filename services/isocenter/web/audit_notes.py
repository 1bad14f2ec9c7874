"""What officers keep beside the audit trail, over HTTP: saved searches and legal holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from isocenter.core.audit_api import MAX_DAYS, Hold, SavedSearch
from isocenter.core.errors import Invalid, NotFound
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web import audit_json
from isocenter.web.audit_filters import number_of, read
from isocenter.web.audit_rest import ROUTE, answer
from isocenter.web.exchange import Exchange
from isocenter.web.problems import shown
from isocenter.web.small_bodies import fields

SEARCHES = ROUTE + "/searches"
SEARCH = SEARCHES + "/{name...}"  # a name may hold slashes
HOLDS = ROUTE + "/holds"
HOLD = HOLDS + "/{name...}"


class AuditNotes:
    """The transactions."""

    def __init__(self, access: TrailAccess) -> None:
        self._access = access

    async def searches(self, exchange: Exchange) -> None:
        """Saved searches, by name."""
        exchange.parameters()
        trail = await self._access.read(exchange.asker, "saved searches")
        told = [audit_json.saved(one) for one in await trail.saved()]
        await answer(exchange, {"searches": told})

    async def search(self, exchange: Exchange) -> None:
        """One of them."""
        exchange.parameters()
        name = exchange.path["name"]
        trail = await self._access.read(exchange.asker, f"saved search {shown(name)}")
        found = [one for one in await trail.saved() if one.name == name]
        if not found:
            raise _missing("saved search", name)
        await answer(exchange, audit_json.saved(found[0]))

    async def save(self, exchange: Exchange) -> None:
        """Keep a search: 201 when it is new, else 200."""
        exchange.parameters()
        body = await fields(exchange)
        search = saved_from(exchange, exchange.path["name"], body)
        kept = await self._access.save(exchange.asker, search)
        await answer(exchange, audit_json.saved(kept.search), 201 if kept.new else 200)

    async def forget(self, exchange: Exchange) -> None:
        """204 when it is gone."""
        exchange.parameters()
        await self._access.forget(exchange.asker, exchange.path["name"])
        await exchange.without_content(204, ())

    async def holds(self, exchange: Exchange) -> None:
        """The legal holds, by name."""
        exchange.parameters()
        trail = await self._access.read(exchange.asker, "legal holds")
        told = [audit_json.held(one) for one in await trail.holds()]
        await answer(exchange, {"holds": told})

    async def hold(self, exchange: Exchange) -> None:
        """One of them."""
        exchange.parameters()
        name = exchange.path["name"]
        trail = await self._access.read(exchange.asker, f"legal hold {shown(name)}")
        found = [one for one in await trail.holds() if one.name == name]
        if not found:
            raise _missing("legal hold", name)
        await answer(exchange, audit_json.held(found[0]))

    async def place(self, exchange: Exchange) -> None:
        """Stop expiry: 201; 409 where there is a hold of this name."""
        exchange.parameters()
        body = await fields(exchange)
        reason = body.get("reason")
        if body.keys() != {"reason"} or not isinstance(reason, str):
            raise Invalid("a legal hold needs a reason", fix='send {"reason": "..."}')
        hold = Hold(exchange.path["name"], reason, exchange.source, datetime.now(UTC))
        hold = await self._access.hold(exchange.asker, hold)
        await answer(exchange, audit_json.held(hold), 201)

    async def release(self, exchange: Exchange) -> None:
        """204 when it has ended."""
        exchange.parameters()
        await self._access.release(exchange.asker, exchange.path["name"])
        await exchange.without_content(204, ())


def saved_from(exchange: Exchange, name: str, body: Mapping[str, Any]) -> SavedSearch:
    """A search from the fields of JSON. Raises `Invalid`."""
    wanted = body.get("filter", {})
    days = body.get("days", 0)
    try:
        if body.keys() - {"filter", "days"} or isinstance(days, bool):
            raise TypeError
        pairs = [(key, value) for key, given in wanted.items() for value in _values(given)]
        return search_of(exchange, name, pairs, number_of("days", str(days), MAX_DAYS, 0))
    except (AttributeError, TypeError) as error:
        raise Invalid(
            "the search cannot be read",
            fix='send {"filter": {"who": "...", "action": ["retrieve"]}, "days": 7}',
        ) from error


def search_of(
    exchange: Exchange,
    name: str,
    pairs: list[tuple[str, str]],
    days: int,
    *,
    blank: bool = False,
) -> SavedSearch:
    """A search to be saved. Raises `Invalid`."""
    which = read(pairs, blank=blank)
    return SavedSearch(name, which, exchange.source, datetime.now(UTC), days)


def _values(given: object) -> list[str]:
    values: list[Any] = given if isinstance(given, list) else [given]
    if not all(isinstance(value, str) for value in values):
        raise TypeError
    return values


def _missing(what: str, name: str) -> NotFound:
    return NotFound(f"there is no {what} {shown(name)}", fix="see the list for the names")
