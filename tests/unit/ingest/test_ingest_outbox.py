"""Ingest while the log is down, where the settings say that it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.errors import OutOfResources, Unavailable
from isocenter.core.events import TOPIC_INSTANCES, InstanceStored
from isocenter.core.ports import Buffer
from isocenter.ingest.role import IngestRole
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.event_codec import decode
from isocenter.runtime.outbox import Relay
from support.objects import Archive, FailingBus, announcement, chunks, small

NEVER = 10**6


async def _announced(bus: MemoryBus) -> list[str]:
    events = [decode(delivery) async for delivery in bus.replay(TOPIC_INSTANCES)]
    return [event.name.instance for event in events if isinstance(event, InstanceStored)]


async def test_in_outbox_mode_stores_go_on_while_the_log_is_down_and_are_announced_later() -> None:
    bus = FailingBus(NEVER)
    archive = Archive(IngestSettings(outbox=True), bus=bus)
    for instance in ("1.1", "1.2", "1.3"):
        await archive.ingest.store(announcement(), chunks(small(instance=instance)))
    assert len(await archive.keys("objects/")) == len(await archive.keys("outbox/")) == 3
    assert await _announced(bus) == []
    bus.failures = 0
    assert await Relay(bus, archive.storage).relay() == 3
    assert await _announced(bus) == ["1.1", "1.2", "1.3"]
    assert await archive.keys("outbox/") == []


async def test_the_role_relays_what_other_processes_left_behind() -> None:
    bus = FailingBus(NEVER)
    archive = Archive(IngestSettings(outbox=True), bus=bus)
    await archive.ingest.store(announcement(), chunks(small()))
    bus.failures = 0
    role = IngestRole(archive.ingest, Relay(bus, archive.storage, every_seconds=0.01))
    await role.start()
    async with asyncio.timeout(5):
        while await archive.keys("outbox/"):
            await asyncio.sleep(0.005)
    await role.stop()
    assert len(await _announced(bus)) == 1


async def test_in_outbox_mode_success_is_not_answered_when_the_event_is_durable_nowhere() -> None:
    class ObjectsOnly(MemoryBlobs):
        async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
            if key.startswith("outbox/"):
                raise OutOfResources("the store is full")
            await super().put(key, data, digest)

    archive = Archive(IngestSettings(outbox=True), blobs=ObjectsOnly(), bus=FailingBus(NEVER))
    with pytest.raises(Unavailable):
        await archive.ingest.store(announcement(), chunks(small()))
