"""Parts of the audit trail for tests."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.core.audit import AuditFilter, Entry, Place
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.events import AuditEvent


class MemoryAuditIndex:
    """As much of an `AuditIndex` as the trail needs; it can be down, refuse and forget."""

    def __init__(self) -> None:
        self.kept: dict[str, Entry] = {}
        self.down = False
        self.refuses: set[str] = set()
        self.before: list[AuditEvent] = []  # records of the version before

    async def append(self, entries: Sequence[Entry]) -> None:
        self._ask()
        if any(entry.event.id in self.refuses for entry in entries):
            raise Invalid("a record is refused")
        for entry in entries:
            self.kept[entry.event.id] = entry

    async def places(self, ids: Sequence[str]) -> dict[str, Place]:
        self._ask()
        return {one: self.kept[one].place for one in ids if one in self.kept}

    async def reach(self) -> dict[str, int]:
        self._ask()
        found: dict[str, int] = {}
        for entry in self.kept.values():
            place = entry.place
            found[place.chain] = max(found.get(place.chain, 0), place.sequence)
        return found

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> list[Entry]:
        self.asked = (which, before)
        newest = sorted(self.kept.values(), key=lambda entry: (entry.event.at, entry.event.id))
        return newest[::-1][:limit]

    async def count(self, which: AuditFilter) -> int:
        self.asked = (which, "")
        return len(self.kept)

    async def earlier(self):
        for start in range(0, len(self.before), 7):
            yield self.before[start : start + 7]

    async def expire(self, chain: str, through: int) -> int:
        gone = [
            record
            for record, entry in self.kept.items()
            if entry.place.chain == chain and entry.place.sequence <= through
        ]
        for record in gone:
            del self.kept[record]
        return len(gone)

    async def close(self) -> None:
        pass

    def throw_away(self) -> None:
        self.kept.clear()

    def lose_behind(self, chain: str, sequence: int) -> None:
        for record, entry in list(self.kept.items()):
            if entry.place.chain == chain and entry.place.sequence > sequence:
                del self.kept[record]

    def _ask(self) -> None:
        if self.down:
            raise Unavailable("the index is down", fix="start it")
