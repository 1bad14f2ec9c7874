"""Events that wait in the object store while the log is down, and how they get there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.access import Policy
from isocenter.core.apis import Storage
from isocenter.core.errors import Invalid, OutOfResources, Unavailable
from isocenter.core.identity import OUTBOX, outbox_key
from isocenter.core.ports import Record
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.outbox import Outbox, Relay
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings

TOPIC = "isocenter.instances"


class Bus(MemoryBus):
    """A log that can be down, silent, or of an opinion about records."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.silent = False
        self.refused: set[bytes] = set()
        self.asked = 0

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        if any(record.data in self.refused for record in records):
            raise Invalid("a record is refused")
        await super().append(topic, records)


class Place:
    """A log, an object store, and an outbox between them."""

    def __init__(self, down_seconds: float = 0.0) -> None:
        self.bus = Bus()
        self.blobs = MemoryBlobs()
        self.storage = StorageService(
            blobs=self.blobs, settings=StorageSettings(reserve_bytes=0), guard=PolicyGuard(Policy)
        )
        self.opened = 0
        self.outbox = self.another(down_seconds)
        self.relay = Relay(self.bus, self.storage, every_seconds=0.01)

    def another(self, down_seconds: float = 0.0) -> Outbox:
        """That of another process."""
        return Outbox(self.bus, self.open, append_seconds=0.05, down_seconds=down_seconds)

    async def open(self) -> Storage:
        self.opened += 1
        return self.storage

    async def waiting(self) -> list[str]:
        return [info.key async for info in self.blobs.list(OUTBOX)]

    async def log(self, topic: str = TOPIC) -> list[bytes]:
        return [delivery.data async for delivery in self.bus.replay(topic)]


def record(text: str, key: str = "1.2") -> Record:
    return Record(key, "isocenter.v1.Test", text.encode(), {"ce_id": text, "traceparent": "00-1"})


async def test_while_the_log_answers_the_object_store_is_not_even_opened() -> None:
    place = Place()
    await place.outbox.append(TOPIC, record("a"))
    await place.outbox.append_in_order(TOPIC, record("b"))
    assert await place.log() == [b"a", b"b"]
    assert place.opened == 0


@pytest.mark.parametrize("error", [Unavailable("down"), OutOfResources("full")])
async def test_what_the_log_does_not_take_comes_to_it_later_as_it_was(error: Exception) -> None:
    place = Place()
    place.bus.error = error
    await place.outbox.append(TOPIC, record("a"))
    assert len(await place.waiting()) == 1
    with pytest.raises(type(error)):
        await place.relay.relay()
    assert len(await place.waiting()) == 1
    place.bus.error = None
    assert await place.relay.relay() == 1
    (delivery,) = [delivery async for delivery in place.bus.replay(TOPIC)]
    sent = record("a")
    assert (delivery.key, delivery.type, delivery.data) == (sent.key, sent.type, sent.data)
    assert delivery.headers == sent.headers
    assert await place.waiting() == []


async def test_a_log_that_keeps_silent_is_waited_for_once_and_not_by_every_store() -> None:
    place = Place(down_seconds=60)
    place.bus.silent = True
    for number in range(20):
        await place.outbox.append(TOPIC, record(str(number)))
    assert place.bus.asked == 1
    assert len(await place.waiting()) == 20


async def test_of_many_who_might_ask_a_silent_log_again_one_does() -> None:
    place = Place(down_seconds=0.2)
    place.bus.silent = True
    await place.outbox.append(TOPIC, record("first"))
    await asyncio.sleep(0.25)
    await asyncio.gather(*(place.outbox.append(TOPIC, record(str(n))) for n in range(20)))
    assert place.bus.asked == 2
    assert len(await place.waiting()) == 21


async def test_what_neither_takes_is_unavailable() -> None:
    place = Place()
    place.bus.error = Unavailable("down")

    async def closed() -> Storage:
        raise OutOfResources("the disk is full", fix="free space")

    outbox = Outbox(place.bus, closed)
    with pytest.raises(Unavailable, match=r"neither the log nor the object store.*free space"):
        await outbox.append(TOPIC, record("a"))


async def test_events_of_a_study_stay_behind_those_that_still_wait() -> None:
    place = Place()
    place.bus.error = Unavailable("down")
    await place.outbox.append_in_order(TOPIC, record("1"))
    place.bus.error = None
    await place.outbox.append_in_order(TOPIC, record("2"))
    await place.outbox.append_in_order(TOPIC, record("other study", key="9"))
    assert await place.log() == [b"other study"]
    await place.relay.relay()
    await place.outbox.append_in_order(TOPIC, record("3"))
    assert await place.log() == [b"other study", b"1", b"2", b"3"]
    assert await place.waiting() == []


async def test_the_relay_keeps_the_order_in_which_things_came_in_over_many_batches() -> None:
    place = Place(down_seconds=60)
    place.bus.error = Unavailable("down")
    for number in range(250):
        await place.outbox.append(TOPIC, record(str(number)))
    await place.outbox.append("isocenter.audit", record("audit"))
    place.bus.error = None
    assert await place.relay.relay() == 251
    assert await place.log() == [str(number).encode() for number in range(250)]
    assert await place.log("isocenter.audit") == [b"audit"]


async def test_several_relays_lose_nothing() -> None:
    place = Place(down_seconds=60)
    place.bus.error = Unavailable("down")
    for number in range(50):
        await place.outbox.append(TOPIC, record(str(number)))
    place.bus.error = None
    await asyncio.gather(place.relay.relay(), Relay(place.bus, place.storage).relay())
    assert set(await place.log()) == {str(number).encode() for number in range(50)}
    assert await place.waiting() == []


async def test_an_entry_that_cannot_be_read_or_is_refused_does_not_hold_up_the_others() -> None:
    place = Place(down_seconds=60)
    damaged = outbox_key(TOPIC, "0")
    await place.blobs.put(damaged, [b"\xff"], hashlib.sha256(b"\xff").hexdigest())
    place.bus.error = Unavailable("down")
    for text in ("1", "poison", "2"):
        await place.outbox.append(TOPIC, record(text))
    place.bus.error = None
    place.bus.refused = {b"poison"}
    assert await place.relay.relay() == 2
    assert await place.log() == [b"1", b"2"]
    assert len(await place.waiting()) == 2


async def test_the_relay_works_by_itself_and_survives_a_log_that_is_down() -> None:
    place = Place()
    place.bus.error = Unavailable("down")
    await place.outbox.append(TOPIC, record("a"))
    asked = place.bus.asked
    await place.relay.start()
    try:
        async with asyncio.timeout(5):
            while place.bus.asked < asked + 3:
                await asyncio.sleep(0.005)
            place.bus.error = None
            while await place.waiting():
                await asyncio.sleep(0.005)
    finally:
        await place.relay.stop()
    assert await place.log() == [b"a"]
