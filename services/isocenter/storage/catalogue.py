"""What is kept of a study, as of now: objects found by listing, described by metadata packs.

An object that no pack describes yet is read. Entries never change, because the digest is part of
their name, so what was once decoded stays good; new packs are seen by listing them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import orjson

from isocenter.core.apis import StoredInstance, Versions
from isocenter.core.entries import entry_from_object
from isocenter.core.errors import Corrupted, NotFound, Unavailable, Unprocessable, Unsupported
from isocenter.core.identity import (
    InstanceName,
    ObjectName,
    OverlayName,
    conflicts_prefix,
    objects_prefix,
    packs_prefix,
)
from isocenter.core.overlays import decode_overlay
from isocenter.core.packs import MAX_PACK, PACK_SUFFIX, PackedEntry, PackEntry, open_pack
from isocenter.core.ports import BlobInfo, BlobStore
from isocenter.runtime.compression import decompress
from isocenter.runtime.telemetry import Lookups

_ATTEMPTS = 5  # a pack may vanish by compaction between the listing and the read
_DECODE_INLINE = 64 * 1024  # compressed bytes that are decoded without a thread
_NEVER = datetime.min.replace(tzinfo=UTC)

Series = tuple[str, str, str]  # partition, study, series
Key = tuple[str, str, str]  # SOP Instance UID, digest, key of the overlay
_Current = tuple["_Version", datetime]
_Reading = Coroutine[Any, Any, "_Cached"]


class _Version(NamedTuple):
    """One version of an instance, as listed."""

    object: ObjectName
    info: BlobInfo
    overlay: str = ""  # the key of its last one
    overlaid_at: datetime = _NEVER

    @property
    def modified_at(self) -> datetime:
        """When it became as it is."""
        return max(self.info.modified_at, self.overlaid_at)

    @property
    def series(self) -> Series:
        """Whose packs hold it."""
        name = self.object.name
        return name.partition, name.study, name.series

    @property
    def key(self) -> Key:
        """Which entry of them it has."""
        return self.object.name.instance, self.object.digest, self.overlay


class _Cached:
    """The entries of one series, as far as they were read; unpacked when they are asked for."""

    def __init__(self) -> None:
        self.packs: set[str] = set()
        self.bytes = 0
        self._entries: dict[Key, PackEntry | PackedEntry] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def add(self, key: Key, entry: PackEntry | PackedEntry) -> None:
        """Remember an entry."""
        if key not in self._entries:
            self._entries[key] = entry
            self.bytes += len(entry.attributes) + 1024

    def attributes(self, key: Key) -> bytes:
        """The attributes of an entry that is there."""
        return self._entries[key].attributes

    def entry(self, key: Key) -> PackEntry:
        """An entry that is there. Raises `Corrupted`."""
        entry = self._entries[key]
        if isinstance(entry, PackedEntry):
            entry = self._entries[key] = entry.unpacked()
        return entry


class _Packs:
    """Packs being read by one call: those of the series that it has come to."""

    def __init__(self) -> None:
        self._series: Series | None = None
        self._task: asyncio.Task[_Cached] | None = None

    def of(self, series: Series, read: Callable[[Series], _Reading]) -> asyncio.Task[_Cached]:
        """What reading them gives; they are read once."""
        if self._task is None or series != self._series:
            self._series, self._task = series, asyncio.create_task(read(series))
        return self._task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing under way is left behind."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Catalogue:
    """Entries of instances, from packs, from a bounded cache, or from the objects."""

    def __init__(self, blobs: BlobStore, cache_bytes: int) -> None:
        self._blobs = blobs
        self._limit = cache_bytes
        self.lookups = Lookups()
        self._cache: OrderedDict[Series, _Cached] = OrderedDict()

    async def current(
        self, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[StoredInstance]:
        """The current version of every instance at or below a level, by series and instance."""
        async with _Packs() as packs:
            self._begin((partition, study, series), packs)
            found = self._versions(partition, study, series, instance)
            async with aclosing(found) as versions:
                async for version, current_at in versions:
                    cached = await self._find(version, packs)
                    yield cached.entry(version.key).stored(current_at)

    async def described(
        self, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[tuple[Versions, bytes]]:
        """The attributes of the same versions, each with what all of them are together."""
        async with _Packs() as packs:
            self._begin((partition, study, series), packs)
            found = self._versions(partition, study, series, instance)
            versions = [version async for version in found]
            if not versions:
                return
            whole = _whole(versions)
            for version, _ in versions:
                cached = await self._find(version, packs)
                yield whole, cached.attributes(version.key)

    async def entry(self, instance: StoredInstance) -> PackEntry:
        """The entry of one version. Raises `NotFound`, `Corrupted`."""
        name = ObjectName(instance.name, instance.digest)
        version = _Version(name, BlobInfo(name.key, instance.size, _NEVER), instance.overlay)
        async with _Packs() as packs:
            return (await self._find(version, packs)).entry(version.key)

    def _begin(self, series: Series, packs: _Packs) -> None:
        """Packs that will be needed are read while the objects are listed."""
        if series[2] and series not in self._cache:
            packs.of(series, self._refresh)

    async def _versions(
        self, partition: str, study: str, series: str, instance: str
    ) -> AsyncGenerator[_Current, None]:
        """The current versions, each with the time when it became so."""
        versions: list[_Version] = []
        async for info in self._blobs.list(objects_prefix(partition, study, series, instance)):
            name = ObjectName.from_key(info.key)
            if name is None:
                overlay = OverlayName.from_key(info.key)
                if overlay and versions and versions[-1].object == overlay.object:
                    # It follows its object, and a later one follows it.
                    last = versions[-1]
                    versions[-1] = last._replace(overlay=info.key, overlaid_at=info.modified_at)
                continue
            if versions and versions[0].object.name != name.name:
                yield await self._chosen(versions)
                versions = []
            versions.append(_Version(name, info))
        if versions:
            yield await self._chosen(versions)

    async def _chosen(self, versions: list[_Version]) -> _Current:
        """The version to answer with: the last decision's, else the one that came first."""
        if len(versions) == 1:
            return versions[0], versions[0].modified_at
        decided, decided_at = await self._decision(versions[0].object.name)
        chosen = min(
            versions,
            key=lambda version: (
                version.object.digest != decided,
                version.info.modified_at,
                version.object.digest,
            ),
        )
        return chosen, max(chosen.modified_at, decided_at)

    async def _decision(self, name: InstanceName) -> tuple[str, datetime]:
        """The digest that was decided for last, and when; empty if none was."""
        best, digest, at = -1, "", _NEVER
        prefix = conflicts_prefix(name)
        async for info in self._blobs.list(prefix):
            number, _, decided = info.key.removeprefix(prefix).partition(".")
            if number.isdecimal() and int(number) > best:
                best, digest, at = int(number), decided, info.modified_at
        return digest, at

    async def _find(self, version: _Version, packs: _Packs) -> _Cached:
        """Where the entry of a version is, after reading what it takes."""
        series, key = version.series, version.key
        cached = self._cache.get(series)
        known = cached is not None and key in cached
        self.lookups.note(hit=known)
        if cached is None or not known:
            cached = await packs.of(series, self._refresh)
            if key not in cached:
                cached.add(key, await self._read_object(version))
            self._cache[series] = cached
            self._cache.move_to_end(series)
            self._evict()
        else:
            self._cache.move_to_end(series)
        return cached

    def _evict(self) -> None:
        """Forget series not asked for lately; the latest one always stays."""
        total = sum(cached.bytes for cached in self._cache.values())
        while total > self._limit and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            total -= dropped.bytes

    async def _refresh(self, series: Series) -> _Cached:
        """The cached entries of a series, with those of packs that are new."""
        cached = self._cache.get(series) or _Cached()
        for _ in range(_ATTEMPTS):
            keys = {
                info.key
                async for info in self._blobs.list(packs_prefix(*series))
                if info.key.endswith(PACK_SUFFIX)
            }
            try:
                new = sorted(keys - cached.packs)
                for key, entries in zip(new, await self._read_packs(new), strict=True):
                    for entry in entries:
                        cached.add((entry.instance, entry.digest, entry.overlay), entry)
                    cached.packs.add(key)
            except NotFound:
                continue  # compacted away: its entries are in a pack that is there now
            cached.packs &= keys
            return cached
        raise Unavailable(
            f"the metadata packs of series {series[2]} change faster than they can be read",
            fix="try again",
        )

    async def _read_packs(self, keys: Sequence[str]) -> Sequence[Sequence[PackedEntry]]:
        blobs = await asyncio.gather(*(self._blobs.get(key) for key in keys))
        if sum(map(len, blobs)) <= _DECODE_INLINE:
            return [_decode(blob) for blob in blobs]
        return await asyncio.to_thread(lambda: [_decode(blob) for blob in blobs])

    async def _read_object(self, version: _Version) -> PackEntry:
        name, size, overlay = version.object, version.info.size, None
        if version.overlay:
            overlay = decode_overlay(version.overlay, await self._blobs.get(version.overlay))
            size = (await self._blobs.stat(name.key)).size  # the instance's is with its corrections
        try:
            stream = self._blobs.stream(name.key)
            async with aclosing(stream):  # type: ignore[type-var]  # adapters answer with generators
                entry, _ = await entry_from_object(
                    name, size, stream, orjson.dumps, overlay=overlay
                )
        except (Unprocessable, Unsupported) as error:
            raise Corrupted(
                f"{name.key} cannot be read: {error.message}", fix="run `isocenter verify`"
            ) from error
        return entry


def _whole(versions: Sequence[_Current]) -> Versions:
    named = "".join(version.object.digest + version.overlay for version, _ in versions)
    digest = hashlib.sha256(named.encode("ascii"))
    return Versions(digest.hexdigest(), max(current_at for _, current_at in versions))


def _decode(data: bytes) -> Sequence[PackedEntry]:
    return open_pack(decompress(data, MAX_PACK), orjson.loads)
