"""Orphans: objects that are durable and were never announced, found and announced.

A process may end between the two, or answer that the log is down to a sender that never comes
back. An object that the index does not hold is an orphan if it is older than any announcement
under way, and if indexing is not behind: neither in the log nor in the outbox may its event wait.
That it is announced twice all the same, by two members or after an end in between, is one event:
its id follows from the object.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from isocenter.core.apis import Storage
from isocenter.core.entries import event_from_object
from isocenter.core.errors import NotFound, what_of
from isocenter.core.events import TOPIC_INSTANCES, InstanceStored, Source
from isocenter.core.identity import InstanceName, ObjectName, objects_prefix, outbox_key
from isocenter.core.ports import BlobInfo, EventBus, Record, StudyIndex
from isocenter.indexing.reading import TRANSIENT
from isocenter.indexing.settings import IndexingSettings
from isocenter.runtime.event_codec import encode
from isocenter.runtime.instruments import SWEEP_OBJECTS
from isocenter.runtime.overlay_records import newest_overlay
from isocenter.runtime.streams import generator
from isocenter.runtime.telemetry import OFF, Telemetry

logger = logging.getLogger(__name__)

SOURCE = Source(protocol="sweep")

_BATCH = 500  # objects that the index is asked for at once
_APPEND = 20  # announcements in memory; each may have a header of 256 KiB
_BEHIND = 1000  # events: what indexing does well within the age of an orphan

_Object = tuple[ObjectName, BlobInfo]


@dataclass(slots=True)
class Swept:
    """What was found among some objects."""

    objects: int = 0
    announced: int = 0
    waiting: int = 0  # not in the index, but no orphans for sure: to be looked at again
    problems: dict[str, str] = field(default_factory=dict)  # key of an orphan -> why not readable
    last: str = ""  # the last key that was looked at
    held: set[InstanceName] = field(default_factory=set)  # in the index

    def add(self, other: Swept) -> None:
        """What was found among the objects behind these, without their names."""
        self.objects += other.objects
        self.announced += other.announced
        self.waiting += other.waiting
        self.problems |= other.problems
        self.last = other.last or self.last


def now_utc() -> datetime:
    """The time, for those who are not given another clock."""
    return datetime.now(UTC)


class Sweeper:
    """Compares objects with the index."""

    def __init__(
        self,
        *,
        bus: EventBus,
        index: StudyIndex,
        storage: Storage,
        settings: IndexingSettings,
        now: Callable[[], datetime] = now_utc,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._index = index
        self._storage = storage
        self._age = timedelta(seconds=settings.orphan_seconds)
        self._now = now

    async def study(self, partition: str, study: str) -> Swept:
        """Look at the objects of a study; with the names of those that the index holds."""
        found = Swept()
        async for swept in self.below(objects_prefix(partition, study)):
            found.add(swept)
            found.held |= swept.held
        return found

    async def below(self, prefix: str, after: str = "") -> AsyncGenerator[Swept, None]:
        """Look at the objects below a prefix, behind the key `after`, in key order; a batch at
        a time, each with what was found in it."""
        batch: list[_Object] = []
        async with aclosing(generator(self._storage.list(prefix, after))) as infos:
            async for info in infos:
                name = ObjectName.from_key(info.key)
                if name is None:
                    continue
                batch.append((name, info))
                if len(batch) == _BATCH:
                    yield await self._look_at(batch)
                    batch = []
        if batch:
            yield await self._look_at(batch)

    async def behind(self) -> bool:
        """Whether the events of many objects have not reached the index yet."""
        waiting = self._storage.list(outbox_key(TOPIC_INSTANCES, ""))
        async with aclosing(generator(waiting)) as infos:
            async for _ in infos:
                return True
        return await self._bus.lag(self._index.feed, TOPIC_INSTANCES) > _BEHIND

    async def _look_at(self, objects: Sequence[_Object]) -> Swept:
        held = await self._index.versions(list({name.name for name, _ in objects}))
        missing = [
            (name, info)
            for name, info in objects
            if all(version.digest != name.digest for version in held.get(name.name, ()))
        ]
        swept = Swept(objects=len(objects), last=objects[-1][1].key, held=set(held))
        born_before = self._now() - self._age
        orphans = [(name, info) for name, info in missing if info.modified_at <= born_before]
        if orphans and await self.behind():
            orphans = []
        swept.waiting = len(missing) - len(orphans)
        for start in range(0, len(orphans), _APPEND):
            await self._announce(orphans[start : start + _APPEND], swept)
        self._count(swept, indexed=len(objects) - len(missing))
        if swept.announced or swept.problems:
            logger.warning(
                "objects were never announced",
                extra={"announced": swept.announced, "not_readable": len(swept.problems)},
            )
        return swept

    def _count(self, swept: Swept, indexed: int) -> None:
        found = {
            "indexed": indexed,
            "announced": swept.announced,
            "waiting": swept.waiting,
            "unreadable": len(swept.problems),
        }
        for outcome, objects in found.items():
            self._telemetry.count(SWEEP_OBJECTS, objects, {"outcome": outcome})

    async def _announce(self, orphans: Sequence[_Object], swept: Swept) -> None:
        records: list[Record] = []
        for name, info in orphans:
            try:
                event = await self._event(name, info)
            except TRANSIENT:
                raise
            except NotFound:
                continue  # deleted since it was listed
            except Exception as error:  # noqa: BLE001 - whatever one object does, others go on
                swept.problems[info.key] = what_of(error)
                continue
            records.append(encode(event, _event_id(info)))
        if records:
            await self._bus.append(TOPIC_INSTANCES, records)
        swept.announced += len(records)

    async def _event(self, name: ObjectName, info: BlobInfo) -> InstanceStored:
        overlay = await newest_overlay(self._storage, name)
        async with aclosing(generator(self._storage.read(info.key))) as chunks:
            return await event_from_object(
                name, info.size, chunks, SOURCE, info.modified_at, overlay
            )


def _event_id(info: BlobInfo) -> str:
    object_made = f"{info.key} {info.modified_at.isoformat()}"
    return f"sweep-{hashlib.sha256(object_made.encode()).hexdigest()[:32]}"
