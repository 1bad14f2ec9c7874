"""What every `EventBus` promises. An adapter subclasses `EventBusSuite`, sets `__test__` and
overrides the fixture `bus`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.ports import Delivery, EventBus, Record

TOPIC = "isocenter.instances"


def record(number: int, key: str = "1.2.3") -> Record:
    return Record(key, "isocenter.v1.Test", b"%d" % number, {"ce_id": str(number)})


def numbers(deliveries: list[Delivery] | tuple[Delivery, ...]) -> list[int]:
    return [int(delivery.data) for delivery in deliveries]


class EventBusSuite:
    __test__ = False

    @pytest.fixture
    async def bus(self) -> AsyncIterator[EventBus]:
        raise NotImplementedError

    async def test_what_is_appended_is_delivered_in_order_with_everything_it_had(self, bus):
        await bus.append(TOPIC, [record(1), record(2)])
        await bus.append(TOPIC, [record(3, key="4.5")])
        consumer = await bus.consumer("a", [TOPIC])
        found = await consumer.poll(10, 1)
        assert numbers(found) == [1, 2, 3]
        assert [d.key for d in found] == ["1.2.3", "1.2.3", "4.5"]
        assert found[0].type == "isocenter.v1.Test"
        assert found[0].headers == {"ce_id": "1"}
        assert found[0].topic == TOPIC
        assert found[0].appended_at.tzinfo is not None
        assert [d.offset for d in found] == sorted({d.offset for d in found})
        await consumer.close()

    async def test_poll_answers_with_at_most_the_number_asked_for(self, bus):
        await bus.append(TOPIC, [record(i) for i in range(5)])
        consumer = await bus.consumer("a", [TOPIC])
        assert numbers(await consumer.poll(2, 1)) == [0, 1]
        assert numbers(await consumer.poll(2, 1)) == [2, 3]
        assert numbers(await consumer.poll(2, 1)) == [4]
        assert list(await consumer.poll(2, 0)) == []
        await consumer.close()

    async def test_an_empty_topic_answers_with_nothing_after_the_timeout(self, bus):
        consumer = await bus.consumer("a", [TOPIC])
        assert list(await consumer.poll(10, 0.05)) == []
        await consumer.close()

    async def test_a_waiting_consumer_is_woken_by_an_append(self, bus):
        consumer = await bus.consumer("a", [TOPIC])
        waiting = asyncio.create_task(consumer.poll(10, 30))
        await asyncio.sleep(0)
        await bus.append(TOPIC, [record(7)])
        assert numbers(await asyncio.wait_for(waiting, 5)) == [7]
        await consumer.close()

    async def test_only_what_was_committed_is_not_delivered_again(self, bus):
        await bus.append(TOPIC, [record(i) for i in range(4)])
        first = await bus.consumer("a", [TOPIC])
        await first.poll(2, 1)
        await first.commit()
        await first.poll(2, 1)
        await first.close()
        second = await bus.consumer("a", [TOPIC])
        assert numbers(await second.poll(10, 1)) == [2, 3]
        await second.close()

    async def test_groups_do_not_see_each_other(self, bus):
        await bus.append(TOPIC, [record(1)])
        for group in ("a", "b"):
            consumer = await bus.consumer(group, [TOPIC])
            assert numbers(await consumer.poll(10, 1)) == [1]
            await consumer.commit()
            await consumer.close()

    async def test_a_topic_belongs_to_one_member_until_it_leaves(self, bus):
        await bus.append(TOPIC, [record(1)])
        owner = await bus.consumer("a", [TOPIC])
        other = await bus.consumer("a", [TOPIC])
        assert numbers(await owner.poll(10, 1)) == [1]
        assert list(await other.poll(10, 0.05)) == []
        taking_over = asyncio.create_task(other.poll(10, 30))
        await asyncio.sleep(0)
        await owner.close()
        assert numbers(await asyncio.wait_for(taking_over, 5)) == [1]
        await other.close()

    async def test_a_member_owns_what_it_polled_until_it_leaves(self, bus):
        await bus.append(TOPIC, [record(1)])
        consumer = await bus.consumer("a", [TOPIC])
        (delivery,) = await consumer.poll(10, 5)
        assert consumer.owns(delivery)
        await consumer.close()
        assert not consumer.owns(delivery)

    async def test_one_consumer_reads_several_topics(self, bus):
        await bus.append("one", [record(1)])
        await bus.append("two", [record(2)])
        consumer = await bus.consumer("a", ["one", "two"])
        found = await consumer.poll(10, 1)
        assert sorted((d.topic, int(d.data)) for d in found) == [("one", 1), ("two", 2)]
        await consumer.close()

    async def test_a_dead_letter_keeps_the_event_and_names_the_error(self, bus):
        await bus.append(TOPIC, [record(1)])
        consumer = await bus.consumer("a", [TOPIC])
        (delivery,) = await consumer.poll(1, 1)
        await consumer.dead_letter(delivery, "cannot be read")
        await consumer.commit()
        await consumer.close()
        (dead,) = [d async for d in bus.replay(TOPIC + ".dead")]
        assert dead.data == delivery.data
        assert dead.key == delivery.key
        assert dead.headers == {"ce_id": "1", "error": "cannot be read"}
        assert await bus.lag("a", TOPIC) == 0

    async def test_replay_reads_up_to_the_end_it_had_without_any_group(self, bus):
        await bus.append(TOPIC, [record(i) for i in range(3)])
        seen = []
        async for delivery in bus.replay(TOPIC):
            seen.append(int(delivery.data))
            if len(seen) == 1:
                await bus.append(TOPIC, [record(99)])
        assert seen == [0, 1, 2]

    async def test_replay_starts_at_the_offset_asked_for(self, bus):
        await bus.append(TOPIC, [record(i) for i in range(3)])
        everything = [d async for d in bus.replay(TOPIC)]
        start = {everything[1].partition: everything[1].offset}
        assert numbers([d async for d in bus.replay(TOPIC, start)]) == [1, 2]

    async def test_replay_of_an_unknown_topic_is_empty(self, bus):
        assert [d async for d in bus.replay("nothing")] == []

    async def test_replay_from_the_oldest_offset_is_all_there_is(self, bus):
        before = await bus.end(TOPIC)
        await bus.append(TOPIC, [record(i) for i in range(3)])
        oldest = await bus.oldest(TOPIC)
        # Nothing was removed: whoever looked at the empty log has missed nothing.
        assert all(oldest[number] <= offset for number, offset in before.items())
        assert oldest.keys() == (await bus.end(TOPIC)).keys()
        assert numbers([d async for d in bus.replay(TOPIC, oldest)]) == [0, 1, 2]

    async def test_end_is_where_the_next_event_goes(self, bus):
        await bus.append(TOPIC, [record(1)])
        end = await bus.end(TOPIC)
        await bus.append(TOPIC, [record(2)])
        assert numbers([d async for d in bus.replay(TOPIC, end)]) == [2]

    async def test_lag_counts_what_the_group_has_not_committed(self, bus):
        await bus.append(TOPIC, [record(i) for i in range(3)])
        consumer = await bus.consumer("a", [TOPIC])
        assert await bus.lag("a", TOPIC) == 3
        await consumer.poll(2, 1)
        assert await bus.lag("a", TOPIC) == 3
        await consumer.commit()
        assert await bus.lag("a", TOPIC) == 1
        await consumer.close()

    async def test_a_new_group_begins_where_it_was_told_and_another_goes_on_where_it_is(self, bus):
        await bus.append(TOPIC, [record(1)])
        end = await bus.end(TOPIC)
        await bus.append(TOPIC, [record(2)])
        await bus.begin("new", TOPIC, end)
        await bus.begin("new", TOPIC, await bus.end(TOPIC))
        assert await bus.lag("new", TOPIC) == 1
        consumer = await bus.consumer("new", [TOPIC])
        assert numbers(await consumer.poll(10, 5)) == [2]
        await consumer.commit()
        await consumer.close()
        await bus.begin("new", TOPIC, dict.fromkeys(end, 0))
        assert await bus.lag("new", TOPIC) == 0

    async def test_groups_that_are_kept_and_those_of_other_names_are_not_forgotten(self, bus):
        await bus.append(TOPIC, [record(1)])
        for group in ("a-kept", "other"):
            consumer = await bus.consumer(group, [TOPIC])
            assert numbers(await consumer.poll(10, 5)) == [1]
            await consumer.commit()
            await consumer.close()
        assert list(await bus.forget("a-", ["a-kept", "a-new"])) == []
        assert [await bus.lag(group, TOPIC) for group in ("a-kept", "other")] == [0, 0]

    async def test_concurrent_appends_are_all_there_and_each_keeps_its_order(self, bus):
        async def producer(key: str) -> None:
            for number in range(20):
                await bus.append(TOPIC, [record(number, key)])

        await asyncio.gather(*(producer(f"1.{i}") for i in range(10)))
        by_key: dict[str, list[int]] = {}
        async for delivery in bus.replay(TOPIC):
            by_key.setdefault(delivery.key, []).append(int(delivery.data))
        assert by_key == {f"1.{i}": list(range(20)) for i in range(10)}

    async def test_appending_nothing_is_a_success(self, bus):
        await bus.append(TOPIC, [])
        assert [d async for d in bus.replay(TOPIC)] == []

    async def test_a_closed_log_refuses_appends(self, bus):
        await bus.close()
        with pytest.raises(Unavailable):
            await bus.append(TOPIC, [record(1)])
