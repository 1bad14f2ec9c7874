"""Parts of the audit trail for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from isocenter.core.audit import Entry, Place
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.events import AuditEvent
from support.audit_index_oracle import OracleAuditIndex


class MemoryAuditIndex(OracleAuditIndex):
    """An audit index that can be down, refuse and forget."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.refuses: set[str] = set()
        self.before: list[AuditEvent] = []  # records of the version before

    async def append(self, entries: Sequence[Entry]) -> None:
        self._ask()
        if any(entry.event.id in self.refuses for entry in entries):
            raise Invalid("a record is refused")
        await super().append(entries)

    async def places(self, ids: Sequence[str]) -> Mapping[str, Place]:
        self._ask()
        return await super().places(ids)

    async def earlier(self) -> AsyncIterator[Sequence[AuditEvent]]:
        for start in range(0, len(self.before), 7):
            yield self.before[start : start + 7]

    def throw_away(self) -> None:
        self.held.clear()

    def lose_behind(self, chain: str, sequence: int) -> None:
        for record, entry in list(self.held.items()):
            if entry.place.chain == chain and entry.place.sequence > sequence:
                del self.held[record]

    def _ask(self) -> None:
        if self.down:
            raise Unavailable("the index is down", fix="start it")
