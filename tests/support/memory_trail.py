"""An `AuditTrail` in memory that answers as the real one does: filters, pages, counts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from isocenter.core.audit import AuditFilter, By, Entry, Place, Tally
from isocenter.core.audit_api import (
    Finding,
    Head,
    Hold,
    PublicKey,
    SavedSearch,
    TrailState,
    Verification,
)
from isocenter.core.errors import Conflict, Invalid, IsocenterError, NotFound
from isocenter.core.events import AuditEvent
from support.audit_index_oracle import OracleAuditIndex

CHAIN = "audit-0"
KEY = PublicKey(1, "4f" * 32, "2026-09-01T06:00:00.000000+00:00", "4f" * 32)
HEAD = Head(CHAIN, 1, "a1" * 32, "b2" * 32, "2026-11-26T16:58:00.000000+00:00")


@dataclass
class MemoryTrail:
    """Holds what it is given; `unsealed`: how many of the last records are not sealed."""

    entries: list[Entry] = field(default_factory=list)
    unsealed: int = 0
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    searches: dict[str, SavedSearch] = field(default_factory=dict)
    held: dict[str, Hold] = field(default_factory=dict)
    error: IsocenterError | None = None
    steps: int = 1  # answers of a verification before its result
    asked: list[tuple[object, ...]] = field(default_factory=list)

    def keep(self, *events: AuditEvent) -> None:
        """The next records of the chain."""
        for event in events:
            self.entries.append(Entry(event, Place(CHAIN, len(self.entries) + 1)))

    # --- as the trail ---

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        self._ask("search", which, limit, before)
        if not 1 <= limit <= 10_000:
            raise Invalid("this page is not possible")
        return await self._index().search(which, limit, before)

    async def count(self, which: AuditFilter) -> int:
        self._ask("count", which)
        return await self._index().count(which)

    async def get(self, record: str) -> Entry:
        self._ask("get", record)
        return await self._index().get(record)

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        self._ask("tally", which, tuple(by))
        return await self._index().tally(which, by)

    async def story(self, instance: str) -> Sequence[Entry]:
        self._ask("story", instance)
        found = await self._index().search(AuditFilter(instance=instance), len(self.entries))
        return found[::-1]

    async def prove(self, record: str) -> bytes:
        self._ask("prove", record)
        entry = await self.get(record)
        return json.dumps({"format": "proof", "sequence": entry.place.sequence}).encode()

    async def verify(
        self, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        self._ask("verify", tuple(trust), tuple(heads))
        sealed = len(self.entries) - self.unsealed
        chains = (CHAIN,) if sealed else ()
        for step in range(self.steps):
            yield Verification(sealed * step // self.steps, sealed, step, chains)
        times = sorted(entry.event.at.isoformat() for entry in self.entries) or [""]
        yield Verification(
            sealed, sealed, max(1, sealed // 50), chains, 0, times[0], times[-1], (KEY,),
            self.findings, done=True,
        )  # fmt: skip

    async def state(self) -> TrailState:
        self._ask("state")
        sealed = len(self.entries) - self.unsealed
        heads = (replace(HEAD, last=sealed),) if sealed else ()
        return TrailState(
            heads, (KEY,), len(self.entries), sealed, self.problems, len(self.held), self.unsealed
        )

    async def saved(self) -> Sequence[SavedSearch]:
        self._ask("saved")
        return [one for _, one in sorted(self.searches.items())]

    async def save(self, search: SavedSearch) -> None:
        self._ask("save", search)
        self.searches[_name(search.name)] = search

    async def forget(self, name: str) -> None:
        self._ask("forget", name)
        if self.searches.pop(name, None) is None:
            raise NotFound(f"there is nothing named {name!r}")

    async def holds(self) -> Sequence[Hold]:
        self._ask("holds")
        return [one for _, one in sorted(self.held.items())]

    async def hold(self, hold: Hold) -> None:
        self._ask("hold", hold)
        if not hold.reason.strip():
            raise Invalid("a legal hold needs a reason")
        if hold.name in self.held:
            raise Conflict(f"there is a legal hold named {hold.name!r}")
        self.held[_name(hold.name)] = hold

    async def release(self, name: str) -> None:
        self._ask("release", name)
        if self.held.pop(name, None) is None:
            raise NotFound(f"there is nothing named {name!r}")

    # --- how it finds ---

    def _ask(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.error:
            raise self.error

    def _index(self) -> OracleAuditIndex:
        return OracleAuditIndex({entry.event.id: entry for entry in self.entries})


def _name(name: str) -> str:
    if not name.strip() or len(name.encode()) > 60:
        raise Invalid("the name is empty, too long or not printable")
    return name
