"""Objects that were never announced are found, announced once, and nothing else is."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.core.entries import event_from_object
from isocenter.core.events import (
    TOPIC_INSTANCES,
    TOPIC_JOBS,
    TOPIC_STUDIES,
    InstanceStored,
    StudyQuiet,
    SweepCheckpoint,
)
from isocenter.core.identity import ObjectName, outbox_key
from isocenter.core.matching import Level, Search
from isocenter.indexing import sweep_job, sweeping
from isocenter.indexing.settling import Settler
from isocenter.indexing.sweep_job import SweepJob
from isocenter.runtime.event_codec import decode
from support import objects
from support.archive import SETTINGS, SOURCE, Archive, values
from support.datasets import tiny

AT_ONCE = SETTINGS.model_copy(update={"orphan_seconds": 0})
STUDIES = Search(Level.STUDY, include_all=True)


async def sweep(archive: Archive, settings=AT_ONCE):
    return [step async for step in archive.service(settings).sweep()][-1]


async def ids(archive: Archive) -> list[str]:
    return [d.headers["ce_id"] async for d in archive.bus.replay(TOPIC_INSTANCES)]


async def test_an_orphan_is_announced_from_its_object_and_found_then(archive) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4", PatientID="KNOWN"))
    await archive.index_all()
    lost = await archive.orphan(tiny("1.5", "1.6", "1.7", PatientID="LOST"))
    step = await sweep(archive)
    assert (step.objects, step.announced, step.waiting, step.problems, step.done) == (
        2, 1, 0, {}, True,
    )  # fmt: skip
    *_, event = await archive.events(TOPIC_INSTANCES, InstanceStored)
    stat = await archive.storage.stat(lost.key)
    assert event == replace(
        lost, source=sweeping.SOURCE, received_at=stat.modified_at, patient_id="LOST"
    )
    await archive.index_all()
    assert sorted(values(await archive.answers(STUDIES), "00100020")) == ["KNOWN", "LOST"]
    assert (await sweep(archive)).announced == 0


async def test_an_orphan_that_is_announced_twice_is_one_event(archive) -> None:
    await archive.orphan(tiny())
    assert [(await sweep(archive)).announced for _ in range(2)] == [1, 1]
    first, second = await ids(archive)
    assert first == second


async def test_an_object_whose_announcement_may_be_under_way_is_no_orphan_yet(archive) -> None:
    await archive.orphan(tiny())
    assert (await sweep(archive, SETTINGS)).waiting == 1
    assert await ids(archive) == []


@pytest.mark.parametrize("behind", ["outbox", "log"])
async def test_while_indexing_is_behind_nothing_counts_as_an_orphan(
    archive, behind, monkeypatch
) -> None:
    monkeypatch.setattr(sweeping, "_BEHIND", 0)
    await archive.orphan(tiny())
    if behind == "outbox":
        key = outbox_key(TOPIC_INSTANCES, "1")
        await archive.blobs.put(key, [b""], hashlib.sha256(b"").hexdigest())
    else:
        await archive.store(tiny())
    before = await ids(archive)
    step = await sweep(archive)
    assert (step.announced, step.waiting > 0) == (0, True)
    assert await ids(archive) == before


async def test_what_cannot_be_read_or_is_not_what_its_key_says_is_a_problem(archive) -> None:
    good = await archive.orphan(tiny("1.2", "1.3", "1.4"))
    content = await archive.blobs.get(good.key)
    elsewhere = ObjectName(replace(good.name, study="9.9"), good.digest).key
    rubbish = b"rubbish" * 100
    digest = hashlib.sha256(rubbish).hexdigest()
    unreadable = ObjectName(good.name, digest).key
    await archive.blobs.put(elsewhere, [content], good.digest)
    await archive.blobs.put(unreadable, [rubbish], digest)
    step = await sweep(archive)
    assert step.announced == 1
    assert set(step.problems) == {elsewhere, unreadable}


async def test_the_event_of_an_object_is_the_one_that_ingest_makes_of_it() -> None:
    made = 0
    for path in objects.pydicom_files():
        if path.name in objects.NOT_STORABLE:
            continue
        data, transfer_syntax = objects.split_file(path)
        archive = objects.Archive()
        await archive.ingest.store(objects.announcement(transfer_syntax), objects.chunks(data))
        (delivery,) = [d async for d in archive.bus.replay(TOPIC_INSTANCES)]
        announced = decode(delivery)
        assert isinstance(announced, InstanceStored)
        stream = archive.blobs.stream(announced.key)
        name = ObjectName(announced.name, announced.digest)
        found = await event_from_object(
            name, announced.size, stream, announced.source, announced.received_at
        )
        assert found == replace(announced, checksum=""), path.name
        made += 1
    assert made > 50


# --- a study that goes quiet ---------------------------------------------------------------------


async def _quiet(archive: Archive, settler: Settler) -> list[StudyQuiet]:
    consumer = await archive.bus.consumer("settling", [TOPIC_STUDIES])
    async with asyncio.timeout(20):
        while not await archive.events(TOPIC_STUDIES, StudyQuiet):
            await settler.step(consumer)
    await consumer.close()
    return await archive.events(TOPIC_STUDIES, StudyQuiet)


async def test_a_study_goes_quiet_only_after_its_orphans_were_announced(archive) -> None:
    settings = SETTINGS.model_copy(update={"orphan_seconds": 0.5})
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    await archive.orphan(tiny("1.2", "1.3", "1.5"))
    begun = asyncio.get_running_loop().time()
    await _quiet(archive, archive.settler(settings))
    assert asyncio.get_running_loop().time() - begun > 0.3
    stored = await archive.events(TOPIC_INSTANCES, InstanceStored)
    assert [event.name.instance for event in stored] == ["1.4", "1.5"]
    await archive.index_all()
    assert values(await archive.answers(STUDIES), "00201208") == [2]


async def test_a_study_without_orphans_is_quiet_without_a_further_wait(archive) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    assert await _quiet(archive, archive.settler()) == [StudyQuiet("main", "1.2", 1, 1)]
    assert len(await ids(archive)) == 1


# --- all objects, again and again ----------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(minutes=5)

    def __call__(self) -> datetime:
        return self.now


def job(archive: Archive, clock: Clock) -> SweepJob:
    return SweepJob(bus=archive.bus, sweeper=archive.sweeper(AT_ONCE), settings=AT_ONCE, now=clock)


async def checkpoints(archive: Archive) -> list[SweepCheckpoint]:
    return await archive.events(TOPIC_JOBS, SweepCheckpoint)


async def test_the_first_start_sweeps_and_the_next_sweep_is_a_day_later(archive) -> None:
    clock = Clock()
    await archive.orphan(tiny())
    task = asyncio.create_task(job(archive, clock).run())
    async with asyncio.timeout(10):
        while len(await checkpoints(archive)) < 2:
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await ids(archive)) == 1
    again = job(archive, clock)
    consumer = await archive.bus.consumer(sweep_job.GROUP, [TOPIC_JOBS])
    await again.step(consumer)
    assert len(await checkpoints(archive)) == 2
    clock.now += timedelta(hours=24)
    await again.step(consumer)
    _, *done = await checkpoints(archive)
    assert [checkpoint.done for checkpoint in done] == [True, True]
    assert done[1].started_at - done[0].started_at == timedelta(hours=24)


async def test_a_sweep_goes_on_where_the_former_owner_of_the_partition_left_it(
    archive, monkeypatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 2)
    monkeypatch.setattr(sweep_job, "_STEP", 2)
    monkeypatch.setattr(sweep_job, "POLL_SECONDS", 0.01)
    clock = Clock()
    keys = sorted([(await archive.orphan(tiny(f"1.{n}", "1.2", "1.3"))).key for n in range(5)])
    first, other = job(archive, clock), job(archive, clock)
    await first._begin()
    await other._begin()
    consumer = await archive.bus.consumer(sweep_job.GROUP, [TOPIC_JOBS])
    standby = await archive.bus.consumer(sweep_job.GROUP, [TOPIC_JOBS])
    await first.step(consumer)
    await other.step(standby)
    *_, reached = await checkpoints(archive)
    assert (reached.key, reached.done) == (keys[1], False)
    await archive.bus.revoke(sweep_job.GROUP, TOPIC_JOBS)
    await other.step(standby)
    await first.step(consumer)
    *_, reached = await checkpoints(archive)
    assert (reached.key, reached.done) == (keys[3], False)
    await other.step(standby)
    *_, reached = await checkpoints(archive)
    assert reached.done
    stored = await archive.events(TOPIC_INSTANCES, InstanceStored)
    assert [event.key for event in stored] == keys
    assert all(event.source.protocol == "sweep" != SOURCE.protocol for event in stored)
