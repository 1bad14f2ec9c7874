"""The embedded log, used by several processes at once and by processes that are killed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest

from isocenter.adapters.bus.log import LogBus
from isocenter.adapters.bus.log_file import LogFile, rows_of, translated, write_lock
from isocenter.adapters.bus.log_writer import Retention, Writer
from isocenter.core.errors import Corrupted, Invalid, OutOfResources, Unavailable
from isocenter.core.ports import Record
from support import log_process
from support.processes import lines_until_killed, python

PROGRAM = Path(log_process.__file__)
TOPIC = "isocenter.instances"


def record(text: str) -> Record:
    return Record("1.2", "t", text.encode())


async def contents(bus: LogBus) -> list[str]:
    return [delivery.data.decode() async for delivery in bus.replay(TOPIC)]


async def test_every_acknowledged_append_of_killed_processes_is_there_once_and_in_order(tmp_path):
    async def appender(prefix: str) -> list[str]:
        async with python(PROGRAM, "append", str(tmp_path), TOPIC, prefix) as process:
            return await lines_until_killed(process, 100)

    acknowledged = list(chain(*await asyncio.gather(*map(appender, "abc"))))
    bus = await LogBus.open(tmp_path)
    kept = await contents(bus)
    await bus.close()
    assert len(acknowledged) >= 300
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
    by_key: dict[str, list[int]] = {}
    for name in kept:
        key, _, step = name.rpartition("-")
        by_key.setdefault(key, []).append(int(step))
    assert all(steps == list(range(len(steps))) for steps in by_key.values())


async def test_an_append_of_another_process_wakes_a_waiting_consumer_soon(tmp_path):
    bus = await LogBus.open(tmp_path)
    async with python(PROGRAM, "consume", str(tmp_path), TOPIC) as process:
        assert await process.stdout.readline() == b"ready\n"
        await bus.append(TOPIC, [record("warm")])
        assert await process.stdout.readline() == b"warm\n"
        delays = []
        for number in range(5):
            await asyncio.sleep(0.03)  # it is waiting again
            begun = time.perf_counter()
            await bus.append(TOPIC, [record(str(number))])
            assert await process.stdout.readline() == f"{number}\n".encode()
            delays.append(time.perf_counter() - begun)
    await bus.close()
    assert min(delays) < 0.1


async def test_the_lease_of_a_killed_member_is_free_at_once_and_its_events_come_again(tmp_path):
    bus = await LogBus.open(tmp_path)
    await bus.append(TOPIC, [record("one"), record("two")])
    async with python(PROGRAM, "consume", str(tmp_path), TOPIC) as process:
        assert await process.stdout.readline() == b"ready\n"
        assert await process.stdout.readline() == b"one\n"
        consumer = await bus.consumer("g", [TOPIC])
        assert list(await consumer.poll(10, 0.1)) == []
        waiting = asyncio.create_task(consumer.poll(10, 60))
        await asyncio.sleep(0.05)
        process.kill()
        await process.wait()
        found = await asyncio.wait_for(waiting, 2)
    assert [delivery.data for delivery in found] == [b"one", b"two"]
    await consumer.close()
    await bus.close()


async def test_a_cancelled_poll_loses_nothing(tmp_path):
    bus = await LogBus.open(tmp_path)
    consumer = await bus.consumer("g", [TOPIC])
    for _ in range(20):
        task = asyncio.create_task(consumer.poll(10, 60))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await bus.append(TOPIC, [record("one")])
    assert [d.data for d in await consumer.poll(10, 5)] == [b"one"]
    await consumer.close()
    await bus.close()


async def test_appends_go_on_after_the_log_is_opened_again(tmp_path):
    for number in range(3):
        bus = await LogBus.open(tmp_path)
        await bus.append(TOPIC, [record(str(number))])
        assert await contents(bus) == [str(n) for n in range(number + 1)]
        await bus.close()


async def test_a_file_that_is_no_log_is_named_with_what_to_do(tmp_path):
    (tmp_path / "log.sqlite").write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(Corrupted, match=r"log\.sqlite.*isocenter rebuild"):
        await LogBus.open(tmp_path)


async def test_a_database_of_something_else_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "log.sqlite")
    connection.execute("PRAGMA application_id = 7")
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()
    with pytest.raises(Corrupted, match="not a log"):
        await LogBus.open(tmp_path)


async def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="file"):
        await LogBus.open(tmp_path / "file" / "log")


def test_a_full_disk_is_out_of_resources(tmp_path):
    connection = sqlite3.connect(tmp_path / "small.sqlite", isolation_level=None)
    connection.execute("PRAGMA max_page_count = 3")
    connection.execute("CREATE TABLE t (a)")
    with pytest.raises(OutOfResources, match="full"), translated(tmp_path):
        connection.execute("INSERT INTO t VALUES (?)", (b"x" * 100_000,))
    connection.close()


async def test_a_failed_append_leaves_the_log_usable(tmp_path, monkeypatch):
    bus = await LogBus.open(tmp_path)
    await bus.append(TOPIC, [record("before")])

    def full(*_):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "append", full)
        with pytest.raises(OutOfResources):
            await bus.append("new topic", [record("lost")])
    await bus.append(TOPIC, [record("after")])
    assert await contents(bus) == ["before", "after"]
    await bus.close()


async def test_text_that_is_not_unicode_is_refused_to_its_own_caller_only(tmp_path):
    bus = await LogBus.open(tmp_path)
    bad = Record("\ud800", "t", b"")
    results = await asyncio.gather(
        bus.append(TOPIC, [bad]), bus.append(TOPIC, [record("good")]), return_exceptions=True
    )
    assert isinstance(results[0], Invalid)
    assert results[1] is None
    await bus.close()


@pytest.fixture
def file(tmp_path):
    file = LogFile.open(tmp_path)
    yield file
    file.close()


def fill(file: LogFile, number: int) -> None:
    with file.transaction():
        file.append(TOPIC, rows_of([record("x" * 1000)] * number))


def trim(file: LogFile, tmp_path: Path, retention: Retention) -> int:
    writer = Writer.__new__(Writer)  # without its thread
    writer._file = file
    writer._retention = retention
    with write_lock(tmp_path) as lock:
        return writer.trim_step(lock)


def test_retention_removes_only_what_all_groups_have_committed(file, tmp_path):
    fill(file, 10)
    with file.transaction():
        file.join("a", [TOPIC])
        file.join("b", [TOPIC])
        file.commit("a", {TOPIC: 9})
        file.commit("b", {TOPIC: 4})
    assert trim(file, tmp_path, Retention(keep_days=0)) == 3
    assert file.bounds(TOPIC) == (4, 11)


def test_retention_waits_for_no_group_that_was_forgotten(file, tmp_path):
    fill(file, 10)
    with file.transaction():
        for group, position in (("audit", 9), ("forward-a", 4), ("forward-b", 2)):
            file.commit(group, {TOPIC: position})
        assert file.forget("forward-", ["forward-a"]) == ["forward-b"]
        assert file.forget("forward-", ["forward-a"]) == []
    assert trim(file, tmp_path, Retention(keep_days=0)) == 3
    with file.transaction():
        assert file.forget("forward-", []) == ["forward-a"]
    assert trim(file, tmp_path, Retention(keep_days=0)) == 5
    assert file.committed("audit", TOPIC) == 9
    assert file.committed("forward-a", TOPIC) == 0


def test_retention_keeps_what_is_young(file, tmp_path):
    fill(file, 10)
    assert trim(file, tmp_path, Retention(keep_days=1)) == 0
    with file.transaction():
        assert file.trim(TOPIC, datetime.now(UTC) + timedelta(days=1), 500) == 9


def test_retention_by_size_removes_until_the_log_is_small_and_offsets_are_never_given_twice(
    file, tmp_path
):
    fill(file, 3000)
    assert file.used_bytes() > 2_000_000
    steps = 0
    while trim(file, tmp_path, Retention(keep_bytes=1_000_000)):
        steps += 1
    assert steps > 1
    assert file.used_bytes() <= 1_000_000
    with file.transaction():
        file.trim(TOPIC, None, 10_000)
    assert file.bounds(TOPIC) == (3000, 3001)
    fill(file, 1)
    assert file.bounds(TOPIC) == (3000, 3002)


def test_without_retention_nothing_is_removed(file, tmp_path):
    fill(file, 10)
    assert trim(file, tmp_path, Retention()) == 0
