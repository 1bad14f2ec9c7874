"""From events to the index, the packs and further events."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from itertools import islice

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import SYSTEM
from isocenter.core.errors import OutOfResources, Unavailable
from isocenter.core.events import (
    DEAD_SUFFIX,
    TOPIC_INSTANCES,
    TOPIC_STUDIES,
    AuditAction,
    ConflictPolicy,
    InstanceConflict,
    StudyChanged,
    StudyQuiet,
)
from isocenter.core.identity import conflicts_prefix, packs_prefix
from isocenter.core.matching import Key, Level, Search
from isocenter.core.ports import Record
from isocenter.indexing import consuming
from isocenter.indexing.archive import ArchiveTotals
from isocenter.indexing.packing import known_entries
from isocenter.indexing.role import IndexingRole
from isocenter.indexing.settings import IndexingSettings
from isocenter.runtime.telemetry import OFF
from isocenter.storage.service import StorageService
from support.archive import SETTINGS, values
from support.datasets import ct_image, tiny

FIRST, LATEST = ConflictPolicy.KEEP_FIRST, ConflictPolicy.KEEP_LATEST
STUDIES = Search(Level.STUDY, include_all=True)
INSTANCES = Search(Level.INSTANCE, include_all=True)


async def test_a_stored_instance_is_found_has_a_pack_and_its_study_is_announced(archive) -> None:
    event = await archive.store(ct_image(16, 16, study="1.2", series="1.3", patient_id="ID7"))
    await archive.index_all()
    (found,) = await archive.answers(Search(Level.STUDY, (Key("00100020", "LO", ("ID7",)),)))
    assert values([found], "00201208") == [1]
    (entry,) = (await known_entries(archive.storage, ("main", "1.2", "1.3"))).values()
    assert (entry.digest, entry.number_of_frames) == (event.digest, 1)
    assert await archive.events(TOPIC_STUDIES, StudyChanged) == [StudyChanged("main", "1.2", 1, 1)]


async def test_a_header_that_is_not_in_the_event_is_read_from_the_object(archive) -> None:
    await archive.store(ct_image(16, 16, patient_id="BY-REFERENCE"), inline=False)
    await archive.index_all()
    assert values(await archive.answers(STUDIES), "00100020") == ["BY-REFERENCE"]


async def test_a_backlog_is_worked_off_without_a_rest(archive, monkeypatch) -> None:
    for number in range(6):
        await archive.store(tiny("1.2", "1.3", f"1.4.{number}"))
    rests = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    async with archive.running(SETTINGS.model_copy(update={"batch_size": 2})) as indexer:
        monkeypatch.setattr(indexer.retrying, "rest", rest)
        await archive.caught_up()
    assert rests == []


async def test_what_comes_soon_after_a_batch_is_one_batch_which_a_lull_ends(
    archive, monkeypatch
) -> None:
    monkeypatch.setattr(consuming, "_GATHERING", 1e6)
    monkeypatch.setattr(consuming, "_LONGEST_GATHERING", 60.0)
    coming = iter(["1.4.2", "1.4.3"])
    batches = []

    async def rest(_: float) -> None:
        for instance in islice(coming, 1):
            await archive.store(tiny("1.2", "1.3", instance))

    async with archive.running() as indexer:
        apply = indexer._applier.apply

        async def counted(events, traces=None):
            batches.append(len(events))
            return await apply(events, traces)

        monkeypatch.setattr(indexer._applier, "apply", counted)
        await archive.store(tiny("1.2", "1.3", "1.4.0"))
        await archive.caught_up()
        monkeypatch.setattr(indexer.retrying, "rest", rest)
        await archive.store(tiny("1.2", "1.3", "1.4.1"))
        await archive.caught_up()
    assert batches == [1, 3]


async def test_a_log_that_fails_while_more_is_gathered_loses_nothing(archive, monkeypatch) -> None:
    consumer = await archive.bus.consumer("indexing", [TOPIC_INSTANCES])
    poll, polls = consumer.poll, 0

    async def failing(size: int, seconds: float):
        nonlocal polls
        polls += 1
        if polls % 2 == 0:
            raise Unavailable("the log is down")
        return await poll(size, seconds)

    async def joined(*_: object):
        return consumer

    monkeypatch.setattr(consumer, "poll", failing)
    monkeypatch.setattr(archive.bus, "consumer", joined)
    for number in range(4):
        await archive.store(tiny("1.2", "1.3", f"1.4.{number}"))
    settings = SETTINGS.model_copy(update={"batch_size": 3, "linger_seconds": 0.1})
    async with archive.running(settings):
        await archive.caught_up()
    assert values(await archive.answers(STUDIES), "00201208") == [4]
    assert polls > 2


async def test_the_same_object_again_changes_nothing(archive) -> None:
    image = ct_image(16, 16, study="1.2", series="1.3")
    await archive.store(image)
    await archive.index_all()
    before = await archive.everything(), await archive.keys("packs/")
    await archive.store(image)
    await archive.index_all()
    assert (await archive.everything(), await archive.keys("packs/")) == before
    assert await archive.events(TOPIC_INSTANCES, InstanceConflict) == []


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("policy", "current"), [(FIRST, "A"), (LATEST, "B")])
async def test_a_conflict_keeps_both_and_the_policy_says_which_answers(
    archive, policy, current, together
) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="A"), policy)
    if not together:
        await archive.index_all()
    two = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="B"), policy)
    await archive.index_all()
    assert values(await archive.answers(INSTANCES), "00100020") == [current]
    assert values(await archive.answers(STUDIES), "00201208") == [1]
    held = (await archive.index.versions([one.name]))[one.name]
    assert {v.digest for v in held} == {one.digest, two.digest}
    (conflict,) = await archive.events(TOPIC_INSTANCES, InstanceConflict)
    chosen = one if current == "A" else two
    assert conflict.current_digest == chosen.digest
    (record,) = archive.audit.records
    assert record["action"] is AuditAction.CONFLICT
    assert record["instances"] == (one.name.instance,)
    assert record["digests"] == (conflict.current_digest, conflict.other_digest)
    assert set(record["digests"]) == {one.digest, two.digest}
    assert await archive.keys(conflicts_prefix(one.name)) == [
        f"{conflicts_prefix(one.name)}1.{chosen.digest}"
    ]
    found = [stored.digest async for stored in archive.storage.instances(SYSTEM, "main", "1.2")]
    assert found == [chosen.digest]


@pytest.mark.parametrize("policy", [FIRST, LATEST])
async def test_a_conflict_delivered_again_is_not_decided_again(archive, policy) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="A"), policy)
    two = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="B"), policy)
    await archive.index_all()
    before = await archive.everything()
    await archive.announce(one, two, one)
    await archive.index_all()
    assert await archive.everything() == before
    assert len(await archive.events(TOPIC_INSTANCES, InstanceConflict)) == 1
    assert len(await archive.keys(conflicts_prefix(one.name))) == 1


async def test_a_third_version_is_a_second_decision(archive) -> None:
    for patient in "ABC":
        event = await archive.store(tiny("1.2", "1.3", "1.4", PatientID=patient), LATEST)
    await archive.index_all()
    assert values(await archive.answers(INSTANCES), "00100020") == ["C"]
    assert len(await archive.keys(conflicts_prefix(event.name))) == 2


async def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on(archive) -> None:
    good = await archive.store(tiny(PatientID="GOOD"))
    await archive.announce(replace(good, header=b"\x10\x00 this is no data set", size=9999))
    await archive.announce(replace(good, header=None, digest="0" * 64))  # its object is missing
    await archive.bus.append(TOPIC_INSTANCES, [Record("k", "unknown.Type", b"")])
    await archive.store(tiny(PatientID="GOOD TOO"))
    await archive.index_all()
    found = values(await archive.answers(STUDIES), "00100020")
    assert sorted(found) == ["GOOD", "GOOD TOO"]
    dead = [d async for d in archive.bus.replay(TOPIC_INSTANCES + DEAD_SUFFIX)]
    assert len(dead) == 3
    assert all(d.headers["error"] for d in dead)


async def test_kinds_of_events_that_a_newer_version_added_are_passed_over(archive) -> None:
    newer = Record("k", "isocenter.v1.InstanceFolded", b"of a newer version")
    for topic in (TOPIC_INSTANCES, TOPIC_STUDIES):
        await archive.bus.append(topic, [newer])
    await archive.store(tiny(PatientID="GOOD"))
    await archive.index_all()
    assert values(await archive.answers(STUDIES), "00100020") == ["GOOD"]
    for topic in (TOPIC_INSTANCES, TOPIC_STUDIES):
        assert [d async for d in archive.bus.replay(topic + DEAD_SUFFIX)] == []


async def test_an_event_that_the_store_refuses_does_not_block_the_others(archive) -> None:
    good = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="GOOD"))
    await archive.announce(replace(good, name=replace(good.name, study="../../etc")))
    await archive.store(tiny(PatientID="GOOD TOO"))
    await archive.index_all()
    found = values(await archive.answers(STUDIES), "00100020")
    assert sorted(found) == ["GOOD", "GOOD TOO"]
    dead = [d async for d in archive.bus.replay(TOPIC_INSTANCES + DEAD_SUFFIX)]
    assert len(dead) == 1


async def test_a_damaged_decision_still_says_which_version_is_current(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="A"))
    await archive.store(tiny("1.2", "1.3", "1.4", PatientID="B"))
    key = f"{conflicts_prefix(one.name)}1.{one.digest}"
    await archive.blobs.put(key, [b"{"], hashlib.sha256(b"{").hexdigest())
    await archive.index_all()
    assert values(await archive.answers(INSTANCES), "00100020") == ["A"]


async def test_the_role_consumes_until_it_is_drained(archive) -> None:
    role = IndexingRole(
        service=archive.service(),
        filling=archive.filling(),
        archive=ArchiveTotals(archive.index, OFF),
        indexer=archive.indexer(),
        settler=archive.settler(),
        fill_job=archive.fill_job(),
        sweep=archive.sweep_job(),
        purge=archive.purge_job(),
    )
    await role.start()
    await archive.store(tiny(PatientID="X"))
    await archive.caught_up()
    assert role.problems() == []
    await role.drain()
    assert len(role.problems()) == 5
    await role.stop()
    assert values(await archive.answers(STUDIES), "00100020") == ["X"]


class _Flaky:
    """An index that is down for its first calls of `upsert`."""

    def __init__(self, index: SqliteIndex, failures: int) -> None:
        self._index = index
        self.failures = failures

    def __getattr__(self, name: str):
        return getattr(self._index, name)

    async def upsert(self, entries):
        if self.failures:
            self.failures -= 1
            raise Unavailable("the index is down")
        return await self._index.upsert(entries)


async def test_while_the_index_is_down_events_wait_and_nothing_is_lost(archive) -> None:
    archive.index = _Flaky(archive.index, failures=3)
    await archive.store(tiny(PatientID="WAITING"))
    async with archive.running() as indexer:
        async with asyncio.timeout(5):
            while not indexer.retrying.problem:
                await asyncio.sleep(0.001)
        assert "down" in indexer.retrying.problem
        await archive.caught_up()
        assert indexer.retrying.problem == ""
    assert values(await archive.answers(STUDIES), "00100020") == ["WAITING"]


class _Full:
    """An object store that takes nothing."""

    def __init__(self, storage: StorageService) -> None:
        self._storage = storage

    def __getattr__(self, name: str):
        return getattr(self._storage, name)

    async def put(self, *_: object) -> None:
        raise OutOfResources("the store is full")


async def test_while_the_object_store_is_full_instances_are_found_without_their_packs(
    archive,
) -> None:
    await archive.store(tiny(PatientID="FULL"))
    storage, archive.storage = archive.storage, _Full(archive.storage)
    await archive.index_all()
    assert values(await archive.answers(STUDIES), "00100020") == ["FULL"]
    assert await archive.keys("packs/") == []
    archive.storage = storage
    async for _ in archive.service().rebuild():
        pass
    assert len(await archive.keys("packs/")) == 1


async def test_stopping_does_not_wait_for_an_index_that_is_down(archive) -> None:
    archive.index = _Flaky(archive.index, failures=10**9)
    await archive.store(tiny(PatientID="WAITING"))
    indexer = archive.indexer(IndexingSettings(linger_seconds=0, retry_seconds=3600))
    task = asyncio.create_task(indexer.run())
    async with asyncio.timeout(5):
        while not indexer.retrying.problem:
            await asyncio.sleep(0.001)
        indexer.stop()
        await task
    archive.index.failures = 0
    await archive.index_all()
    assert values(await archive.answers(STUDIES), "00100020") == ["WAITING"]


async def test_many_packs_of_a_series_are_merged_early_and_keep_their_entries(archive) -> None:
    settings = IndexingSettings(linger_seconds=0, retry_seconds=0.05, batch_size=1, pack_segments=4)
    for number in range(10):
        await archive.store(tiny("1.2", "1.3", f"1.4.{number}"))
    await archive.index_all(settings)
    assert len(await archive.keys(packs_prefix("main", "1.2", "1.3"))) <= 4
    assert len(await known_entries(archive.storage, ("main", "1.2", "1.3"))) == 10


async def test_a_quiet_study_is_told_once_and_has_one_pack_even_after_a_restart(archive) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 1})
    for number in range(3):
        await archive.store(tiny("1.2", "1.3", f"1.4.{number}"))
    await archive.index_all(settings)
    assert len(await archive.keys("packs/")) == 3
    for _ in range(2):  # the second one starts from what the first has committed
        settler = archive.settler()
        consumer = await archive.bus.consumer("settling", [TOPIC_STUDIES])
        async with asyncio.timeout(10):
            while await archive.bus.lag("settling", TOPIC_STUDIES):
                await settler.step(consumer)
        await consumer.close()
    quiet = await archive.events(TOPIC_STUDIES, StudyQuiet)
    assert quiet == [StudyQuiet("main", "1.2", 1, 3)]
    assert len(await archive.keys("packs/")) == 1
    assert len(await known_entries(archive.storage, ("main", "1.2", "1.3"))) == 3


async def test_a_pending_study_is_not_forgotten_when_the_process_ends(archive) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    for expected in (0, 1):
        settler = archive.settler()
        consumer = await archive.bus.consumer("settling", [TOPIC_STUDIES])
        await settler.step(consumer)
        if expected:
            async with asyncio.timeout(10):
                while not await archive.events(TOPIC_STUDIES, StudyQuiet):
                    await settler.step(consumer)
        await consumer.close()
        assert len(await archive.events(TOPIC_STUDIES, StudyQuiet)) == expected
