"""Objects with overlays: what the index and the packs hold of them, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.core.access import SYSTEM
from isocenter.core.events import TOPIC_INSTANCES, ConflictPolicy, InstanceStored
from isocenter.core.identity import ObjectName, OverlayName
from isocenter.core.matching import Level, Search
from isocenter.core.overlays import Overlay, microseconds
from isocenter.indexing.from_objects import Count, fill
from isocenter.indexing.packing import known_entries
from isocenter.ingest.settings import IngestSettings
from support.archive import SOURCE, Archive, announcement
from support.datasets import ct_image, tiny

SERIES = ("main", "1.2", "1.3")
WEEK = timedelta(hours=168)


async def corrected(archive: Archive, event: InstanceStored, issuer: str, made: int = 1) -> Overlay:
    """An overlay of an object that is kept."""
    attributes = {"00100021": {"vr": "LO", "Value": [issuer]}}
    name = ObjectName(event.name, event.digest)
    overlay = Overlay(attributes, event.header_length, "CT1", "ISOCENTER").kept(name, made)
    await archive.blobs.put(overlay.key, [overlay.content], overlay.digest)
    return overlay


async def coerced(archive: Archive, data_set, issuer: str = "NORTH", made: int = 1, **more: bool):
    """An object that is kept and announced with an overlay."""
    event, part10 = announcement(data_set, ConflictPolicy.KEEP_FIRST, **more)
    overlay = await corrected(archive, event, issuer, made)
    await archive.blobs.put(event.key, [part10], event.digest)
    event = replace(event, overlay=overlay.key)
    await archive.announce(event)
    return event


async def issuers(index) -> list[str]:
    return [
        match.attributes["00100021"]["Value"][0]
        async for batch in index.search(Search(Level.STUDY, include_all=True))
        for match in batch
    ]


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("with_pixels", [True, False])
async def test_index_and_packs_hold_the_corrected_values(archive, inline, with_pixels) -> None:
    data_set = ct_image(8, 8) if with_pixels else tiny("1.2", "1.3", "1.4")
    event = await coerced(archive, data_set, inline=inline)
    await archive.index_all()
    assert await issuers(archive.index) == ["NORTH"]
    of = event.name
    (entry,) = (await known_entries(archive.storage, (of.partition, of.study, of.series))).values()
    assert (entry.overlay, entry.size) == (event.overlay, event.size)
    assert b"NORTH" in entry.attributes
    (stored,) = [one async for one in archive.storage.instances(SYSTEM, "main", of.study)]
    data = b"".join([bytes(chunk) async for chunk in archive.storage.data_set(stored)])
    assert stored.size == stored.data_set_offset + len(data)
    assert stored.number_of_frames == int(with_pixels)
    if with_pixels:
        frames = [one.data async for one in archive.storage.frames(stored, [1])]
        assert frames == [data_set.PixelData]


async def test_storage_answers_the_same_with_a_pack_and_without(archive) -> None:
    event = await coerced(archive, ct_image(8, 8))
    before = [one async for one in archive.storage.instances(SYSTEM, "main", event.name.study)]
    texts = [one async for one in archive.storage.metadata(SYSTEM, "main", event.name.study)]
    await archive.index_all()
    fresh = Archive(archive.index)
    fresh.storage._blobs = fresh.storage._catalogue._blobs = archive.blobs
    assert [
        one async for one in fresh.storage.instances(SYSTEM, "main", event.name.study)
    ] == before
    assert [one async for one in fresh.storage.metadata(SYSTEM, "main", event.name.study)] == texts


async def test_a_later_overlay_is_shown_at_once_and_indexed_when_it_is_announced(archive) -> None:
    event = await coerced(archive, tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    (first,) = [one async for one in archive.storage.described(SYSTEM, "main", "1.2")]
    other = await corrected(archive, event, "SOUTH", made=2)
    (second,) = [one async for one in archive.storage.described(SYSTEM, "main", "1.2")]
    assert b"SOUTH" in second[1]
    assert first[0].digest != second[0].digest, "conditions see another version"
    await archive.announce(replace(event, overlay=other.key))
    await archive.index_all()
    assert await issuers(archive.index) == ["SOUTH"]
    (entry,) = (await known_entries(archive.storage, SERIES)).values()
    assert entry.overlay == other.key


async def test_a_damaged_overlay_is_a_dead_letter_and_holds_nothing_up(archive) -> None:
    event, part10 = announcement(tiny("1.2", "1.3", "1.4"), ConflictPolicy.KEEP_FIRST)
    name = ObjectName(event.name, event.digest)
    key = OverlayName(name, 1, "0" * 64).key
    archive.blobs._blobs[key] = (b"damaged", datetime.now(UTC))
    await archive.blobs.put(event.key, [part10], event.digest)
    await archive.announce(replace(event, overlay=key))
    await coerced(archive, tiny("1.5", "1.6", "1.7"))
    await archive.index_all()
    assert await issuers(archive.index) == ["NORTH"]
    (letter,) = [one async for one in archive.bus.replay(f"{TOPIC_INSTANCES}.dead")]
    assert "is no overlay" in letter.headers["error"]


@pytest.mark.parametrize("together", [True, False])
async def test_the_same_from_a_source_without_rules_stays_corrected(archive, together) -> None:
    event = await coerced(archive, tiny("1.2", "1.3", "1.4"))
    if not together:
        await archive.index_all()
    await archive.announce(replace(event, overlay=""))
    await archive.index_all()
    assert await issuers(archive.index) == ["NORTH"]


async def test_an_older_event_that_comes_again_changes_nothing(archive) -> None:
    event = await coerced(archive, tiny("1.2", "1.3", "1.4"))
    other = await corrected(archive, event, "SOUTH", made=2)
    await archive.announce(replace(event, overlay=other.key), event)
    await archive.index_all()
    assert await issuers(archive.index) == ["SOUTH"]


@pytest.mark.parametrize("packed", [True, False])
async def test_an_index_made_of_the_objects_has_the_corrected_values(
    archive, index, packed
) -> None:
    await coerced(archive, tiny("1.2", "1.3", "1.4"))
    if packed:
        await archive.index_all()
    scratch = await index.scratch()
    try:
        count = Count()
        async for _ in fill(scratch, archive.storage, count):
            pass
        assert await issuers(scratch) == ["NORTH"]
        assert (count.instances, count.problems) == (1, {})
    finally:
        await scratch.close()


async def test_an_orphan_is_announced_with_its_overlay(archive) -> None:
    event = await archive.orphan(tiny("1.2", "1.3", "1.4"))
    overlay = await corrected(archive, event, "NORTH")
    job = archive.sweeper()
    job._age = timedelta()
    async for swept in job.below("objects/"):
        assert (swept.announced, swept.objects) == (1, 1)
    (announced,) = await archive.events("isocenter.instances", InstanceStored)
    assert announced.overlay == overlay.key
    await archive.index_all()
    assert await issuers(archive.index) == ["NORTH"]


async def test_of_two_contents_under_one_name_each_has_its_own_overlay(archive) -> None:
    await coerced(archive, tiny("1.2", "1.3", "1.4"), "NORTH")
    event, part10 = announcement(
        tiny("1.2", "1.3", "1.4", PatientName="B"), ConflictPolicy.KEEP_LATEST
    )
    await archive.blobs.put(event.key, [part10], event.digest)
    other = await corrected(archive, event, "SOUTH")
    await archive.announce(replace(event, overlay=other.key))
    await archive.index_all()
    assert await issuers(archive.index) == ["SOUTH"]
    (stored,) = [one async for one in archive.storage.instances(SYSTEM, "main", "1.2")]
    assert (stored.digest, stored.overlay) == (event.digest, other.key)


async def test_an_overlay_goes_when_its_object_is_destroyed_and_not_before(archive) -> None:
    event = await coerced(archive, tiny("1.2", "1.3", "1.4"))
    await archive.index_all()
    async with archive.running():
        await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "wrong patient")
    assert await archive.keys("objects/") == [event.overlay], "restored objects have it again"
    assert [one async for one in archive.storage.instances(SYSTEM, "main", "1.2")] == []
    await archive.purge_job(lambda: datetime.now(UTC) + WEEK - timedelta(minutes=1)).purge()
    assert await archive.keys("objects/") == [event.overlay]
    await archive.purge_job(lambda: datetime.now(UTC) + WEEK + timedelta(minutes=1)).purge()
    assert await archive.keys("objects/") == []
    assert await archive.keys("packs/") == []


async def test_overlays_of_what_is_kept_again_stay(archive) -> None:
    data_set = tiny("1.2", "1.3", "1.4")
    await coerced(archive, data_set)
    await archive.index_all()
    async with archive.running():
        await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "wrong patient")
        event, part10 = announcement(data_set, ConflictPolicy.KEEP_FIRST)
        now = datetime.now(UTC) + timedelta(seconds=1)
        overlay = await corrected(archive, event, "SOUTH", made=microseconds(now))
        await archive.blobs.put(event.key, [part10], event.digest)
        await archive.announce(replace(event, overlay=overlay.key, received_at=now))
        await archive.caught_up()
    await archive.purge_job(lambda: datetime.now(UTC) + 2 * WEEK).purge()
    assert overlay.key in await archive.keys("objects/")
    assert await issuers(archive.index) == ["SOUTH"]


async def test_overlays_of_what_another_deletion_can_restore_stay(archive) -> None:
    data_set = tiny("1.2", "1.3", "1.4")
    event = await coerced(archive, data_set)
    await archive.index_all()
    async with archive.running():
        await archive.remover().delete(SYSTEM, "main", "1.2", "", "", SOURCE, "wrong patient")
        await archive.blobs.put(event.key, [announcement(data_set, event.policy)[1]], event.digest)
        now = datetime.now(UTC) + timedelta(seconds=1)
        await archive.announce(replace(event, overlay="", received_at=now))
        await archive.caught_up()
        later = archive.remover(IngestSettings(keep_deleted_hours=1000))
        await later.delete(SYSTEM, "main", "1.2", "", "", SOURCE, "wrong patient again")
    await archive.purge_job(lambda: datetime.now(UTC) + WEEK + timedelta(minutes=1)).purge()
    assert await archive.keys("objects/") == [event.overlay]
    await archive.purge_job(lambda: datetime.now(UTC) + 10 * WEEK).purge()
    assert await archive.keys("objects/") == []
