"""The metadata packs of a series: writing, reading and merging them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from itertools import groupby

from isocenter.core.apis import Storage
from isocenter.core.errors import Corrupted, NotFound, Unsupported
from isocenter.core.identity import ObjectName, objects_prefix, packs_prefix
from isocenter.core.packs import PackEntry, decode_pack, encode_pack, merge, pack_key
from isocenter.runtime.compression import compress, decompress

logger = logging.getLogger(__name__)

# 50,000 instances of a series with 20 KB of attributes each; a bound against damaged packs.
MAX_PACK = 1 << 30
_TRIES = 5

SeriesName = tuple[str, str, str]  # partition, study, series


def series_of(entry: PackEntry) -> SeriesName:
    """The series an entry belongs to."""
    return entry.name.partition, entry.name.study, entry.name.series


async def write_packs(storage: Storage, entries: Iterable[PackEntry]) -> Sequence[SeriesName]:
    """Write one pack per series, durable on return; the same entries make the same packs."""
    ordered = sorted(entries, key=lambda entry: (entry.name, entry.digest))
    series = [(name, list(some)) for name, some in groupby(ordered, key=series_of)]
    await asyncio.gather(*(_write(storage, name, some) for name, some in series))
    return [name for name, _ in series]


async def _write(storage: Storage, series: SeriesName, entries: Sequence[PackEntry]) -> str:
    blob = await asyncio.to_thread(lambda: compress(encode_pack(entries)))
    digest = hashlib.sha256(blob).hexdigest()
    key = pack_key(*series, digest)
    await storage.put(key, [blob], digest)
    return key


async def read_packs(
    storage: Storage, series: SeriesName
) -> tuple[Sequence[str], Sequence[PackEntry]]:
    """The keys of a series' packs and their entries, each once. Damaged packs are left out."""
    keys, packs = [], []
    async for info in storage.list(packs_prefix(*series)):
        blob = b"".join([chunk async for chunk in storage.read(info.key)])
        try:
            packs.append(await asyncio.to_thread(_decode, blob))
        except (Corrupted, Unsupported) as error:
            logger.warning(
                "a metadata pack cannot be read", extra={"key": info.key, "error": str(error)}
            )
            continue
        keys.append(info.key)
    return keys, merge(packs)


def _decode(blob: bytes) -> Sequence[PackEntry]:
    return decode_pack(decompress(blob, MAX_PACK))


async def compact(storage: Storage, series: SeriesName) -> bool:
    """Make one pack of several; whether there were several. What others write meanwhile stays."""
    for _ in range(_TRIES):
        try:
            keys, entries = await read_packs(storage, series)
        except NotFound:
            continue  # merged by another process while it was read: look again
        if len(keys) < 2:
            return False
        merged = await _write(storage, series, entries)
        for key in keys:
            if key != merged:
                await storage.remove(key)
        return True
    return False


async def compact_study(storage: Storage, partition: str, study: str) -> None:
    """Make one pack per series of a study."""
    counts: dict[SeriesName, int] = {}
    async for info in storage.list(packs_prefix(partition, study)):
        series = info.key.split("/")[3]
        name = (partition, study, series)
        counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        if count > 1:
            await compact(storage, name)


async def prune(storage: Storage, series: SeriesName) -> None:
    """Forget what packs tell of objects that are not there. An object that comes meanwhile may lose
    its entry: it is read then, and gets another by a rebuild."""
    there = {ObjectName.from_key(info.key) async for info in storage.list(objects_prefix(*series))}
    for _ in range(_TRIES):
        try:
            keys, entries = await read_packs(storage, series)
        except NotFound:
            continue
        kept = [entry for entry in entries if entry.object in there]
        if len(kept) < len(entries):
            written = await _write(storage, series, kept) if kept else ""
            for key in keys:
                if key != written:
                    await storage.remove(key)
        return


async def known_entries(storage: Storage, series: SeriesName) -> dict[ObjectName, PackEntry]:
    """What the packs of a series tell, by object."""
    for _ in range(_TRIES):
        try:
            _, entries = await read_packs(storage, series)
        except NotFound:
            continue
        return {entry.object: entry for entry in entries}
    return {}
