"""An audit index in memory, worked out plainly from the docstrings of `core.audit`: what every
other one must answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC

from isocenter.core.audit import (
    AuditFilter,
    By,
    Entry,
    Place,
    Tally,
    names_of,
    places_of,
    words,
    words_of,
)
from isocenter.core.errors import NotFound
from isocenter.core.events import AuditEvent

_KEYS: Mapping[By, Callable[[AuditEvent], str]] = {
    By.HOUR: lambda event: event.at.astimezone(UTC).isoformat()[:13],
    By.WHO: lambda event: event.source.who,
    By.ACTION: lambda event: event.action.value,
    By.OUTCOME: lambda event: event.outcome.value,
}


def matches(event: AuditEvent, which: AuditFilter) -> bool:
    """Whether a filter selects a record."""
    there = words_of(event)
    return all((
        which.since is None or event.at >= which.since,
        which.until is None or event.at < which.until,
        not which.actions or event.action in which.actions,
        not which.outcomes or event.outcome in which.outcomes,
        not which.who or which.who in names_of(event),
        not which.patient_id or which.patient_id in event.patient_ids,
        not which.study or which.study in event.studies,
        not which.instance or which.instance in event.instances,
        not which.place or which.place in places_of(event),
        all(any(word.startswith(begun) for word in there) for begun in words(which.text)),
    ))  # fmt: skip


class OracleAuditIndex:
    """An `AuditIndex`."""

    def __init__(self, held: Mapping[str, Entry] | None = None) -> None:
        self.held = dict(held or {})

    async def append(self, entries: Sequence[Entry]) -> None:
        """See `AuditIndex`."""
        for entry in entries:
            known = self.held.get(entry.event.id, entry)
            self.held[entry.event.id] = Entry(known.event, entry.place)

    async def places(self, ids: Sequence[str]) -> Mapping[str, Place]:
        """See `AuditIndex`."""
        return {one: self.held[one].place for one in ids if one in self.held}

    async def reach(self) -> Mapping[str, int]:
        """See `AuditIndex`."""
        places = sorted(entry.place for entry in self.held.values())
        return {place.chain: place.sequence for place in places}

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """See `AuditIndex`."""
        found = self._matching(which)
        if last := self.held.get(before):
            found = [entry for entry in found if _order(entry) < _order(last)]
        return sorted(found, key=_order, reverse=True)[:limit]

    async def get(self, record: str) -> Entry:
        """See `AuditIndex`."""
        if record not in self.held:
            raise NotFound("there is no such record")
        return self.held[record]

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        return len(self._matching(which))

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """See `AuditIndex`."""
        counts = Counter(
            tuple(_KEYS[kind](entry.event) for kind in by) for entry in self._matching(which)
        )
        return [Tally(keys, counts[keys]) for keys in sorted(counts)]

    async def expire(self, chain: str, through: int, since: int = 1) -> int:
        """See `AuditIndex`."""
        gone = [
            name
            for name, entry in self.held.items()
            if entry.place.chain == chain and since <= entry.place.sequence <= through
        ]
        for name in gone:
            del self.held[name]
        return len(gone)

    async def earlier(self) -> AsyncIterator[Sequence[AuditEvent]]:
        for nothing in ():
            yield nothing

    async def close(self) -> None:
        """See `AuditIndex`."""

    def _matching(self, which: AuditFilter) -> list[Entry]:
        return [entry for entry in self.held.values() if matches(entry.event, which)]


def _order(entry: Entry) -> tuple[object, str]:
    return entry.event.at, entry.event.id
