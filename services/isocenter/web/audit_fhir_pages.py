"""Pages of a FHIR search over the audit trail: the records whose resources are meant, and how many
there are.

Where a resource decides, records are read to be looked at, no more than a bounded number for one
answer: a page may be shorter than it could be, and a total that would need more is left out. What
is told is always true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.audit_api import AuditTrail
from isocenter.runtime.audit_export.paging import pages
from isocenter.runtime.audit_fhir import resource
from isocenter.web.audit_fhir_search import ALL_ACTIONS, Actions, Query
from isocenter.web.audit_fhir_values import Resource
from isocenter.web.chunks import closing

MOST_LOOKED_AT = 10_000  # records, for a page or a total
_STEP = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """What an answer holds."""

    resources: Sequence[Resource]
    total: int | None  # None: not known
    following: str = ""  # id of the record behind which the next page begins; empty: there is none


async def page(trail: AuditTrail, query: Query, count: int, before: str) -> Page:
    """The next `count` resources behind a record. None are wanted: the total alone."""
    if query.impossible:
        return Page([], 0)
    total = await _total(trail, query)
    if not count:
        return Page([], total)
    found: list[Resource] = []
    looked_at = 0
    while looked_at < MOST_LOOKED_AT:
        wanted = _STEP if query.tests else count + 1
        entries = await trail.search(query.which, wanted, before)
        for entry in entries:
            told = resource(entry.event)
            if query.passes(told):
                if len(found) == count:
                    return Page(found, total, before)
                found.append(told)
            before = entry.event.id
        looked_at += len(entries)
        if len(entries) < wanted:
            return Page(found, total)
    return Page(found, total, before)


async def _total(trail: AuditTrail, query: Query) -> int | None:
    """How many there are: counted by the index where the filter says it all, looked at for other
    actions."""
    actions = frozenset(query.which.actions) or ALL_ACTIONS
    certain, others = actions & query.certain, actions - query.certain
    total = await trail.count(_of(query.which, certain)) if certain else 0
    if not others:
        return total
    which = _of(query.which, others)
    if await trail.count(which) > MOST_LOOKED_AT:
        return None
    async with closing(pages(trail, which, _STEP)) as found:
        async for entries in found:
            total += sum(_passes(query, entry) for entry in entries)
    return total


def _passes(query: Query, entry: Entry) -> bool:
    return query.passes(resource(entry.event))


def _of(which: AuditFilter, actions: Actions) -> AuditFilter:
    named = () if actions == ALL_ACTIONS else tuple(sorted(actions, key=lambda one: one.value))
    return replace(which, actions=named)
