"""An archive in memory around the indexing role: a log, an object store, an index, an audit log."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import Policy
from isocenter.core.access_api import Guard
from isocenter.core.events import (
    TOPIC_INSTANCES,
    ConflictPolicy,
    Event,
    InstanceStored,
    Source,
)
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import JsonAttributes, Level, Search
from isocenter.core.part10 import file_meta
from isocenter.indexing.consuming import Indexer
from isocenter.indexing.fill_job import FillJob
from isocenter.indexing.filling import Filling
from isocenter.indexing.purging import PurgeJob
from isocenter.indexing.service import IndexingService
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.settling import Settler
from isocenter.indexing.sweep_job import SweepJob
from isocenter.indexing.sweeping import Sweeper, now_utc
from isocenter.ingest.announcing import Announcer
from isocenter.ingest.removing import Remover
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.event_codec import decode, encode
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.datasets import encoded

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
SOURCE = Source("DIMSE", "127.0.0.1", "SCANNER")
SETTINGS = IndexingSettings(linger_seconds=0, retry_seconds=0.05, quiet_seconds=0.2)


class AuditLogFake:
    """Keeps what was recorded."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    async def record(self, action: Any, source: Source, **fields: Any) -> None:
        self.records.append({"action": action, "source": source, **fields})


class Archive:
    """What indexing works with."""

    def __init__(
        self, index: SqliteIndex, bus: MemoryBus | None = None, guard: Guard | None = None
    ) -> None:
        self.guard = guard or PolicyGuard(Policy)
        self.index: Any = index
        self.bus = bus or MemoryBus()
        self.blobs = MemoryBlobs()
        self.storage: Any = StorageService(
            blobs=self.blobs, settings=StorageSettings(reserve_bytes=0), guard=self.guard
        )
        self.audit = AuditLogFake()

    async def store(
        self,
        data_set: Dataset,
        policy: ConflictPolicy = ConflictPolicy.KEEP_FIRST,
        *,
        inline: bool = True,
    ) -> InstanceStored:
        """Keep an object and announce it."""
        event, part10 = announcement(data_set, policy, inline=inline)
        await self.blobs.put(event.key, [part10], event.digest)
        await self.announce(event)
        return event

    async def orphan(self, data_set: Dataset) -> InstanceStored:
        """Keep an object that nobody announces; what its announcement would have been."""
        event, part10 = announcement(data_set, ConflictPolicy.KEEP_FIRST)
        await self.blobs.put(event.key, [part10], event.digest)
        return event

    async def announce(self, *events: Event) -> None:
        await self.bus.append(TOPIC_INSTANCES, [encode(event) for event in events])

    def indexer(self, settings: IndexingSettings = SETTINGS) -> Indexer:
        return Indexer(
            bus=self.bus, index=self.index, storage=self.storage,
            audit_log=self.audit, settings=settings, fill=self.filling(),
        )  # fmt: skip

    def filling(self) -> Filling:
        return Filling(self.index, self.service())

    def settler(self, settings: IndexingSettings = SETTINGS) -> Settler:
        return Settler(
            bus=self.bus, storage=self.storage, sweeper=self.sweeper(settings), settings=settings
        )

    def sweeper(self, settings: IndexingSettings = SETTINGS) -> Sweeper:
        return Sweeper(bus=self.bus, index=self.index, storage=self.storage, settings=settings)

    def sweep_job(self, settings: IndexingSettings = SETTINGS) -> SweepJob:
        return SweepJob(bus=self.bus, sweeper=self.sweeper(settings), settings=settings)

    def purge_job(
        self, now: Callable[[], datetime] = now_utc, settings: IndexingSettings = SETTINGS
    ) -> PurgeJob:
        return PurgeJob(
            storage=self.storage, index=self.index, sweeper=self.sweeper(settings),
            audit_log=self.audit, settings=settings, now=now,
        )  # fmt: skip

    def remover(self, settings: IngestSettings | None = None) -> Remover:
        settings = settings or IngestSettings()
        return Remover(
            storage=self.storage, announcer=Announcer(self.bus, None, settings),  # type: ignore[arg-type]
            audit_log=self.audit, settings=settings, guard=self.guard,
        )  # fmt: skip

    def fill_job(self, settings: IndexingSettings = SETTINGS, **more: Any) -> FillJob:
        return FillJob(
            index=self.index, storage=self.storage, settings=settings,
            **{"owner": "one", **more},
        )  # fmt: skip

    def service(self, settings: IndexingSettings = SETTINGS) -> IndexingService:
        return IndexingService(
            bus=self.bus, index=self.index, storage=self.storage, sweeper=self.sweeper(settings)
        )

    async def index_all(self, settings: IndexingSettings = SETTINGS) -> None:
        """Run the consumer until it has committed everything."""
        async with self.running(settings):
            await self.caught_up()

    @asynccontextmanager
    async def running(self, settings: IndexingSettings = SETTINGS) -> AsyncIterator[Indexer]:
        indexer = self.indexer(settings)
        task = asyncio.create_task(indexer.run())
        try:
            yield indexer
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def caught_up(self) -> None:
        async with asyncio.timeout(20):
            while await self.bus.lag("indexing", TOPIC_INSTANCES):
                await asyncio.sleep(0.005)

    async def events(self, topic: str, kind: type) -> list[Any]:
        found = [decode(delivery) async for delivery in self.bus.replay(topic)]
        return [event for event in found if isinstance(event, kind)]

    async def keys(self, prefix: str) -> list[str]:
        return [info.key async for info in self.blobs.list(prefix)]

    async def everything(self) -> dict[Level, list[JsonAttributes]]:
        """All answers of all levels."""
        return {level: await self.answers(Search(level, include_all=True)) for level in Level}

    async def answers(self, search: Search) -> list[JsonAttributes]:
        return [m.attributes async for batch in self.index.search(search) for m in batch]


def announcement(
    data_set: Dataset, policy: ConflictPolicy, *, inline: bool = True
) -> tuple[InstanceStored, bytes]:
    """The event of an object in the default partition, and its Part 10 file."""
    body = encoded(data_set)
    meta = file_meta(data_set.SOPClassUID, data_set.SOPInstanceUID, EXPLICIT_LITTLE)
    part10 = meta + body
    digest = hashlib.sha256(part10).hexdigest()
    name = InstanceName(
        "main", data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID
    )
    head = body
    if "PixelData" in data_set:
        head = body[: -len(data_set.PixelData) - 12]
    event = InstanceStored(
        name,
        str(data_set.SOPClassUID),
        EXPLICIT_LITTLE,
        ObjectName(name, digest).key,
        digest,
        len(part10),
        len(meta),
        len(head),
        head if inline else None,
        SOURCE,
        datetime(2026, 1, 1, tzinfo=UTC),
        policy,
    )
    return event, part10


def values(answers: Sequence[JsonAttributes], tag: str) -> list[Any]:
    """The first values of an attribute in answers."""
    return [answer[tag]["Value"][0] for answer in answers]
