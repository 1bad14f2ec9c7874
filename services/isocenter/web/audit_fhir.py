"""The audit trail as a FHIR R4 server: AuditEvent search and read (IHE ITI-81), below `/fhir`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from isocenter.core.errors import Invalid, NotFound
from isocenter.runtime.audit_fhir import bundle, resource
from isocenter.runtime.audit_ids import named
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web import negotiation
from isocenter.web.audit_common import base_url
from isocenter.web.audit_fhir_answers import FHIR_JSON, HEADERS, capabilities, outcome, told
from isocenter.web.audit_fhir_pages import Page, page
from isocenter.web.audit_fhir_search import Query, constraint, known
from isocenter.web.audit_filters import number_of
from isocenter.web.exchange import Exchange, Handler
from isocenter.web.negotiation import JSON
from isocenter.web.problems import Problem, Telling, shown
from isocenter.web.small_bodies import form

ROOT = "/fhir"
EVENTS = ROOT + "/AuditEvent"
SEARCH = EVENTS + "/_search"
EVENT = EVENTS + "/{record}"
METADATA = ROOT + "/metadata"
OTHERS = ROOT + "/{resource...}"

DEFAULT_COUNT = 100
MAX_COUNT = 1000

_JSON_FORMS = frozenset({"json", JSON, FHIR_JSON, "text/json"})
_COUNT, _FORMAT, _SORT, _AFTER = "_count", "_format", "_sort", "_after"
_NEWEST_FIRST = "-date"
_RESULT = (_COUNT, _FORMAT, _SORT, _AFTER, "_pretty")


def in_fhir(exchange: Exchange) -> Telling:
    """The form of errors: OperationOutcomes."""
    del exchange
    return told


def formatted(handler: Handler) -> Handler:
    """The handler, for the formats that there are."""

    async def handle(exchange: Exchange) -> None:
        _check_format(exchange)
        await handler(exchange)

    return handle


@dataclass(slots=True)
class _Asked:
    """A search as it was asked for."""

    query: Query = field(default_factory=Query)
    count: int = DEFAULT_COUNT
    after: str = ""
    used: list[tuple[str, str]] = field(default_factory=list)  # what narrows
    warnings: list[str] = field(default_factory=list)


class FhirAudit:
    """The interactions."""

    def __init__(self, access: TrailAccess) -> None:
        self._access = access

    async def search(self, exchange: Exchange) -> None:
        """By GET."""
        await self._search(exchange, exchange.query)

    async def search_by_post(self, exchange: Exchange) -> None:
        """By POST: what is asked for stands in no address (FHIR R4 3.1.0.1.9)."""
        await self._search(exchange, [*exchange.query, *await form(exchange)])

    async def read(self, exchange: Exchange) -> None:
        """One AuditEvent."""
        name = exchange.path["record"]
        trail = await self._access.read(exchange.asker, f"FHIR record {shown(name)}")
        entry = await named(trail, name)
        await _answer(exchange, resource(entry.event))

    async def metadata(self, exchange: Exchange) -> None:
        """The CapabilityStatement."""
        self._access.check_open()
        await _answer(exchange, capabilities(base_url(exchange) + ROOT))

    async def others(self, exchange: Exchange) -> None:
        """There is nothing else."""
        raise NotFound(f"there is no {shown(exchange.scope['path'])}", fix=f"see {METADATA}")

    async def _search(self, exchange: Exchange, pairs: Sequence[tuple[str, str]]) -> None:
        asked = _asked(pairs, strict=_strict(exchange))
        root = base_url(exchange) + EVENTS
        names = dict.fromkeys(name for name, _ in asked.used)
        what = " ".join(["FHIR search", *names])
        trail = await self._access.read(exchange.asker, what, asked.query.which)
        found = await page(trail, asked.query, asked.count, asked.after)
        await _answer(exchange, _bundle(root, asked, found))


async def _answer(exchange: Exchange, told: Mapping[str, Any]) -> None:
    await exchange.answer(200, HEADERS, orjson.dumps(told))


def _bundle(root: str, asked: _Asked, found: Page) -> Mapping[str, Any]:
    here = [*asked.used, (_COUNT, str(asked.count))]
    itself = [*here, (_AFTER, asked.after)] if asked.after else here
    following = f"{root}?{urlencode([*here, (_AFTER, found.following)])}" if found.following else ""
    made: dict[str, Any] = bundle(
        [dict(one) for one in found.resources],
        found.total or 0,
        f"{root}?{urlencode(itself)}",
        following,
    )
    warnings = list(asked.warnings)
    if found.total is None:
        del made["total"]
        warnings.append("the total is left out: to tell it, too many records would have to be read")
    if warnings:
        said = outcome("warning", "not-supported", warnings)
        entries: list[Any] = made.setdefault("entry", [])
        entries.append({"resource": said, "search": {"mode": "outcome"}})
    return made


def _asked(pairs: Sequence[tuple[str, str]], *, strict: bool) -> _Asked:
    """Raises `Invalid`."""
    asked = _Asked()
    result: dict[str, str] = {}
    for name, value in pairs:
        if name in _RESULT:
            if name in result:
                raise Invalid(f"{name} is given twice")
            result[name] = value
        elif known(name):
            _narrow(asked, name, value)
        elif strict:
            raise Invalid(
                f"the search parameter {shown(name)} is not supported", fix=f"see {METADATA}"
            )
        else:
            asked.warnings.append(f"the search parameter {shown(name)} is not supported: ignored")
    if _COUNT in result:
        asked.count = min(number_of(_COUNT, result[_COUNT], 999_999_999, 0), MAX_COUNT)
    if result.get(_SORT, _NEWEST_FIRST) != _NEWEST_FIRST:
        raise Invalid(f"the order {shown(result[_SORT])} is not possible", fix=f"{_SORT}=-date")
    asked.after = result.get(_AFTER, "")
    return asked


def _narrow(asked: _Asked, name: str, value: str) -> None:
    try:
        asked.query.add(constraint(name, value))
    except NotFound:  # a name that no record can have
        asked.query.impossible = True
    asked.used.append((name, value))


def _strict(exchange: Exchange) -> bool:
    """What the client prefers (FHIR R4 3.1.1.3); without a word of it, what is not known is
    passed over with a warning."""
    preferred = exchange.header(b"prefer").lower().replace(" ", "")
    return "handling=strict" in preferred.replace(";", ",").split(",")


def _check_format(exchange: Exchange) -> None:
    """Raises the 406 `Problem` where JSON is not wanted."""
    given = [value for name, value in exchange.query if name == _FORMAT]
    if not given:
        negotiation.pick(exchange, (FHIR_JSON, JSON))
    elif any(_media(one) not in _JSON_FORMS for one in given):
        raise Problem(406, f"resources can be had as {FHIR_JSON} alone; leave _format out")


def _media(text: str) -> str:
    """A media type whose plus sign may have become a space, as it does in an address."""
    return text.partition(";")[0].strip().lower().replace(" ", "+")
