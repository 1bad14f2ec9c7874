"""The log on a real Kafka broker: the port's contract, and what a group makes of members that
come, go, are killed and take their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from contract.event_bus_suite import EventBusSuite, numbers, record
from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.bus.kafka.consumer import SESSION_MS
from isocenter.adapters.bus.kafka.holding import MOST_BYTES
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.ports import Consumer, Delivery, Record
from support import kafka_process
from support.kafka_logs import TOPIC, make_topics, opened
from support.processes import python
from support.stack import Stack

PROGRAM = Path(kafka_process.__file__)
PARTITIONS = 4
SESSION_SECONDS = SESSION_MS / 1000


class TestKafkaBus(EventBusSuite):
    __test__ = True

    @pytest.fixture
    async def bus(self, stack: Stack, name: str) -> AsyncIterator[KafkaBus]:
        make_topics(stack.kafka.address, name)
        async with opened(stack.kafka.address, name) as bus:
            yield bus


@pytest.fixture
async def bus(stack: Stack, name: str) -> AsyncIterator[KafkaBus]:
    """A log whose topics have several partitions."""
    make_topics(stack.kafka.address, name, PARTITIONS)
    async with opened(stack.kafka.address, name) as bus:
        yield bus


async def append(bus: KafkaBus, first: int, count: int) -> None:
    """Events of as many keys, all over the partitions."""
    await bus.append(TOPIC, [record(n, key=f"1.{n}") for n in range(first, first + count)])


async def polled(consumer: Consumer, count: int, seconds: float = 30) -> list[Delivery]:
    """The next deliveries, so many."""
    found: list[Delivery] = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            found += await consumer.poll(count - len(found), 1)
    return found


async def shared(one: Consumer, other: Consumer, more: Callable[[], Awaitable[None]]) -> None:
    """Wait until each of two members is given some of what is appended."""
    seen: set[Consumer] = set()
    async with asyncio.timeout(30):
        while len(seen) < 2:
            await more()
            for member in (one, other):
                if await member.poll(1000, 0.2):
                    seen.add(member)
            await asyncio.gather(one.commit(), other.commit())


def distinct(deliveries: Sequence[Delivery]) -> set[int]:
    return {int(delivery.data) for delivery in deliveries}


async def test_members_share_the_partitions_and_one_takes_over_what_another_did_not_commit(bus):
    one = await bus.consumer("g", [TOPIC])
    other = await bus.consumer("g", [TOPIC])
    await shared(one, other, lambda: append(bus, 1000, 20))
    while await one.poll(1000, 0.5) or await other.poll(1000, 0.5):
        pass
    await asyncio.gather(one.commit(), other.commit())
    await append(bus, 0, 40)
    async with asyncio.timeout(30):
        of_one: list[Delivery] = []
        of_other: list[Delivery] = []
        while len(of_one) + len(of_other) < 40:
            of_one += await one.poll(1000, 0.2)
            of_other += await other.poll(1000, 0.2)
    assert of_one
    assert of_other
    assert {d.partition for d in of_one}.isdisjoint({d.partition for d in of_other})
    await other.commit()
    await one.close()
    assert distinct(await polled(other, len(of_one))) == distinct(of_one)
    assert not any(one.owns(delivery) for delivery in of_one)
    await other.close()


@pytest.mark.slow
async def test_after_a_member_was_killed_another_goes_on_from_its_commit(bus, stack, name):
    await append(bus, 0, 40)
    url = f"kafka://{stack.kafka.address}/{name}"
    async with python(PROGRAM, url, "g", TOPIC, "15") as process:
        done = [int(await process.stdout.readline()) for _ in range(30)]
        process.kill()
        await process.wait()
    heir = await bus.consumer("g", [TOPIC])
    assert distinct(await polled(heir, 25)) == set(range(40)) - set(done[:15])
    await heir.close()


async def test_what_moves_in_the_middle_of_a_batch_is_the_new_owners_and_nothing_is_lost(bus):
    await append(bus, 0, 40)
    first = await bus.consumer("g", [TOPIC])
    batch = await polled(first, 40)
    assert all(map(first.owns, batch))
    second = await bus.consumer("g", [TOPIC])
    moved: list[Delivery] = []
    async with asyncio.timeout(30):
        while not moved:
            moved = [delivery for delivery in batch if not first.owns(delivery)]
            await asyncio.sleep(0.05)
    await first.commit()
    again = await polled(second, len(moved))
    assert distinct(again) == distinct(moved)
    assert {d.partition for d in again} == {d.partition for d in moved}
    assert all(map(second.owns, again))
    assert list(await first.poll(100, 0.5)) == []
    await second.commit()
    assert await bus.lag("g", TOPIC) == 0
    await asyncio.gather(first.close(), second.close())


async def test_a_partition_that_comes_back_does_not_make_its_former_deliveries_owned_again(bus):
    await append(bus, 0, 40)
    first = await bus.consumer("g", [TOPIC])
    batch = await polled(first, 40)
    second = await bus.consumer("g", [TOPIC])
    async with asyncio.timeout(30):
        while all(map(first.owns, batch)):
            await asyncio.sleep(0.05)
    moved = [delivery for delivery in batch if not first.owns(delivery)]
    await second.close()
    again = await polled(first, len(moved))
    assert distinct(again) == distinct(moved)
    assert not any(map(first.owns, moved))
    assert all(map(first.owns, again))
    await first.commit()
    assert await bus.lag("g", TOPIC) == 0
    await first.close()


@pytest.mark.slow
async def test_a_member_whose_caller_works_longer_than_a_session_keeps_its_partitions(bus):
    await append(bus, 0, 40)
    busy = await bus.consumer("g", [TOPIC])
    batch = await polled(busy, 40)
    other = await bus.consumer("h", [TOPIC])  # of another group, to see time pass
    assert len(await polled(other, 40)) == 40
    assert list(await other.poll(1, SESSION_SECONDS + 3)) == []
    assert all(map(busy.owns, batch))
    await busy.commit()
    assert await bus.lag("g", TOPIC) == 0
    await asyncio.gather(busy.close(), other.close())


async def test_a_commit_covers_what_was_polled_and_not_what_waits_in_the_buffer(bus):
    await append(bus, 0, 40)
    consumer = await bus.consumer("g", [TOPIC])
    await polled(consumer, 10)
    await consumer.commit()
    await consumer.commit()
    assert await bus.lag("g", TOPIC) == 30
    await consumer.close()
    heir = await bus.consumer("g", [TOPIC])
    assert len(await polled(heir, 30)) == 30
    await heir.close()


async def test_more_than_the_buffer_holds_is_delivered_once_and_in_order_of_each_key(bus):
    large = b"x" * 100_000
    for n in range(0, 240, 60):
        await bus.append(TOPIC, [record_of(m, large) for m in range(n, n + 60)])
    consumer = await bus.consumer("g", [TOPIC])
    assert 240 * len(large) > MOST_BYTES
    found = await polled(consumer, 240)
    by_key: dict[str, list[int]] = {}
    for delivery in found:
        by_key.setdefault(delivery.key, []).append(int(delivery.headers["ce_id"]))
    assert by_key == {f"1.{k}": list(range(k, 240, 7)) for k in range(7)}
    await consumer.close()


def record_of(number: int, data: bytes) -> Record:
    return Record(f"1.{number % 7}", "t", data, {"ce_id": str(number)})


async def test_an_event_without_a_key_and_with_any_text_comes_back_as_it_was(bus):
    sent = Record("", "t", b"", {"ce_type": "another", "kana": "ヤマダ", "empty": ""})
    await bus.append(TOPIC, [sent])
    (found,) = [d async for d in bus.replay(TOPIC)]
    assert (found.key, found.data, found.headers) == ("", b"", sent.headers)
    assert found.type == "another"


async def test_a_key_goes_to_the_partition_where_every_client_of_kafka_puts_it(bus):
    hashes = {  # as in Kafka's own tests of its murmur2
        "21": -973932308,
        "foobar": -790332482,
        "a-little-bit-long-string": -985981536,
        "abc": 479470107,
    }
    await bus.append(TOPIC, [record(n, key) for n, key in enumerate([*hashes] * 2)])
    found = {(d.key, d.partition) async for d in bus.replay(TOPIC)}
    assert found == {(key, (h & 0x7FFFFFFF) % PARTITIONS) for key, h in hashes.items()}


async def test_an_event_larger_than_the_log_takes_is_refused_and_others_go_on(bus):
    with pytest.raises(Invalid, match="larger"):
        await bus.append(TOPIC, [record_of(1, b"x" * 3_000_000)])
    await append(bus, 2, 1)
    assert numbers([d async for d in bus.replay(TOPIC)]) == [2]


async def test_a_topics_own_limit_is_named_and_innocent_appends_go_on(bus):
    too_large = record_of(1, b"x" * 1_500_000)  # these topics were made with Kafka's own limit
    answers = await asyncio.gather(
        bus.append(TOPIC, [too_large]),
        *(append(bus, n, 1) for n in range(10)),
        return_exceptions=True,
    )
    assert "max.message.bytes" in str(answers[0])
    assert answers[1:] == [None] * 10
    assert distinct([d async for d in bus.replay(TOPIC)]) == set(range(10))


async def test_a_replay_starts_at_the_offset_of_each_partition_and_at_the_oldest_elsewhere(bus):
    await append(bus, 0, 60)
    everything = [d async for d in bus.replay(TOPIC)]
    assert len(everything) == 60
    end = await bus.end(TOPIC)
    assert sum(end.values()) == 60
    start = {0: end[0] - 1, 1: end[1], 2: end[2] + 5}
    found = [(d.partition, d.offset) async for d in bus.replay(TOPIC, start)]
    assert sorted(found) == [(0, end[0] - 1), *((3, offset) for offset in range(end[3]))]


async def test_a_missing_topic_is_named_with_the_command_that_makes_it(stack, name):
    async with opened(stack.kafka.address, name) as bus:
        for call in (
            lambda: bus.append(TOPIC, [record(1)]),
            lambda: bus.consumer("g", [TOPIC]),
        ):
            with pytest.raises(Unavailable, match=rf"{name}\.instances.*isocenter check --prepare"):
                await call()
        make_topics(stack.kafka.address, name)
        await bus.append(TOPIC, [record(1)])


async def test_closing_the_log_ends_its_appends_and_its_members(stack, name):
    make_topics(stack.kafka.address, name)
    async with opened(stack.kafka.address, name) as bus:
        consumer = await bus.consumer("g", [TOPIC])
        appends = [asyncio.create_task(append(bus, n, 1)) for n in range(20)]
        await asyncio.sleep(0)
        await bus.close()
        assert await asyncio.gather(*appends) == [None] * 20
        assert list(await consumer.poll(1, 5)) == []
        await consumer.commit()
        await consumer.close()


async def test_a_cancelled_poll_takes_nothing_with_it(bus):
    consumer = await bus.consumer("g", [TOPIC])
    waiting = asyncio.create_task(consumer.poll(10, 30))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await append(bus, 0, 3)
    assert distinct(await polled(consumer, 3)) == {0, 1, 2}
    await consumer.close()
