"""The end of deleted objects: what is destroyed, when, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from isocenter.core.access import SYSTEM
from isocenter.core.deletions import Deletion
from isocenter.core.events import AuditAction
from isocenter.core.identity import ObjectName
from isocenter.core.matching import Level, Search
from isocenter.indexing.packing import known_entries
from isocenter.indexing.purging import SOURCE as PURGE
from isocenter.indexing.settings import IndexingSettings
from support.archive import SETTINGS, SOURCE, Archive, values
from support.datasets import tiny

WEEK = timedelta(hours=168)
INSTANCES = Search(Level.INSTANCE, include_all=True)


async def deleted(archive: Archive, *level: str) -> Deletion:
    uids = (*level, "", "")[:3]
    async with archive.running():
        return await archive.remover().delete(SYSTEM, "main", *uids, SOURCE, "wrong patient")


async def purge(archive: Archive, after: timedelta, settings: IndexingSettings = SETTINGS) -> None:
    await archive.purge_job(lambda: datetime.now(UTC) + after, settings).purge()


async def test_what_is_over_is_destroyed_with_what_packs_tell_of_it(archive) -> None:
    gone = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="GONE"))
    await archive.store(tiny("1.2", "1.5", "1.6", PatientID="GONE"))
    await archive.index_all()
    deletion = await deleted(archive, "1.2")
    assert (deletion.instances, deletion.objects, deletion.kept) == (2, 2, 2)
    await purge(archive, WEEK - timedelta(minutes=1))
    assert len(await archive.keys("deleted/")) == 2, "its time is not over"
    await purge(archive, WEEK + timedelta(minutes=1))
    for prefix in ("deleted/", "deletions/", "objects/", "packs/"):
        assert await archive.keys(prefix) == []
    ends = [r for r in archive.audit.records if r["source"] == PURGE]
    assert [(r["action"], r["studies"], r["instance_count"]) for r in ends] == [
        (AuditAction.DELETE, (gone.name.study,), 2)
    ]


async def test_what_is_beside_it_stays(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    two = await archive.store(tiny("1.2", "1.3", "1.5"))
    await archive.index_all()
    await deleted(archive, "1.2", "1.3", "1.4")
    await purge(archive, 2 * WEEK)
    assert await archive.keys("objects/") == [two.key]
    packed = await known_entries(archive.storage, ("main", "1.2", "1.3"))
    assert list(packed) == [ObjectName(two.name, two.digest)]
    assert one.digest not in " ".join(await archive.keys("packs/"))


async def test_nothing_is_destroyed_while_indexing_is_behind(archive, monkeypatch) -> None:
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    await deleted(archive, "1.2")
    monkeypatch.setattr("isocenter.indexing.sweeping._BEHIND", -1)
    await purge(archive, 2 * WEEK)
    assert len(await archive.keys("deleted/")) == 1


async def test_a_store_that_may_be_under_way_is_waited_for(archive) -> None:
    """Also where the settings keep nothing."""
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    await deleted(archive, "1.2")
    settings = SETTINGS.model_copy(update={"orphan_seconds": 3 * WEEK.total_seconds()})
    await purge(archive, 2 * WEEK, settings)
    assert len(await archive.keys("deleted/")) == 1


async def test_what_the_index_holds_by_then_is_shown_again(archive) -> None:
    """A store that clocks which differ made look older than the deletion."""
    one = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="HERE"))
    await archive.index_all()
    held = (await archive.index.versions([one.name]))[one.name]
    await deleted(archive, "1.2")
    await archive.index.upsert(held)
    await purge(archive, 2 * WEEK)
    assert await archive.keys("objects/") == [one.key]
    assert await archive.keys("deleted/") == []


async def test_what_was_stored_again_is_not_destroyed(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="HERE"))
    await archive.index_all()
    deletion = await deleted(archive, "1.2")
    async with archive.running():
        restored = await archive.remover().restore(SYSTEM, "main", deletion.id, SOURCE)
    assert restored.kept == 0
    await purge(archive, 2 * WEEK)
    assert await archive.keys("objects/") == [one.key]
    assert await archive.keys("deleted/") == await archive.keys("deletions/") == []
    assert values(await archive.answers(INSTANCES), "00100020") == ["HERE"]


async def test_two_may_purge_at_once_and_a_second_time_finds_nothing(archive) -> None:
    for number in range(4):
        await archive.store(tiny("1.2", "1.3", f"1.4.{number}"))
    await archive.index_all()
    await deleted(archive, "1.2")
    job = archive.purge_job(lambda: datetime.now(UTC) + 2 * WEEK)
    other = archive.purge_job(lambda: datetime.now(UTC) + 2 * WEEK)
    (record,) = await archive.keys("deletions/")
    await job.purge()
    await other._destroy(record)
    await other.purge()
    assert await archive.keys("objects/") == await archive.keys("deleted/") == []
