"""Several members, partitions that move: nothing is lost, nothing is done by two for long."""

from __future__ import annotations

import asyncio
import random

import pytest

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.errors import Unavailable
from isocenter.core.events import TOPIC_INSTANCES, TOPIC_STUDIES, StudyChanged, StudyQuiet
from isocenter.core.matching import Level, Search
from isocenter.core.ports import FEED
from isocenter.indexing import settling
from isocenter.runtime.event_codec import encode
from support.archive import SETTINGS, Archive, values
from support.datasets import tiny

STUDIES = Search(Level.STUDY, include_all=True)
CHANGED = StudyChanged("main", "1.2", 1, 1)
QUIET = StudyQuiet("main", "1.2", 1, 1)


@pytest.fixture
def archive(index: SqliteIndex) -> Archive:
    return Archive(index, MemoryBus(partitions=4))


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.005)


class _Down:
    """An index that is down until it is told otherwise."""

    def __init__(self, index: SqliteIndex) -> None:
        self._index = index
        self.down = True
        self.tries = 0

    def __getattr__(self, name: str):
        return getattr(self._index, name)

    async def versions(self, names):
        self.tries += 1
        if self.down:
            raise Unavailable("the index is down")
        return await self._index.versions(names)


async def test_what_has_moved_is_not_applied_and_not_committed(archive) -> None:
    archive.index = index = _Down(archive.index)
    await archive.store(tiny(PatientID="MOVED"))
    async with archive.running() as indexer:
        await until(lambda: _is(index.tries > 0))
        await archive.bus.revoke(FEED, TOPIC_INSTANCES)
        successor = await archive.bus.consumer(FEED, [TOPIC_INSTANCES])
        assert len(await successor.poll(10, 5)) == 1
        index.down = False
        await until(lambda: _is(not indexer.retrying.problem))
    assert await archive.answers(STUDIES) == []
    assert await archive.events(TOPIC_STUDIES, StudyChanged) == []
    assert await archive.bus.lag(FEED, TOPIC_INSTANCES) == 1
    await successor.close()
    await archive.index_all()
    assert values(await archive.answers(STUDIES), "00100020") == ["MOVED"]


async def _is(value: bool) -> bool:
    return value


async def _change(archive: Archive) -> None:
    """A study of one instance, indexed and told as changed."""
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    assert await archive.events(TOPIC_STUDIES, StudyChanged) == [CHANGED]


async def _settler(archive: Archive):
    return archive.settler(), await archive.bus.consumer(settling.GROUP, [TOPIC_STUDIES])


async def test_a_member_that_has_lost_a_study_leaves_it_to_the_new_owner(archive) -> None:
    await _change(archive)
    first, first_consumer = await _settler(archive)
    await first.step(first_consumer)
    await archive.bus.revoke(settling.GROUP, TOPIC_STUDIES)
    second, second_consumer = await _settler(archive)
    await second.step(second_consumer)
    await asyncio.sleep(SETTINGS.quiet_seconds)
    await first.step(first_consumer)
    assert await archive.events(TOPIC_STUDIES, StudyQuiet) == []
    await second.step(second_consumer)
    assert await archive.events(TOPIC_STUDIES, StudyQuiet) == [QUIET]


async def test_a_study_told_again_before_a_commit_is_settled_by_the_next_member(
    archive, monkeypatch
) -> None:
    monkeypatch.setattr(settling, "_COMMIT_SECONDS", 0)
    await _change(archive)
    first, consumer = await _settler(archive)
    await first.step(consumer)
    await consumer.close()
    assert await archive.bus.lag(settling.GROUP, TOPIC_STUDIES) == 1
    assert await archive.events(TOPIC_STUDIES, StudyChanged) == [CHANGED, CHANGED]
    second, consumer = await _settler(archive)

    async def is_quiet() -> bool:
        await second.step(consumer)
        return await archive.events(TOPIC_STUDIES, StudyQuiet) == [QUIET]

    await until(is_quiet)


async def test_a_study_settled_by_a_member_that_ended_is_not_told_again(archive) -> None:
    await _change(archive)
    first, consumer = await _settler(archive)
    consumer.commit = asyncio.Event().wait  # ends between what it tells and its commit

    async def work() -> None:
        while True:
            await first.step(consumer)

    async def is_quiet() -> bool:
        return await archive.events(TOPIC_STUDIES, StudyQuiet) == [QUIET]

    task = asyncio.create_task(work())
    await until(is_quiet)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await consumer.close()
    assert await archive.bus.lag(settling.GROUP, TOPIC_STUDIES) == 2
    second, consumer = await _settler(archive)
    await second.step(consumer)
    await asyncio.sleep(SETTINGS.quiet_seconds)
    await second.step(consumer)
    assert await archive.events(TOPIC_STUDIES, StudyQuiet) == [QUIET]
    assert await archive.bus.lag(settling.GROUP, TOPIC_STUDIES) == 0


async def test_a_change_that_comes_while_its_study_is_being_settled_is_settled_too(
    archive, monkeypatch
) -> None:
    settler, consumer = await _settler(archive)
    later = StudyChanged("main", "1.2", 1, 1)  # another object of the same name: the same counts
    sweep = settler._sweeper.study

    async def changed_meanwhile(*name: str):
        monkeypatch.setattr(settler._sweeper, "study", sweep)
        await archive.bus.append(TOPIC_STUDIES, [encode(later)])
        return await sweep(*name)

    monkeypatch.setattr(settler._sweeper, "study", changed_meanwhile)
    await _change(archive)

    async def is_quiet_twice() -> bool:
        await settler.step(consumer)
        return await archive.events(TOPIC_STUDIES, StudyQuiet) == [QUIET, QUIET]

    await until(is_quiet_twice)


async def test_what_is_told_quiet_is_counted_then_whatever_the_changes_counted(archive) -> None:
    for number in range(3):
        await archive.store(tiny("1.2", f"1.3.{number % 2}", f"1.4.{number}"))
    await archive.index_all()
    stale = StudyChanged("main", "1.2", 1, 1)  # told late by a member that has lost its partition
    await archive.bus.append(TOPIC_STUDIES, [encode(stale)])
    settler, consumer = await _settler(archive)

    async def is_quiet() -> bool:
        await settler.step(consumer)
        return bool(await archive.events(TOPIC_STUDIES, StudyQuiet))

    await until(is_quiet)
    assert await archive.events(TOPIC_STUDIES, StudyQuiet) == [StudyQuiet("main", "1.2", 2, 3)]


async def test_whatever_moves_and_ends_every_study_is_indexed_and_told_quiet_in_full(
    archive, monkeypatch
) -> None:
    monkeypatch.setattr(settling, "_COMMIT_SECONDS", 0.05)
    chance = random.Random(20260103)
    studies = [f"1.2.{number}" for number in range(12)]
    settings = SETTINGS.model_copy(update={"batch_size": 5, "quiet_seconds": 0.1})
    kinds = {archive.indexer: 2, archive.settler: 2}
    members = [
        (kind, asyncio.create_task(kind(settings).run()))
        for kind, count in kinds.items()
        for _ in range(count)
    ]
    for number in range(4):
        for study in studies:
            await archive.store(tiny(study, f"{study}.1", f"{study}.1.{number}"))
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0, 0.05))
            group, topic = chance.choice([(FEED, TOPIC_INSTANCES), (settling.GROUP, TOPIC_STUDIES)])
            await archive.bus.revoke(group, topic)
            kind, task = members.pop(chance.randrange(len(members)))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            members.append((kind, asyncio.create_task(kind(settings).run())))

    async def all_quiet() -> bool:
        quiet = await archive.events(TOPIC_STUDIES, StudyQuiet)
        full = {event.study for event in quiet if event.instance_count == 4}
        return full == set(studies)

    await until(all_quiet)
    for _, task in members:
        task.cancel()
    await asyncio.gather(*(task for _, task in members), return_exceptions=True)
    assert set(values(await archive.answers(STUDIES), "00201208")) == {4}
