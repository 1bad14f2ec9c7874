"""Writing the audit trail: durable before the answer, many accesses counted in one record."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.access import Policy
from isocenter.core.errors import Unavailable
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import decode
from isocenter.runtime.outbox import Outbox, Relay
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings

SOURCE = Source("DICOMweb", "192.0.2.7", user="eva")
ACCESS = {
    "partition": "main",
    "patient_ids": ("P1",),
    "study": "1.2",
    "series": "1.2.3",
    "detail": "WADO-RS frames",
}


class Bus(MemoryBus):
    """A log that can be down, or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, topic, records):
        await self.gate.wait()
        if self.down:
            raise Unavailable("the log is down", fix="start it")
        await super().append(topic, records)


def storage_of(blobs: MemoryBlobs) -> StorageService:
    return StorageService(
        blobs=blobs, settings=StorageSettings(reserve_bytes=0), guard=PolicyGuard(Policy)
    )


def outbox(bus: Bus, blobs: MemoryBlobs | None = None) -> Outbox:
    """Over a log; the object store does not answer, unless there is one."""

    async def storage() -> StorageService:
        if blobs is None:
            raise Unavailable("the object store is down")
        return storage_of(blobs)

    return Outbox(bus, storage, append_seconds=30, down_seconds=0)


async def records(bus: Bus) -> list[AuditEvent]:
    return [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]


async def test_a_record_holds_everything_that_was_said():
    bus = Bus()
    log = AuditLog(outbox(bus), "p1")
    await log.record(
        AuditAction.EXPORT,
        SOURCE,
        outcome=AuditOutcome.FAILURE,
        partition="main",
        patient_ids=("p",),
        studies=("1.2",),
        series=("1.2.3",),
        instances=("1.2.3.4",),
        instance_count=5,
        detail="C-MOVE",
        destination="WS1",
        error="refused",
    )
    (event,) = await records(bus)
    assert (event.action, event.outcome, event.source) == (
        AuditAction.EXPORT,
        AuditOutcome.FAILURE,
        SOURCE,
    )
    assert (event.patient_ids, event.studies, event.series) == (("p",), ("1.2",), ("1.2.3",))
    assert (event.instances, event.instance_count) == (("1.2.3.4",), 5)
    assert (event.detail, event.destination, event.error) == ("C-MOVE", "WS1", "refused")
    assert event.id.startswith("p1-")


async def test_an_access_that_cannot_be_recorded_does_not_happen():
    bus = Bus()
    bus.down = True
    log = AuditLog(outbox(bus), "p1")
    with pytest.raises(Unavailable):
        await log.record(AuditAction.QUERY, SOURCE)
    with pytest.raises(Unavailable):
        await log.accessed(SOURCE, instance_count=1, **ACCESS)
    bus.down = False
    await log.accessed(SOURCE, instance_count=1, **ACCESS)
    assert [event.instance_count for event in await records(bus)] == [1]
    await log.close()


async def test_nobody_goes_on_before_the_first_access_is_durable():
    bus = Bus()
    bus.gate.clear()
    log = AuditLog(outbox(bus), "p1")
    tasks = [
        asyncio.create_task(log.accessed(SOURCE, instance_count=1, **ACCESS)) for _ in range(3)
    ]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in tasks)
    tasks[0].cancel()  # who goes away has no access, and the next one has the first record
    bus.gate.set()
    await asyncio.gather(*tasks[1:])
    assert [event.instance_count for event in await records(bus)] == [1]
    await log.close()
    assert [event.instance_count for event in await records(bus)] == [1, 1]


async def test_further_accesses_are_counted_until_the_window_ends():
    bus = Bus()
    log = AuditLog(outbox(bus), "p1", window_seconds=0.05)
    for _ in range(10):
        await log.accessed(SOURCE, instance_count=2, **ACCESS)
    await log.accessed(SOURCE, instance_count=1, **{**ACCESS, "series": "1.2.4"})
    assert [event.instance_count for event in await records(bus)] == [2, 1]
    async with asyncio.timeout(5):
        while len(await records(bus)) < 3:
            await asyncio.sleep(0.01)
    assert [event.instance_count for event in await records(bus)] == [2, 1, 18]
    await log.close()
    assert len(await records(bus)) == 3


async def test_what_is_counted_is_not_lost_while_the_log_is_down():
    bus = Bus()
    log = AuditLog(outbox(bus), "p1", window_seconds=0.02)
    await log.accessed(SOURCE, instance_count=1, **ACCESS)
    await log.accessed(SOURCE, instance_count=4, **ACCESS)
    bus.down = True
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable):
        await log.close()
    bus.down = False
    await log.close()
    assert [event.instance_count for event in await records(bus)] == [1, 4]


async def test_reads_go_on_while_the_log_is_down_and_their_records_reach_it_later():
    bus, blobs = Bus(), MemoryBlobs()
    bus.down = True
    log = AuditLog(outbox(bus, blobs), "p1")
    await log.record(AuditAction.QUERY, SOURCE, detail="QIDO-RS")
    await log.accessed(SOURCE, instance_count=3, **ACCESS)
    assert await records(bus) == []
    bus.down = False
    storage = storage_of(blobs)
    assert await Relay(bus, storage).relay() == 2
    assert [event.detail for event in await records(bus)] == ["QIDO-RS", "WADO-RS frames"]
    await log.close()
