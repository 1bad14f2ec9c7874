"""What is too old expires a segment at a time, leaves its seal, and a hold stops it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.audit.care import Care
from isocenter.audit.keys import KeyFolder
from isocenter.audit.retention import Retention
from isocenter.audit.segments import Segments
from isocenter.audit.service import AuditService
from isocenter.audit.trail import Trail
from isocenter.audit.verifying import verify
from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.core.errors import Conflict, Invalid, NotFound, Unavailable
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.audit_reading import VERIFIED
from isocenter.runtime.event_codec import decode
from isocenter.runtime.outbox import Outbox
from support.audit_parts import MemoryAuditIndex

NOW = datetime(2026, 11, 26, tzinfo=UTC)
OFFICER = Source("CLI", user="officer")


def _query(identifier: str, at: datetime) -> AuditEvent:
    return AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, OFFICER, at, identifier)


class Rig:
    def __init__(self, folder) -> None:
        self.bus, self.index, self.blobs = MemoryBus(), MemoryAuditIndex(), MemoryBlobs()
        self.segments = Segments(self.blobs)
        self.keys = KeyFolder(folder, makes=True)
        self.trail = Trail(segments=self.segments, keys=self.keys, index=self.index)
        self.service = AuditService(index=self.index, segments=self.segments, bus=self.bus)

        async def storage():
            raise AssertionError("the log is there")

        self.outbox = Outbox(self.bus, storage)

    def retention(self, days: int) -> Retention:
        return Retention(
            segments=self.segments, keys=self.keys, index=self.index, outbox=self.outbox,
            keep_days=days,
        )  # fmt: skip

    async def seal(self, chain: str, *days_ago: int) -> None:
        await self.trail.keep(
            [
                (
                    chain,
                    AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, OFFICER, at, f"{chain}{n}"),
                )
                for n in days_ago
                for at in [NOW - timedelta(days=n)]
            ]
        )
        await self.trail.seal()

    async def proved(self):
        (*_, result) = [report async for report in verify(self.segments)]
        return result

    async def told(self) -> list[AuditEvent]:
        return [decode(delivery) async for delivery in self.bus.replay(TOPIC_AUDIT)]


@pytest.fixture
async def rig(tmp_path):
    rig = Rig(tmp_path)
    await rig.seal("audit-0", 40, 39)
    await rig.seal("audit-0", 35, 20)
    await rig.seal("audit-0", 1)
    await rig.seal("instances-0", 50)
    return rig


async def test_only_whole_segments_that_are_too_old_expire(rig):
    assert await rig.retention(30).look(NOW) == 3
    result = await rig.proved()
    assert (result.records, result.expired, result.findings) == (3, 3, ())
    assert sorted(rig.index.held) == ["audit-01", "audit-020", "audit-035"]
    assert [event.detail for event in await rig.told()] == [
        "records 1 to 2 of audit-0 expired: older than 30 days",
        "records 1 to 1 of instances-0 expired: older than 30 days",
    ]
    again = rig.retention(30)
    assert await again.look(NOW) == 0
    assert await again.look(NOW + timedelta(days=15)) == 2, "and it goes on where it was"
    assert (await rig.proved()).expired == 5


async def test_without_a_retention_nothing_expires(rig):
    assert await rig.retention(0).look(NOW) == 0
    assert (await rig.proved()).expired == 0


async def test_a_legal_hold_stops_it_until_it_is_released(rig):
    await rig.service.hold(Hold("case 7", "asked for by the court", OFFICER, NOW))
    retention = rig.retention(30)
    assert await retention.look(NOW) == 0
    (hold,) = await rig.service.holds()
    assert hold == Hold("case 7", "asked for by the court", OFFICER, NOW)
    assert (await rig.service.state()).holds == 1
    await rig.service.release("case 7")
    assert await retention.look(NOW) == 3


async def test_a_look_that_was_cut_off_is_ended_by_the_next(rig, monkeypatch):
    async def down(key):
        raise Unavailable("the store is down")

    delete = rig.blobs.delete
    monkeypatch.setattr(rig.blobs, "delete", down)
    with pytest.raises(Unavailable):
        await rig.retention(30).look(NOW)
    assert (await rig.proved()).findings == ()
    monkeypatch.setattr(rig.blobs, "delete", delete)
    assert await rig.retention(30).look(NOW) == 3
    identifiers = [event.id for event in await rig.told()]
    assert sorted(set(identifiers)) == ["expired/audit-0/1", "expired/instances-0/1"]
    assert (await rig.proved()).expired == 3


async def test_lines_that_are_gone_without_a_word_are_missing(rig):
    (first, *_) = [sealed async for sealed in rig.segments.of("audit-0")]
    await rig.blobs.delete(first.seal.lines_key)
    (finding,) = (await rig.proved()).findings
    assert (finding.chain, finding.first, finding.last) == ("audit-0", 1, 2)
    assert "missing" in finding.what


@pytest.mark.parametrize(
    ("name", "reason", "error"),
    [
        ("", "why", Invalid), ("x" * 61, "why", Invalid), ("a\nb", "why", Invalid),
        ("case 7", " ", Invalid), ("case 8", "x" * 501, Invalid), ("held", "why", Conflict),
    ],
)  # fmt: skip
async def test_a_hold_has_a_name_of_its_own_and_a_reason(rig, name, reason, error):
    await rig.service.hold(Hold("held", "why", OFFICER, NOW))
    with pytest.raises(error):
        await rig.service.hold(Hold(name, reason, OFFICER, NOW))
    with pytest.raises(NotFound):
        await rig.service.release("another")


async def test_saved_searches_are_replaced_and_removed_by_name(rig):
    which = AuditFilter(
        actions=(AuditAction.QUERY,),
        outcomes=(AuditOutcome.FAILURE,),
        who="CT1",
        text="x",
    )
    search = SavedSearch("Nächte / nights", which, OFFICER, NOW, days=7)
    await rig.service.save(replace(search, days=1))
    await rig.service.save(search)
    await rig.service.save(replace(search, name="another", days=0, which=AuditFilter(since=NOW)))
    assert [one.name for one in await rig.service.saved()] == ["Nächte / nights", "another"]
    assert search in await rig.service.saved()
    await rig.service.forget("another")
    with pytest.raises(NotFound):
        await rig.service.forget("another")
    assert list(await rig.service.saved()) == [search]


async def test_the_trail_is_verified_by_itself_and_the_result_is_a_record(rig, monkeypatch):
    monkeypatch.setattr("isocenter.audit.care.LOOK_SECONDS", 0.01)
    (first, *_) = [sealed async for sealed in rig.segments.of("audit-0")]
    await rig.blobs.delete(first.seal.lines_key)

    async def count(which: AuditFilter) -> int:
        assert which.text == VERIFIED
        return len(await rig.told())

    monkeypatch.setattr(rig.index, "count", count)
    care = Care(
        retention=rig.retention(0), segments=rig.segments, index=rig.index,
        audit_log=AuditLog(rig.outbox, "host/audit"), verify_hours=1,
    )  # fmt: skip
    await care.start()
    try:
        while not await rig.told():
            await asyncio.sleep(0.01)
    finally:
        await care.stop()
    (event,) = await rig.told()
    assert (event.action, event.outcome) == (AuditAction.VERIFY, AuditOutcome.FAILURE)
    assert event.detail == "audit trail: 4 records of 2 chains"
    assert event.error.startswith("audit-0 1-2: the records are missing")
