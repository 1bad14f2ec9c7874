"""The log on Kafka while its broker is killed, frozen, away or closed to us."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from pydantic import SecretStr

from contract.event_bus_suite import record
from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.bus.kafka.upkeep import KafkaUpkeep
from isocenter.adapters.settings import KafkaSettings
from isocenter.core.errors import Unavailable
from isocenter.core.ports import Consumer
from support.kafka_logs import TOPIC, make_topics, opened
from support.ports import free_ports
from support.stack import Server, with_sign_in

BOUND = 12.0  # seconds within which every call answers, whatever the broker does


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker of this module's own, running at the beginning of each test."""
    server = Server("kafka", tmp_path_factory.mktemp("broker") / "kafka")
    server.start()
    yield server
    server.kill()


class Appender:
    """Appends one event after the other, and again what was not acknowledged."""

    def __init__(self, bus: KafkaBus, keys: int = 4) -> None:
        self.acknowledged: list[int] = []
        self.refusals = 0
        self.slowest = 0.0
        self._bus = bus
        self._numbers = iter(range(1_000_000))
        self._tasks = [asyncio.create_task(self._run(f"1.{key}")) for key in range(keys)]

    async def _run(self, key: str) -> None:
        for number in self._numbers:
            while not await self._append(number, key):
                await asyncio.sleep(0.1)

    async def _append(self, number: int, key: str) -> bool:
        start = time.monotonic()
        try:
            await self._bus.append(TOPIC, [record(number, key)])
        except Unavailable:
            self.refusals += 1
            return False
        finally:
            self.slowest = max(self.slowest, time.monotonic() - start)
        self.acknowledged.append(number)
        return True

    async def reached(self, count: int) -> None:
        """Wait for so many acknowledgements in all."""
        async with asyncio.timeout(60):
            while len(self.acknowledged) < count:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    async def refused(self, count: int) -> None:
        """Wait for so many refusals in all."""
        async with asyncio.timeout(60):
            while self.refusals < count:
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """No more appends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def consumed(consumer: Consumer, seen: set[int], enough: asyncio.Event) -> int:
    """Take and commit events until told to stop; how often the log was away."""
    away = 0
    while not enough.is_set():
        try:
            for delivery in await consumer.poll(100, 0.5):
                seen.add(int(delivery.data))
            await consumer.commit()
        except Unavailable:
            away += 1
            await asyncio.sleep(0.2)
    return away


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_every_acknowledged_append_outlives_the_broker_and_all_go_on_by_themselves(
    broker: Server, name: str, how: str
) -> None:
    make_topics(broker.address, name, 4)
    async with opened(broker.address, name) as bus:
        consumer = await bus.consumer("g", [TOPIC])
        seen: set[int] = set()
        enough = asyncio.Event()
        consuming = asyncio.create_task(consumed(consumer, seen, enough))
        appender = Appender(bus)
        await appender.reached(200)
        await asyncio.to_thread(broker.kill if how == "killed" else broker.freeze)
        await appender.refused(8)
        before = len(appender.acknowledged)
        await asyncio.to_thread(broker.start if how == "killed" else broker.thaw)
        await appender.reached(before + 200)
        await appender.stop()
        kept = {int(delivery.data) async for delivery in bus.replay(TOPIC)}
        assert set(appender.acknowledged) <= kept
        assert appender.slowest < BOUND
        async with asyncio.timeout(60):
            while not seen >= kept:
                await asyncio.sleep(0.1)
        enough.set()
        assert await consuming > 0
        await consumer.commit()
        assert await bus.lag("g", TOPIC) == 0
        await consumer.close()


@pytest.mark.slow
async def test_a_log_whose_broker_is_away_says_so_in_bounded_time_and_is_there_once_it_is(
    broker: Server, name: str
) -> None:
    make_topics(broker.address, name)
    await asyncio.to_thread(broker.kill)
    async with opened(broker.address, name) as bus:
        calls = (
            bus.append(TOPIC, [record(1)]),
            bus.consumer("g", [TOPIC]),
            bus.end(TOPIC),
            bus.lag("g", TOPIC),
            anext(bus.replay(TOPIC)),
        )
        try:
            start = time.monotonic()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - start < BOUND
        finally:
            await asyncio.to_thread(broker.start)
        for answer in answers:
            assert isinstance(answer, Unavailable)
            assert broker.address in str(answer)
            assert "bus" in answer.fix
        await bus.append(TOPIC, [record(1)])
        consumer = await bus.consumer("g", [TOPIC])
        assert len(await consumer.poll(1, 5)) == 1
        await consumer.close()


@pytest.mark.slow
async def test_closing_is_quick_while_the_broker_is_away(broker: Server, name: str) -> None:
    make_topics(broker.address, name)
    async with opened(broker.address, name) as bus:
        await bus.append(TOPIC, [record(1)])
        consumer = await bus.consumer("g", [TOPIC])
        assert len(await consumer.poll(1, 5)) == 1
        await asyncio.to_thread(broker.kill)
        try:
            start = time.monotonic()
            with pytest.raises(Unavailable):
                await consumer.commit()
            await consumer.close()
            await bus.close()
            assert time.monotonic() - start < 2 * BOUND
        finally:
            await asyncio.to_thread(broker.start)


@pytest.mark.slow
async def test_a_topic_that_is_deleted_and_made_again_is_used_again(
    broker: Server, name: str
) -> None:
    make_topics(broker.address, name)
    admin = KafkaAdminClient(bootstrap_servers=[broker.address])
    async with opened(broker.address, name) as bus:
        consumer = await bus.consumer("g", [TOPIC])
        await bus.append(TOPIC, [record(1)])
        assert len(await consumer.poll(1, 5)) == 1
        await consumer.commit()
        await asyncio.to_thread(admin.delete_topics, [f"{name}.instances"])
        async with asyncio.timeout(40):
            told = ""
            while "--prepare" not in told:
                with pytest.raises(Unavailable, match=rf"{name}\.instances") as refusal:
                    await bus.append(TOPIC, [record(2)])
                told = str(refusal.value)
        await asyncio.to_thread(admin.create_topics, made_again(name))
        async with asyncio.timeout(30):
            found: list[int] = []
            while not await appended(bus, 3):
                await asyncio.sleep(0.2)
            while 3 not in found:
                found += [int(delivery.data) for delivery in await consumer.poll(10, 1)]
        await consumer.close()
    admin.close()


async def test_the_first_event_of_a_topic_that_was_made_again_at_once_arrives(
    broker: Server, name: str
) -> None:
    """The member has had no time to notice that there was none."""
    make_topics(broker.address, name)
    admin = KafkaAdminClient(bootstrap_servers=[broker.address])
    async with opened(broker.address, name) as bus:
        consumer = await bus.consumer("g", [TOPIC])
        await bus.append(TOPIC, [record(1)])
        assert len(await consumer.poll(1, 5)) == 1
        await consumer.commit()
        await asyncio.to_thread(admin.delete_topics, [f"{name}.instances"])
        await asyncio.to_thread(admin.create_topics, made_again(name))
        async with asyncio.timeout(30):
            while not await appended(bus, 3):
                await asyncio.sleep(0.2)
            found: list[int] = []
            while 3 not in found:
                found += [int(delivery.data) for delivery in await consumer.poll(10, 1)]
        await consumer.commit()
        assert await bus.lag("g", TOPIC) == 0
        await consumer.close()
    admin.close()


def made_again(name: str) -> dict[str, dict[str, int]]:
    """The topic of instances, for the client of administrators."""
    return {f"{name}.instances": {"num_partitions": 1, "replication_factor": 1}}


async def appended(bus: KafkaBus, number: int) -> bool:
    """Whether the log takes an event now."""
    try:
        await bus.append(TOPIC, [record(number)])
    except Unavailable:
        return False
    return True


@pytest.fixture(scope="module")
def closed_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker that lets in a user `isocenter` with the password `right`, and no other."""
    server = Server("kafka", tmp_path_factory.mktemp("closed") / "kafka")
    with_sign_in(
        server,
        {"isocenter": "right"},
    )
    server.start()
    yield server
    server.kill()


def signed_in(password: str) -> KafkaSettings:
    return KafkaSettings(username="isocenter", password=SecretStr(password), mechanism="PLAIN")


@pytest.mark.slow
async def test_a_wrong_password_is_named_and_never_told_and_the_right_one_lets_in(
    closed_broker: Server, name: str
) -> None:
    url = f"kafka://{closed_broker.address}/{name}"
    async with opened(closed_broker.address, name, signed_in("wrong-password")) as bus:
        for call in (
            lambda: bus.append(TOPIC, [record(1)]),
            lambda: bus.consumer("g", [TOPIC]),
            lambda: bus.end(TOPIC),
        ):
            with pytest.raises(Unavailable, match=r"\[kafka\].*username.*password") as refusal:
                await call()
            assert "wrong-password" not in str(refusal.value)
    keeper = await KafkaUpkeep.open(url, signed_in("wrong-password"), keep_days=1, keep_bytes=1)
    (finding,) = await keeper.check()
    assert "[kafka]" in finding.fix
    assert "password" in finding.fix
    await keeper.close()
    keeper = await KafkaUpkeep.open(url, signed_in("right"), keep_days=1, keep_bytes=10**9)
    await keeper.prepare()
    await keeper.close()
    async with opened(closed_broker.address, name, signed_in("right")) as bus:
        await bus.append(TOPIC, [record(1)])
        consumer = await bus.consumer("g", [TOPIC])
        assert len(await consumer.poll(1, 5)) == 1
        await consumer.close()


async def test_a_broker_that_was_never_there_is_named(name: str) -> None:
    (port,) = free_ports(1)
    url = f"kafka://127.0.0.1:{port}/{name}"
    keeper = await KafkaUpkeep.open(url, KafkaSettings(), keep_days=1, keep_bytes=1)
    (finding,) = await keeper.check()
    assert finding.what == "brokers"
    assert f"127.0.0.1:{port}" in finding.state
    assert finding.fix
    assert not finding.preparable
    with pytest.raises(Unavailable):
        await keeper.prepare()
    await keeper.close()


async def test_attempts_during_an_outage_leave_no_thread_and_no_socket_behind(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "kafka")  # records that are kept would keep sockets
    (port,) = free_ports(1)

    async def attempts() -> None:
        async with opened(f"127.0.0.1:{port}", name) as bus:
            for attempt in (
                bus.append(TOPIC, [record(1)]),
                bus.consumer("g", [TOPIC]),
                bus.lag("g", TOPIC),
                bus.end(TOPIC),
            ):
                with pytest.raises(Unavailable):
                    await attempt

    def held() -> tuple[int, int]:
        gc.collect()  # the library's sockets go with the cycles they are in
        # The event loop's own pool may grow at any time, and is bounded.
        threads = [one for one in threading.enumerate() if not one.name.startswith("asyncio_")]
        return len(threads), len(os.listdir("/proc/self/fd"))

    await attempts()  # what stays for good
    before = held()
    await attempts()
    assert held() == before


async def test_callers_that_give_up_on_a_silent_broker_leave_no_producer_that_is_stuck(
    broker: Server, name: str
) -> None:
    make_topics(broker.address, name)
    async with opened(broker.address, name) as bus:
        await bus.append(TOPIC, [record(0)])
        broker.freeze()
        try:
            for number in range(1, 8):  # for longer than the library keeps records that wait
                with pytest.raises((TimeoutError, Unavailable)):
                    async with asyncio.timeout(2):
                        await bus.append(TOPIC, [record(number)])
        finally:
            broker.thaw()
        async with asyncio.timeout(BOUND):
            while True:
                try:
                    async with asyncio.timeout(2):
                        await bus.append(TOPIC, [record(99)])
                    break
                except (TimeoutError, Unavailable):
                    await asyncio.sleep(0.2)
