"""The audit trail over HTTP, below `/api/audit`: an extension of ours.

Records are named by `runtime.audit_ids`, as their FHIR resources are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import orjson

from isocenter.core.audit import AuditFilter, By
from isocenter.core.audit_api import Head, Verification
from isocenter.core.errors import Invalid
from isocenter.runtime.audit_ids import named
from isocenter.runtime.trail_access import TrailAccess
from isocenter.web import audit_json, negotiation
from isocenter.web.audit_common import base_url
from isocenter.web.audit_filters import all_of, limit_of, read, without, written
from isocenter.web.chunks import Chunks
from isocenter.web.exchange import Exchange
from isocenter.web.negotiation import JSON
from isocenter.web.problems import Headers, shown
from isocenter.web.small_bodies import fields

ROUTE = "/api/audit"
RECORDS = ROUTE + "/records"
RECORD = RECORDS + "/{record}"
PROOF = RECORD + "/proof"
COUNT = ROUTE + "/count"
TALLY = ROUTE + "/tally"
STORY = ROUTE + "/objects/{instance}"
STATE = ROUTE + "/state"
VERIFICATION = ROUTE + "/verification"

JSON_LINES = "application/x-ndjson"
HEADERS: Headers = ((b"content-type", JSON.encode("ascii")), (b"cache-control", b"no-store"))
_LINES: Headers = ((b"content-type", JSON_LINES.encode("ascii")), (b"cache-control", b"no-store"))


class AuditRest:
    """The transactions that read."""

    def __init__(self, access: TrailAccess) -> None:
        self._access = access

    async def records(self, exchange: Exchange) -> None:
        """A page of records, newest first, and how many there are in all."""
        asked, paging = without(exchange.query, "limit", "before")
        which = read(asked)
        limit, before = limit_of(paging.get("limit", "")), paging.get("before", "")
        trail = await self._access.read(exchange.asker, "search", which)
        found, total = await asyncio.gather(
            trail.search(which, limit + 1, before), trail.count(which)
        )
        entries = found[:limit]
        following = None
        if len(found) > limit:
            last = entries[-1].event.id
            following = _page_url(base_url(exchange), which, limit, last)
        told = [audit_json.record(entry) for entry in entries]
        await answer(exchange, {"records": told, "total": total, "next": following})

    async def record(self, exchange: Exchange) -> None:
        """One record."""
        exchange.parameters()
        name = exchange.path["record"]
        trail = await self._access.read(exchange.asker, f"record {shown(name)}")
        await answer(exchange, audit_json.record(await named(trail, name)))

    async def proof(self, exchange: Exchange) -> None:
        """The inclusion proof of a record, as a file."""
        exchange.parameters()
        name = exchange.path["record"]
        trail = await self._access.read(exchange.asker, f"proof of record {shown(name)}")
        entry = await named(trail, name)
        proof = await trail.prove(entry.event.id)
        await exchange.answer(200, [*HEADERS, as_file(f"audit-proof-{name}.json")], proof)

    async def count(self, exchange: Exchange) -> None:
        """How many records there are."""
        which = read(exchange.query)
        trail = await self._access.read(exchange.asker, "count", which)
        await answer(exchange, {"count": await trail.count(which)})

    async def tally(self, exchange: Exchange) -> None:
        """How many there are for each combination of what they are counted by."""
        pairs = exchange.query
        by = _by(all_of(pairs, "by"))
        which = read([pair for pair in pairs if pair[0] != "by"])
        trail = await self._access.read(exchange.asker, "tally", which)
        await answer(exchange, audit_json.tallies(await trail.tally(which, by), by))

    async def story(self, exchange: Exchange) -> None:
        """All that happened to an object, oldest first."""
        exchange.parameters()
        instance = exchange.path["instance"]
        trail = await self._access.read(exchange.asker, "story", AuditFilter(instance=instance))
        told = [audit_json.record(entry) for entry in await trail.story(instance)]
        await answer(exchange, {"records": told})

    async def state(self, exchange: Exchange) -> None:
        """The trail at one glance."""
        exchange.parameters()
        trail = await self._access.read(exchange.asker, "state")
        await answer(exchange, audit_json.state(await trail.state()))

    async def verify(self, exchange: Exchange) -> None:
        """Verify all that is sealed. As JSON lines the answer begins at once, and tells how far it
        is; the last line, or the one object of JSON, is the result."""
        exchange.parameters()
        media = negotiation.pick(exchange, (JSON_LINES, JSON))
        trust, heads = _known(await fields(exchange))
        reports = self._access.verify(exchange.asker, trust, heads)
        if media == JSON_LINES:
            await exchange.stream(200, _LINES, _lines(reports))
            return
        result = Verification()
        async with aclosing(reports):
            async for report in reports:
                result = report
        await answer(exchange, audit_json.verification(result))


async def answer(exchange: Exchange, told: object, status: int = 200) -> None:
    """An answer in JSON, which no cache keeps."""
    await exchange.answer(status, HEADERS, orjson.dumps(told))


def as_file(name: str) -> tuple[bytes, bytes]:
    """Content-Disposition for a file; the name is ASCII without quotation marks (RFC 6266)."""
    return b"content-disposition", f'attachment; filename="{name}"'.encode("ascii")


async def _lines(reports: AsyncGenerator[Verification, None]) -> Chunks:
    async with aclosing(reports):
        async for report in reports:
            told = audit_json.verification(report)
            yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _page_url(base: str, which: AuditFilter, limit: int, before: str) -> str:
    query = urlencode([*written(which), ("limit", str(limit)), ("before", before)])
    return f"{base}{RECORDS}?{query}"


def _by(names: Sequence[str]) -> Sequence[By]:
    known = ", ".join(by.value for by in By)
    if not names or len(set(names)) != len(names):
        raise Invalid("parameter by is missing or repeats itself", fix=f"choose of {known}")
    try:
        return [By(name) for name in names]
    except ValueError as error:
        raise Invalid(
            f"there is no by={shown(', '.join(names))}", fix=f"choose of {known}"
        ) from error


def _known(body: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[Head]]:
    """Fingerprints and published heads that a verification is told. Raises `Invalid`."""
    unknown = body.keys() - {"trust", "heads"}
    trust, heads = body.get("trust", []), body.get("heads", [])
    try:
        if unknown or not all(isinstance(one, str) for one in trust):
            raise ValueError
        return trust, [audit_json.head(one) for one in heads]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Invalid(
            "what the verification is told cannot be read",
            fix='send {"trust": ["fingerprint of a key"], "heads": [{"chain", "last", "head",'
            ' "seal"}]}, or nothing',
        ) from error
