"""`core.apis.Indexing`: a new index from the objects alone, while the old one answers; the log
applied once more; and a sweep for orphans at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from isocenter.core.apis import RebuildProgress, ReplayProgress, Storage, SweepProgress
from isocenter.core.errors import IsocenterError, what_of
from isocenter.core.events import TOPIC_INSTANCES, Event
from isocenter.core.identity import OBJECTS
from isocenter.core.ports import Delivery, EventBus, StudyIndex
from isocenter.indexing.applying import Applier
from isocenter.indexing.from_objects import Count, fill
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.sweeping import Sweeper, Swept
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.role import Env

_BATCH = 500  # events per step of a replay
_CAUGHT_UP = 200  # events: so few more are replayed after the switch
_PASSES = 20


@dataclass(slots=True)
class _Replay:
    """How far the log was applied."""

    position: dict[int, int]
    since: datetime | None = None
    events: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    def problem(self, delivery: Delivery, error: Exception) -> None:
        text = what_of(error)
        self.problems[f"{delivery.partition}/{delivery.offset}"] = text

    def progress(self, *, done: bool = False) -> ReplayProgress:
        return ReplayProgress(self.events, dict(self.problems), done)


class IndexingService:
    """Administration of the index."""

    def __init__(
        self, *, bus: EventBus, index: StudyIndex, storage: Storage, sweeper: Sweeper
    ) -> None:
        self._bus = bus
        self._index = index
        self._storage = storage
        self._sweeper = sweeper

    async def rebuild(self) -> AsyncIterator[RebuildProgress]:
        """See `Indexing`. An object that cannot be read is a problem and no end."""
        # What is announced from here on may be missing in the listing; it is replayed.
        begun = await self._bus.end(TOPIC_INSTANCES)
        replay = _Replay(dict(begun))
        scratch = await self._index.scratch()
        try:
            count = Count()
            async for _ in fill(scratch, self._storage, count):
                yield _rebuild_progress(count)
            for _ in range(_PASSES):
                before = replay.events
                await self._catch_up(scratch, replay)
                if replay.events - before < _CAUGHT_UP:
                    break
            # A group that is new with this index goes on from what the index holds.
            await self._bus.begin(self._index.feed, TOPIC_INSTANCES, begun)
            await scratch.promote()
        finally:
            await scratch.close()
        # What the consumer wrote into the former index while this one took its place.
        await self._catch_up(self._index, replay)
        yield _rebuild_progress(count, done=True)

    async def replay(
        self, since: datetime | None, offsets: Mapping[int, int]
    ) -> AsyncIterator[ReplayProgress]:
        """See `Indexing`. An event that cannot be applied is a problem and no end."""
        replay = _Replay(dict(offsets), since)
        async for _ in self._replay(self._index, replay):
            yield replay.progress()
        yield replay.progress(done=True)

    async def sweep(self) -> AsyncIterator[SweepProgress]:
        """See `Indexing`."""
        found = Swept()
        async with aclosing(self._sweeper.below(OBJECTS)) as parts:
            async for swept in parts:
                found.add(swept)
                yield _sweep_progress(found)
        yield _sweep_progress(found, done=True)

    # --- the log ---------------------------------------------------------------------------------

    async def _catch_up(self, index: StudyIndex, replay: _Replay) -> None:
        """Apply what was announced since. Events that cannot be applied are the consumer's
        business, not the rebuild's."""
        async for _ in self._replay(index, replay):
            pass

    async def _replay(self, index: StudyIndex, replay: _Replay) -> AsyncIterator[None]:
        """Apply what was announced from a position on, a batch at a time."""
        applier = Applier(index=index, storage=self._storage)
        events = EventReader("replay")
        batch: list[tuple[Delivery, Event]] = []
        async for delivery in self._bus.replay(TOPIC_INSTANCES, dict(replay.position)):
            replay.position[delivery.partition] = delivery.offset + 1
            if replay.since is not None and delivery.appended_at < replay.since:
                continue
            replay.events += 1
            try:
                event = events.read(delivery)
            except IsocenterError as error:
                replay.problem(delivery, error)
                continue
            if event is not None:
                batch.append((delivery, event))
            if len(batch) >= _BATCH:
                await _apply(applier, batch, replay)
                batch = []
                yield
        await _apply(applier, batch, replay)


async def _apply(
    applier: Applier, batch: Sequence[tuple[Delivery, Event]], replay: _Replay
) -> None:
    outcome = await applier.apply([event for _, event in batch])
    for place, error in outcome.errors.items():
        replay.problem(batch[place][0], error)


def _rebuild_progress(count: Count, *, done: bool = False) -> RebuildProgress:
    return RebuildProgress(count.studies, count.instances, dict(count.problems), done)


def _sweep_progress(found: Swept, *, done: bool = False) -> SweepProgress:
    return SweepProgress(found.objects, found.announced, found.waiting, dict(found.problems), done)


async def create(env: Env) -> IndexingService:
    """The service of this process; it needs no consumers."""
    bus, index, storage = await env.bus(), await env.index(), await env.storage()
    settings = env.section(IndexingSettings)
    sweeper = Sweeper(
        bus=bus, index=index, storage=storage, settings=settings, telemetry=env.telemetry
    )
    return IndexingService(bus=bus, index=index, storage=storage, sweeper=sweeper)
