"""An index filled from the objects alone, by a rebuild and by a drill: from the metadata packs
where they hold an object, else from the object, which then gets a pack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from isocenter.core.apis import Storage
from isocenter.core.attributes import Attributes
from isocenter.core.errors import NotFound, what_of
from isocenter.core.identity import OBJECTS, InstanceName, ObjectName, OverlayName
from isocenter.core.ports import BlobInfo, IndexEntry, StudyIndex
from isocenter.core.sites import with_sites
from isocenter.indexing.conflicts import read_decisions
from isocenter.indexing.packing import SeriesName, known_entries, write_packs
from isocenter.indexing.reading import TRANSIENT, Read, from_pack, read_object
from isocenter.runtime.overlay_records import read_overlay
from isocenter.runtime.study_sites import StudySites

_BATCH = 500  # entries per transaction


class Found(NamedTuple):
    """One object, as listed."""

    name: ObjectName
    info: BlobInfo
    modified_at: datetime  # when it, or its last overlay, was durable
    overlay: str = ""  # the key of that


@dataclass(slots=True)
class Count:
    """What was found among the objects so far."""

    studies: int = 0
    series: int = 0
    instances: int = 0
    bytes: int = 0
    partitions: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)  # key that was not readable -> why
    last_study: tuple[str, str] = ("", "")

    def add(self, series: SeriesName, entries: Sequence[IndexEntry]) -> None:
        """The entries of one more series, in the order of the keys."""
        if not entries:
            return
        self.studies += series[:2] != self.last_study
        self.series += 1
        self.instances += len({entry.name for entry in entries})
        self.bytes += sum(entry.size for entry in entries)
        self.partitions.add(series[0])
        self.last_study = series[:2]


async def fill(index: StudyIndex, storage: Storage, count: Count) -> AsyncIterator[None]:
    """Fill an index, a batch at a time. An object that cannot be read is a problem and no end."""
    waiting: list[IndexEntry] = []
    async for series, found in series_of_objects(storage):
        entries = await read_series(storage, index.attributes, series, found, count)
        waiting += await _decided(storage, found, entries)
        count.add(series, entries)
        if len(waiting) >= _BATCH:
            await index.upsert(waiting)
            waiting = []
            yield
    await index.upsert(waiting)


async def series_of_objects(
    storage: Storage, after: str = ""
) -> AsyncIterator[tuple[SeriesName, Sequence[Found]]]:
    """The objects of one series at a time, in key order, behind a key."""
    current: SeriesName = ("", "", "")
    found: list[Found] = []
    async for info in storage.list(OBJECTS, after):
        name = ObjectName.from_key(info.key)
        if name is None:
            overlay = OverlayName.from_key(info.key)
            if overlay and found and found[-1].name == overlay.object:
                last = found[-1]
                found[-1] = last._replace(modified_at=info.modified_at, overlay=info.key)
            continue
        series = (name.name.partition, name.name.study, name.name.series)
        if series != current and found:
            yield current, found
            found = []
        current = series
        found.append(Found(name, info, info.modified_at))
    if found:
        yield current, found


async def read_series(
    storage: Storage,
    table: Attributes,
    series: SeriesName,
    found: Sequence[Found],
    count: Count,
) -> list[IndexEntry]:
    """The entries of a series: from its packs where they hold them, else from the objects."""
    packs = await known_entries(storage, series)
    sites = await StudySites(storage).of(*series[:2])
    entries: list[IndexEntry] = []
    missing: list[Read] = []
    for name, info, _, overlay in found:
        try:
            if name in packs and packs[name].overlay == overlay:
                entries.append(from_pack(packs[name], table).index)
                continue
            made = await read_overlay(storage, overlay) if overlay else None
            read = await read_object(storage, table, name, info.size, overlay=made)
        except TRANSIENT:
            raise
        except NotFound:
            continue  # deleted since it was listed
        except Exception as error:  # noqa: BLE001 - whatever one object does, others go on
            count.problems[info.key] = what_of(error)
            continue
        entries.append(read.index)
        missing.append(read)
    if missing:
        await write_packs(storage, [read.pack for read in missing])
    return [replace(one, attributes=with_sites(one.attributes, sites)) for one in entries]


async def _decided(
    storage: Storage, found: Sequence[Found], entries: Sequence[IndexEntry]
) -> list[IndexEntry]:
    """The entries with the current versions marked as the decisions say."""
    by_name: dict[InstanceName, list[IndexEntry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    first = {one.name: one.info.modified_at for one in found}
    decided: list[IndexEntry] = []
    for name, versions in by_name.items():
        if len(versions) == 1:
            decided += versions
            continue
        oldest = min(versions, key=lambda v: (first[ObjectName(name, v.digest)], v.digest))
        decisions = await read_decisions(storage, name)
        current = decisions.current_of([v.digest for v in versions], oldest.digest)
        decided += [
            replace(v, current=v.digest == current, decision=decisions.last) for v in versions
        ]
    return decided
