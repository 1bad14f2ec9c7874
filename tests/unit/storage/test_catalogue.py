"""What storage knows of the instances of a series: from packs, a bounded cache, or the objects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import SYSTEM, Policy
from isocenter.core.apis import Versions
from isocenter.core.errors import Corrupted
from isocenter.core.identity import conflicts_prefix
from isocenter.core.ports import BlobInfo
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.instruments import CACHE_LOOKUPS
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.objects import (
    SERIES,
    STUDY,
    Archive,
    announcement,
    chunks,
    digest,
    pixels,
    small,
)
from support.stored import all_instances, frames_of, one, write_pack
from support.telemetry import Recorder


class _CountingBlobs(MemoryBlobs):
    """Counts reads, and can lose packs between the listing and the read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.vanishing: dict[str, str] = {}  # key of a pack -> what replaces it

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        self.read.append(key)
        if key in self.vanishing:
            self._blobs[self.vanishing.pop(key)] = self._blobs.pop(key)
        return await super().get(key, offset, length)

    async def stream(
        self, key: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        self.read.append(key)
        async for chunk in super().stream(key, offset, length):
            yield chunk


async def test_repeated_frames_cost_one_range_read_each() -> None:
    blobs = _CountingBlobs()
    archive = Archive(blobs=blobs)
    stored = await one(archive, small(more=pixels(2, 2, bytes(range(24)), frames=3)))
    pack = await write_pack(archive, [stored])
    fresh = Archive(blobs=blobs)
    blobs.read.clear()
    assert await frames_of(fresh, stored, [2]) == [bytes(range(8, 16))]
    assert blobs.read == [pack, stored.key]
    blobs.read.clear()
    assert await frames_of(fresh, stored, [1, 2, 3]) == [
        bytes(range(i, i + 8)) for i in range(0, 24, 8)
    ]
    assert blobs.read == [stored.key]
    assert await frames_of(fresh, stored, [3, 1]) == [bytes(range(16, 24)), bytes(range(8))]


async def test_lookups_are_counted_as_what_was_remembered_and_what_was_not() -> None:
    recorder = Recorder()
    archive = Archive()
    stored = await one(archive, small(more=pixels(2, 2, bytes(range(24)), frames=3)))
    fresh = StorageService(
        blobs=archive.blobs,
        settings=StorageSettings(),
        guard=PolicyGuard(Policy),
        telemetry=recorder.telemetry,
    )
    for _ in range(3):
        await fresh.pixel_format(stored)
    assert recorder.values(CACHE_LOOKUPS) == {("entries", "hit"): 2, ("entries", "miss"): 1}


async def test_packs_that_come_later_are_noticed() -> None:
    blobs = _CountingBlobs()
    archive = Archive(blobs=blobs)
    first = await one(archive, small(instance="1.1"))
    await write_pack(archive, [first])
    fresh = Archive(blobs=blobs)
    assert await all_instances(fresh) == [first]
    second = await one(archive, small(instance="1.2"))
    pack = await write_pack(archive, [second])
    blobs.read.clear()
    assert await all_instances(fresh) == [first, second]
    assert blobs.read == [pack]


async def test_a_pack_compacted_between_listing_and_reading_is_read_under_its_new_key() -> None:
    blobs = _CountingBlobs()
    archive = Archive(blobs=blobs)
    stored = await one(archive, small())
    pack = await write_pack(archive, [stored])
    blobs.vanishing[pack] = f"packs/main/{STUDY}/{SERIES}/{'0' * 64}.pack"
    blobs.read.clear()
    assert await all_instances(Archive(blobs=blobs)) == [stored]
    assert stored.key not in blobs.read


async def test_a_damaged_pack_is_reported_not_ignored() -> None:
    archive = Archive()
    await one(archive, small())
    key = f"packs/main/{STUDY}/{SERIES}/{'1' * 64}.pack"
    await archive.blobs.put(key, [b"rubbish"], digest(b"rubbish"))
    with pytest.raises(Corrupted):
        await all_instances(Archive(blobs=archive.blobs))


async def test_the_cache_forgets_series_not_asked_for_lately() -> None:
    archive = Archive(storage_settings=StorageSettings(cache_bytes=0))
    for series in ("1.1", "1.2"):
        await archive.ingest.store(announcement(), chunks(small(series=series)))
    assert len(await all_instances(archive)) == 2
    assert len(archive.storage._catalogue._cache) == 1


async def test_the_packs_of_a_series_are_listed_once_a_call() -> None:
    listed: list[str] = []

    class Listing(MemoryBlobs):
        async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
            listed.append(prefix)
            async for info in super().list(prefix, after):
                yield info

    archive = Archive(blobs=Listing())
    for number in range(5):
        await archive.ingest.store(announcement(), chunks(small(instance=f"1.{number}")))
    listed.clear()
    assert len(await all_instances(archive)) == 5
    assert listed == [f"objects/main/{STUDY}/", f"packs/main/{STUDY}/{SERIES}/"]


async def test_the_packs_of_one_series_are_read_while_its_objects_are_listed() -> None:
    under_way: list[str] = []

    class Listing(MemoryBlobs):
        async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
            under_way.append(prefix)
            await asyncio.sleep(0.01)
            if prefix.startswith("objects/"):
                assert f"packs/main/{STUDY}/{SERIES}/" in under_way
            async for info in super().list(prefix, after):
                yield info

    archive = Archive(blobs=Listing())
    stored = await one(archive, small())
    await write_pack(archive, [stored])
    fresh = Archive(blobs=archive.blobs)
    under_way.clear()
    assert await all_instances(fresh, series=SERIES) == [stored]
    assert len(under_way) == 2
    assert await all_instances(fresh, series="9.9") == []


async def test_a_damaged_pack_of_a_series_without_objects_harms_nobody() -> None:
    archive = Archive()
    key = f"packs/main/{STUDY}/{SERIES}/{'1' * 64}.pack"
    await archive.blobs.put(key, [b"rubbish"], digest(b"rubbish"))
    assert await all_instances(archive, series=SERIES) == []


async def test_metadata_and_instances_of_a_study_come_from_the_packs_of_its_series() -> None:
    archive = Archive()
    for series in ("1.1", "1.2"):
        for number in (1, 2):
            data = small(series=series, instance=f"{series}.{number}")
            await archive.ingest.store(announcement(), chunks(data))
        names = [one for one in await all_instances(archive) if one.name.series == series]
        await write_pack(archive, names)
    fresh = Archive(blobs=archive.blobs)
    documents = [json.loads(text) async for text in fresh.storage.metadata(SYSTEM, "main", STUDY)]
    uids = [document["00080018"]["Value"][0] for document in documents]
    assert uids == ["1.1.1", "1.1.2", "1.2.1", "1.2.2"]
    assert [one.name.instance for one in await all_instances(fresh)] == uids


async def _versions(archive: Archive, series: str = "") -> Versions:
    found = [one async for one, _ in archive.storage.described(SYSTEM, "main", STUDY, series)]
    assert len(set(found)) == 1
    assert found[0] is not None
    return found[0]


async def test_metadata_come_with_versions_that_change_with_the_set() -> None:
    archive = Archive()
    first = await one(archive, small(instance="1.1"))
    seen = [await _versions(archive)]
    assert seen[0].modified_at == first.modified_at
    second = await one(archive, small(instance="1.2"))
    seen.append(await _versions(archive))
    assert seen[1].modified_at == second.modified_at
    assert await _versions(archive) == seen[1]
    await archive.blobs.delete(second.key)
    seen.append(await _versions(archive))
    assert seen[2] == seen[0] != seen[1]


async def test_a_version_became_current_when_it_was_decided_for() -> None:
    archive = Archive()
    first = await one(archive, small(instance="1.1"))
    before = await _versions(archive)
    second = await archive.ingest.store(announcement(), chunks(small(instance="1.1", more=b"")))
    assert second.digest == first.digest
    other = await archive.ingest.store(
        announcement(), chunks(small(instance="1.1", more=pixels(1, 1, b"\0\0")))
    )
    assert await _versions(archive) == before  # the one that came first is still the current one
    await archive.blobs.put(f"{conflicts_prefix(first.name)}7.{other.digest}", [], digest(b""))
    (current,) = await all_instances(archive)
    assert current.digest == other.digest
    decided = await archive.blobs.stat(f"{conflicts_prefix(first.name)}7.{other.digest}")
    after = await _versions(archive)
    assert current.modified_at == after.modified_at == decided.modified_at
    assert after.digest != before.digest
