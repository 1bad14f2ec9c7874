"""An `AuditTrail` that answers with what it is given, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

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
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from support.fake_services import AT, Fake

SOURCE = Source(
    "DIMSE", "192.0.2.1", "CT1", "ISOCENTER", "eva", "CN=ct1", known=False, purpose="TREAT"
)
ENTRY = Entry(
    AuditEvent(
        AuditAction.RETRIEVE, AuditOutcome.MINOR_FAILURE, SOURCE, AT, "id-1", "main",
        ("p1", "p2"), ("1.2",), ("1.2.3",), ("1.2.3.4",), 7, "C-GET", "WS1", "aborted",
        "PatientID=p1", ("a" * 64,), "host/gateway", "north", "0af7651916cd43dd8448eb211c80319c",
    ),
    Place("audit-3", 2**40),
)  # fmt: skip
HEAD = Head("audit-0", 2**40, "a" * 64, "b" * 64, "2026-11-26T12:00:00.000000+00:00")
KEY = PublicKey(2, "c" * 64, "2026-11-26T11:00:00.000000+00:00", "d" * 64)
FINDING = Finding("record 7 was changed", "audit-0", 1, 9, "2026-11-25", "2026-11-26")
STATE = TrailState((HEAD,), (KEY,), 2**41, 2**40, ("records wait",), 1, 2**33)
RESULT = Verification(
    9, 10, 2, ("audit-0",), 1, "2026-11-25", "2026-11-26", (KEY,), (FINDING,), done=True
)
SEARCH = SavedSearch("night", AuditFilter(who="CT1", text="c-move"), SOURCE, AT, 7)
HOLD = Hold("case 7", "asked for by the court", SOURCE, AT)


class FakeAuditTrail(Fake):
    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.entries = entries

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        self._ask(which, limit, before)
        return self.entries[:limit]

    async def count(self, which: AuditFilter) -> int:
        self._ask(which)
        return len(self.entries)

    async def get(self, record: str) -> Entry:
        self._ask(record)
        return self.entries[0]

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        self._ask(which, tuple(by))
        return [Tally(("2026-11-26T12", "CT1"), 2**40), Tally(("2026-11-26T13", ""), 1)]

    async def story(self, instance: str) -> Sequence[Entry]:
        self._ask(instance)
        return self.entries

    async def prove(self, record: str) -> bytes:
        self._ask(record)
        return b"{}"

    async def verify(
        self, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        self._ask(tuple(trust), tuple(heads))
        async for report in self._answers(Verification(total=10), RESULT):
            yield report

    async def state(self) -> TrailState:
        self._ask("state")
        return STATE

    async def saved(self) -> Sequence[SavedSearch]:
        self._ask("saved")
        return [SEARCH]

    async def save(self, search: SavedSearch) -> None:
        self._ask(search)

    async def forget(self, name: str) -> None:
        self._ask("forget", name)

    async def holds(self) -> Sequence[Hold]:
        self._ask("holds")
        return [HOLD]

    async def hold(self, hold: Hold) -> None:
        self._ask(hold)

    async def release(self, name: str) -> None:
        self._ask("release", name)
