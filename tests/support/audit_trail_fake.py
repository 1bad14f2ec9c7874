"""An `AuditTrail` in memory that answers as the real one does: filters, pages, counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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

CHAIN = "audit-0"
KEY = PublicKey(1, "4f" * 32, "2026-09-01T06:00:00.000000+00:00", "4f" * 32)
HEAD = Head(CHAIN, 1, "a1" * 32, "b2" * 32, "2026-11-26T16:58:00.000000+00:00")

_KEYS: Mapping[By, Callable[[AuditEvent], str]] = {
    By.HOUR: lambda event: event.at.strftime("%Y-%m-%dT%H"),
    By.WHO: lambda event: event.source.who,
    By.ACTION: lambda event: event.action.value,
    By.OUTCOME: lambda event: event.outcome.value,
}


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
        found = self._found(which)
        ids = [entry.event.id for entry in _newest_first(self.entries)]
        if before in ids:
            behind = set(ids[ids.index(before) + 1 :])
            found = [entry for entry in found if entry.event.id in behind]
        return found[:limit]

    async def count(self, which: AuditFilter) -> int:
        self._ask("count", which)
        return len(self._found(which))

    async def get(self, record: str) -> Entry:
        self._ask("get", record)
        for entry in self.entries:
            if entry.event.id == record:
                return entry
        raise NotFound("there is no such record")

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        self._ask("tally", which, tuple(by))
        counted = Counter(
            tuple(_KEYS[one](entry.event) for one in by) for entry in self._found(which)
        )
        return [Tally(keys, count) for keys, count in sorted(counted.items())]

    async def story(self, instance: str) -> Sequence[Entry]:
        self._ask("story", instance)
        return self._found(AuditFilter(instance=instance))[::-1]

    async def prove(self, record: str) -> bytes:
        self._ask("prove", record)
        entry = await self.get(record)
        return json.dumps({"format": "proof", "sequence": entry.place.sequence}).encode()

    async def verify(
        self, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        self._ask("verify", tuple(trust), tuple(heads))
        sealed = len(self.entries) - self.unsealed
        for step in range(self.steps):
            yield Verification(sealed * step // self.steps, sealed, step, (CHAIN,))
        times = sorted(entry.event.at.isoformat() for entry in self.entries) or [""]
        yield Verification(
            sealed, sealed, max(1, sealed // 50), (CHAIN,), 0, times[0], times[-1], (KEY,),
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

    def _found(self, which: AuditFilter) -> list[Entry]:
        return [entry for entry in _newest_first(self.entries) if passes(which, entry.event)]


def passes(which: AuditFilter, event: AuditEvent) -> bool:
    """Whether a record passes a filter."""
    return (
        (which.since is None or event.at >= which.since)
        and (which.until is None or event.at < which.until)
        and (not which.actions or event.action in which.actions)
        and (not which.outcomes or event.outcome in which.outcomes)
        and (not which.who or which.who in names_of(event))
        and (not which.patient_id or which.patient_id in event.patient_ids)
        and (not which.study or which.study in event.studies)
        and (not which.instance or which.instance in event.instances)
        and (not which.place or which.place in places_of(event))
        and (not which.text or _has_words(event, which.text))
    )


def _has_words(event: AuditEvent, text: str) -> bool:
    there = words_of(event)
    return all(any(one.startswith(word) for one in there) for word in words(text))


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.event.at, entry.event.id), reverse=True)


def _name(name: str) -> str:
    if not name.strip() or len(name.encode()) > 60:
        raise Invalid("the name is empty, too long or not printable")
    return name
