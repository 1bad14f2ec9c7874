"""The audit role: from the log to the index, poison aside, nothing lost while something is down."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.audit import consumer as consumer_module
from isocenter.audit.consumer import GROUP, AuditConsumer
from isocenter.audit.keys import KeyFolder
from isocenter.audit.records import store_record
from isocenter.audit.role import AuditRole
from isocenter.audit.segments import Segments
from isocenter.audit.service import MAX_PAGE, AuditService
from isocenter.audit.settings import AuditSettings
from isocenter.audit.trail import Trail
from isocenter.core.audit import AuditFilter, Place
from isocenter.core.errors import Invalid
from isocenter.core.events import (
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    InstanceDeleted,
    InstanceStored,
    Source,
    StudyQuiet,
)
from isocenter.core.identity import InstanceName
from isocenter.core.ports import Record
from isocenter.runtime.event_codec import encode
from support.audit_parts import MemoryAuditIndex


def event(identifier: str) -> AuditEvent:
    at = datetime.now(UTC)
    return AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, Source("DIMSE"), at, identifier)


@asynccontextmanager
async def running(
    bus: MemoryBus,
    index: MemoryAuditIndex,
    blobs: MemoryBlobs | None = None,
    keys: Path | None = None,
):
    blobs = blobs or MemoryBlobs()
    with TemporaryDirectory() as folder:
        consumer = _consumer(bus, index, blobs, keys or Path(folder))
        service = AuditService(index=index, segments=Segments(blobs), bus=bus)
        role = AuditRole(service=service, consumer=consumer)
        await role.start()
        try:
            yield role
        finally:
            await role.stop()


def _consumer(
    bus: MemoryBus, index: MemoryAuditIndex, blobs: MemoryBlobs, keys: Path
) -> AuditConsumer:
    async def told(seals) -> None:
        del seals

    trail = Trail(segments=Segments(blobs), keys=KeyFolder(keys, makes=True), index=index)
    settings = AuditSettings(batch=100, linger_seconds=0, seal_seconds=0.01, segment_records=1000)
    return AuditConsumer(bus=bus, trail=trail, settings=settings, site="here", sealed=told)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.005)


async def _no_lag(bus: MemoryBus, topic: str) -> bool:
    return await bus.lag(GROUP, topic) == 0


async def caught_up(bus: MemoryBus) -> None:
    await until(lambda: _no_lag(bus, TOPIC_AUDIT))


async def test_records_come_from_the_log_into_the_index():
    bus, index = MemoryBus(), MemoryAuditIndex()
    await bus.append(TOPIC_AUDIT, [encode(event(str(number))) for number in range(250)])
    async with running(bus, index) as role:
        await caught_up(bus)
        assert not role.problems()
        found = await role.service.search(AuditFilter(), 2)
        assert await role.service.count(AuditFilter()) == 250
    assert [entry.event.id for entry in found] == ["249", "248"]
    assert [entry.place for entry in found] == [Place("audit-0", 250), Place("audit-0", 249)]


async def test_an_announced_object_is_the_record_of_its_store():
    bus, index = MemoryBus(), MemoryAuditIndex()
    stored = InstanceStored(
        name=InstanceName("main", "1.2", "1.2.3", "1.2.3.4"),
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        key="objects/main/1.2/1.2.3/1.2.3.4/0.dcm",
        digest="0" * 64,
        size=1,
        data_set_offset=0,
        header_length=1,
        header=b"",
        source=Source("DIMSE", host="scanner", ae_title="CT1"),
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
        patient_id="P1",
    )
    announced = encode(stored)
    deleted = encode(InstanceDeleted(stored.name, stored.digest, "retention", stored.source))
    await bus.append(TOPIC_INSTANCES, [announced, announced, deleted])
    async with running(bus, index):
        await until(lambda: _no_lag(bus, TOPIC_INSTANCES))
    record, deletion = (entry.event for entry in index.held.values())
    assert deletion.action is AuditAction.DELETE
    assert (deletion.instances, deletion.digests) == (("1.2.3.4",), (stored.digest,))
    assert record.digests == (stored.digest,)
    assert record.site == "here"
    assert record.action is AuditAction.STORE
    assert record.outcome is AuditOutcome.SUCCESS
    assert record.detail == "C-STORE"
    assert record.source == stored.source
    assert record.at == stored.received_at
    assert record.patient_ids == ("P1",)
    assert (record.studies, record.series, record.instances) == (("1.2",), ("1.2.3",), ("1.2.3.4",))
    corrected = store_record(replace(stored, overlay="objects/1"), "1")
    assert corrected.detail == "C-STORE coerced"
    assert record.instance_count == 1
    assert [d async for d in bus.replay(f"{TOPIC_INSTANCES}.dead")] == []


async def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on():
    bus, index, blobs = MemoryBus(), MemoryAuditIndex(), MemoryBlobs()
    index.refuses = {"refused"}
    poison = [
        Record("", "isocenter.v1.AuditEvent", b"\xff\xff", {}),
        Record("", "unknown", b"", {}),
        encode(StudyQuiet("main", "1.2", 1, 1)),
        encode(event("refused")),
    ]
    await bus.append(TOPIC_AUDIT, [encode(event("a")), *poison, encode(event("b"))])
    async with running(bus, index, blobs):
        await caught_up(bus)
        (sealed,) = [one async for one in Segments(blobs).of("audit-0")]
        assert sealed.seal.count == 3, "what the index refuses is in the chain all the same"
    assert list(index.held) == ["a", "b"]
    dead = [delivery async for delivery in bus.replay(f"{TOPIC_AUDIT}.dead")]
    assert [delivery.type for delivery in dead] == [record.type for record in poison]
    assert all(delivery.headers["error"] for delivery in dead)


async def test_what_has_moved_to_another_member_is_left_to_it(tmp_path):
    bus, index = MemoryBus(), MemoryAuditIndex()
    await bus.append(TOPIC_AUDIT, [encode(event("moved")), Record("", "unknown", b"", {})])
    consumer = _consumer(bus, index, MemoryBlobs(), tmp_path)
    member = await bus.consumer(GROUP, [TOPIC_AUDIT])
    poll = member.poll

    async def polled_and_moved(max_records: int, timeout: float):
        found = await poll(max_records, timeout)
        await bus.revoke(GROUP, TOPIC_AUDIT)
        return found

    member.poll = polled_and_moved
    await consumer._step(member)
    assert index.held == {}
    assert [d async for d in bus.replay(f"{TOPIC_AUDIT}.dead")] == []
    assert await bus.lag(GROUP, TOPIC_AUDIT) == 2
    async with running(bus, index):
        await caught_up(bus)
    assert list(index.held) == ["moved"]


async def test_while_the_index_is_down_records_wait_and_the_role_says_so(monkeypatch):
    monkeypatch.setattr(consumer_module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(consumer_module, "_POLL_SECONDS", 0.05)
    bus, index = MemoryBus(), MemoryAuditIndex()
    index.down = True
    await bus.append(TOPIC_AUDIT, [encode(event("a"))])
    async with running(bus, index) as role:

        async def has_problem() -> bool:
            return bool(role.problems())

        async def has_none() -> bool:
            return not role.problems()

        await until(has_problem)
        assert "the index is down" in role.problems()[0]
        index.down = False
        await caught_up(bus)
        await until(has_none)
    assert list(index.held) == ["a"]
    assert [d async for d in bus.replay(f"{TOPIC_AUDIT}.dead")] == []


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_a_page_that_is_empty_or_too_long_is_invalid(limit):
    with pytest.raises(Invalid, match="audit records"):
        await AuditService(
            index=MemoryAuditIndex(), segments=Segments(MemoryBlobs()), bus=MemoryBus()
        ).search(AuditFilter(), limit)
