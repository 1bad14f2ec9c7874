"""The audit role: from the log to the index, poison aside, nothing lost while something is down."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.audit import consumer as consumer_module
from isocenter.audit.consumer import GROUP, AuditConsumer, store_record
from isocenter.audit.role import AuditRole
from isocenter.audit.service import MAX_PAGE, AuditService
from isocenter.core.errors import Invalid, Unavailable
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
from isocenter.core.ports import AuditFilter, Record
from isocenter.runtime.event_codec import encode


def event(identifier: str) -> AuditEvent:
    at = datetime.now(UTC)
    return AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, Source("DIMSE"), at, identifier)


class Index:
    """An audit index in memory that can be down and that refuses what it is told to."""

    def __init__(self) -> None:
        self.kept: dict[str, AuditEvent] = {}
        self.down = False
        self.refused: set[str] = set()

    async def append(self, records):
        if self.down:
            raise Unavailable("the index is down", fix="start it")
        if any(record.id in self.refused for record in records):
            raise Invalid("a record is refused")
        for record in records:
            self.kept.setdefault(record.id, record)

    async def search(self, which, limit, before=""):
        self.asked = (which, before)
        return list(reversed(self.kept.values()))[:limit]

    async def count(self, which):
        self.asked = (which, "")
        return len(self.kept)

    async def close(self):
        pass


@asynccontextmanager
async def running(bus: MemoryBus, index: Index, batch: int = 100):
    consumer = AuditConsumer(bus=bus, index=index, batch=batch, linger=0)
    role = AuditRole(service=AuditService(index=index), consumer=consumer)
    await role.start()
    try:
        yield role
    finally:
        await role.stop()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.005)


async def _no_lag(bus: MemoryBus, topic: str) -> bool:
    return await bus.lag(GROUP, topic) == 0


async def caught_up(bus: MemoryBus) -> None:
    await until(lambda: _no_lag(bus, TOPIC_AUDIT))


async def test_records_come_from_the_log_into_the_index():
    bus, index = MemoryBus(), Index()
    await bus.append(TOPIC_AUDIT, [encode(event(str(number))) for number in range(250)])
    async with running(bus, index) as role:
        await caught_up(bus)
        assert not role.problems()
        found = await role.service.search(AuditFilter(), 2)
        assert await role.service.count(AuditFilter()) == 250
    assert [record.id for record in found] == ["249", "248"]


async def test_an_announced_object_is_the_record_of_its_store():
    bus, index = MemoryBus(), Index()
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
    (record,) = index.kept.values()
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
    bus, index = MemoryBus(), Index()
    index.refused = {"refused"}
    poison = [
        Record("", "isocenter.v1.AuditEvent", b"\xff\xff", {}),
        Record("", "unknown", b"", {}),
        encode(StudyQuiet("main", "1.2", 1, 1)),
        encode(event("refused")),
    ]
    await bus.append(TOPIC_AUDIT, [encode(event("a")), *poison, encode(event("b"))])
    async with running(bus, index):
        await caught_up(bus)
    assert list(index.kept) == ["a", "b"]
    dead = [delivery async for delivery in bus.replay(f"{TOPIC_AUDIT}.dead")]
    assert [delivery.type for delivery in dead] == [record.type for record in poison]
    assert all(delivery.headers["error"] for delivery in dead)


async def test_what_has_moved_to_another_member_is_left_to_it():
    bus, index = MemoryBus(), Index()
    await bus.append(TOPIC_AUDIT, [encode(event("moved")), Record("", "unknown", b"", {})])
    consumer = AuditConsumer(bus=bus, index=index, batch=100, linger=0)
    member = await bus.consumer(GROUP, [TOPIC_AUDIT])
    poll = member.poll

    async def polled_and_moved(max_records: int, timeout: float):
        found = await poll(max_records, timeout)
        await bus.revoke(GROUP, TOPIC_AUDIT)
        return found

    member.poll = polled_and_moved
    await consumer._step(member)
    assert index.kept == {}
    assert [d async for d in bus.replay(f"{TOPIC_AUDIT}.dead")] == []
    assert await bus.lag(GROUP, TOPIC_AUDIT) == 2
    async with running(bus, index):
        await caught_up(bus)
    assert list(index.kept) == ["moved"]


async def test_while_the_index_is_down_records_wait_and_the_role_says_so(monkeypatch):
    monkeypatch.setattr(consumer_module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(consumer_module, "POLL_SECONDS", 0.05)
    bus, index = MemoryBus(), Index()
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
    assert list(index.kept) == ["a"]
    assert [d async for d in bus.replay(f"{TOPIC_AUDIT}.dead")] == []


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_a_page_that_is_empty_or_too_long_is_invalid(limit):
    with pytest.raises(Invalid, match="audit records"):
        await AuditService(index=Index()).search(AuditFilter(), limit)
