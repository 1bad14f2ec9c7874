"""What officers keep beside the audit trail, over HTTP: saved searches and legal holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.core.errors import Invalid, NotFound
from isocenter.runtime.audit_reading import filter_text
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web import audit_json
from isocenter.web.audit_bodies import fields, from_here
from isocenter.web.audit_filters import number_of, read
from isocenter.web.audit_rest import ROUTE, answer
from isocenter.web.exchange import Exchange
from isocenter.web.problems import shown

SEARCHES = ROUTE + "/searches"
SEARCH = SEARCHES + "/{name...}"  # a name may hold slashes
HOLDS = ROUTE + "/holds"
HOLD = HOLDS + "/{name...}"

MAX_DAYS = 36_600


class AuditNotes:
    """The transactions."""

    def __init__(self, access: TrailAccess) -> None:
        self._access = access

    async def searches(self, exchange: Exchange) -> None:
        """Saved searches, by name."""
        exchange.parameters()
        trail = await self._access.read(exchange.source, "saved searches")
        told = [audit_json.saved(one) for one in await trail.saved()]
        await answer(exchange, {"searches": told})

    async def search(self, exchange: Exchange) -> None:
        """One of them."""
        exchange.parameters()
        name = exchange.path["name"]
        trail = await self._access.read(exchange.source, f"saved search {shown(name)}")
        found = [one for one in await trail.saved() if one.name == name]
        if not found:
            raise _missing("saved search", name)
        await answer(exchange, audit_json.saved(found[0]))

    async def save(self, exchange: Exchange) -> None:
        """Keep a search: 201 when it is new, else 200."""
        from_here(exchange)
        exchange.parameters()
        body = await fields(exchange)
        search = saved_from(exchange, exchange.path["name"], body)
        new = await kept(self._access, exchange, search)
        await answer(exchange, audit_json.saved(search), 201 if new else 200)

    async def forget(self, exchange: Exchange) -> None:
        """204 when it is gone."""
        from_here(exchange)
        exchange.parameters()
        await forgotten(self._access, exchange, exchange.path["name"])
        await exchange.without_content(204, ())

    async def holds(self, exchange: Exchange) -> None:
        """The legal holds, by name."""
        exchange.parameters()
        trail = await self._access.read(exchange.source, "legal holds")
        told = [audit_json.held(one) for one in await trail.holds()]
        await answer(exchange, {"holds": told})

    async def hold(self, exchange: Exchange) -> None:
        """One of them."""
        exchange.parameters()
        name = exchange.path["name"]
        trail = await self._access.read(exchange.source, f"legal hold {shown(name)}")
        found = [one for one in await trail.holds() if one.name == name]
        if not found:
            raise _missing("legal hold", name)
        await answer(exchange, audit_json.held(found[0]))

    async def place(self, exchange: Exchange) -> None:
        """Stop expiry: 201; 409 where there is a hold of this name."""
        from_here(exchange)
        exchange.parameters()
        body = await fields(exchange)
        reason = body.get("reason")
        if body.keys() != {"reason"} or not isinstance(reason, str):
            raise Invalid("a legal hold needs a reason", fix='send {"reason": "..."}')
        hold = await placed(self._access, exchange, exchange.path["name"], reason)
        await answer(exchange, audit_json.held(hold), 201)

    async def release(self, exchange: Exchange) -> None:
        """204 when it has ended."""
        from_here(exchange)
        exchange.parameters()
        await released(self._access, exchange, exchange.path["name"])
        await exchange.without_content(204, ())


async def kept(access: TrailAccess, exchange: Exchange, search: SavedSearch) -> bool:
    """Keep a search; whether it is new. Raises `Invalid`."""
    async with access.change(
        exchange.source, f"saved search {search.name}: {filter_text(search.which)}"
    ) as trail:
        new = all(one.name != search.name for one in await trail.saved())
        await trail.save(search)
    return new


async def forgotten(access: TrailAccess, exchange: Exchange, name: str) -> None:
    """Remove a saved search. Raises `NotFound`."""
    async with access.change(exchange.source, f"saved search {name}: removed") as trail:
        await trail.forget(name)


async def placed(access: TrailAccess, exchange: Exchange, name: str, reason: str) -> Hold:
    """Place a legal hold. Raises `Conflict`, `Invalid`."""
    hold = Hold(name, reason, exchange.source, datetime.now(UTC))
    async with access.change(exchange.source, f"legal hold {name}: {reason}") as trail:
        await trail.hold(hold)
    return hold


async def released(access: TrailAccess, exchange: Exchange, name: str) -> None:
    """End a legal hold. Raises `NotFound`."""
    async with access.change(exchange.source, f"legal hold {name}: released") as trail:
        await trail.release(name)


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
    if days and which.since:
        raise Invalid("days are instead of since", fix="give one of them")
    return SavedSearch(name, which, exchange.source, datetime.now(UTC), days)


def _values(given: object) -> list[str]:
    values: list[Any] = given if isinstance(given, list) else [given]
    if not all(isinstance(value, str) for value in values):
        raise TypeError
    return values


def _missing(what: str, name: str) -> NotFound:
    return NotFound(f"there is no {what} {shown(name)}", fix="see the list for the names")
