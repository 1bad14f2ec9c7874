"""A drill: the index made anew from the objects, beside the one in use, and compared with it.

Everything is served meanwhile, and nothing is changed but packs that objects lack. What arrives
while the drill runs is not compared: of a study that grows, only what it had before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from isocenter.core.apis import Storage
from isocenter.core.attributes import Attributes
from isocenter.core.errors import NotFound
from isocenter.core.events import TOPIC_INSTANCES
from isocenter.core.identity import ObjectName
from isocenter.core.matching import Level, Search
from isocenter.core.ports import EventBus, StudyIndex
from isocenter.indexing.comparing import Facts, difference, facts_of, found_among, studies_of
from isocenter.indexing.from_objects import Count, fill

# The clock of an object store may differ from ours by so much before `isocenter check` says so.
_CLOCKS = timedelta(seconds=60)
_PATIENCE = 30.0  # seconds in which indexing must have gone on
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Compared:
    """Some more studies."""

    studies: int
    differences: Mapping[str, str] = field(default_factory=dict)  # study -> how it differs


class Drill:
    """One drill, in the order of its methods."""

    def __init__(self, scratch: StudyIndex, storage: Storage) -> None:
        self._scratch = scratch
        self._storage = storage
        self._begun_at = datetime.now(UTC)
        self.count = Count()

    async def rebuild(self) -> AsyncIterator[Count]:
        """Make an index of the objects; how far it is. What was not readable is in the count."""
        async for _ in fill(self._scratch, self._storage, self.count):
            yield self.count
        yield self.count

    async def check_counts(self, partitions: Collection[str]) -> str:
        """Whether the index that was made counts as many as there were objects of; if not, what
        is wrong."""
        wanted = (self.count.studies, self.count.series, self.count.instances)
        levels = (Level.STUDY, Level.SERIES, Level.INSTANCE)
        made = [
            sum([await self._scratch.count(Search(level, partition=one)) for one in partitions])
            for level in levels
        ]
        if tuple(made) == wanted:
            return ""
        return (
            f"the new index counts {made[0]:,} studies, {made[1]:,} series, {made[2]:,} instances; "
            f"there are objects of {wanted[0]:,}, {wanted[1]:,}, {wanted[2]:,}"
        )

    async def caught_up(self, index: StudyIndex, bus: EventBus) -> str:
        """Wait until the index in use has what was announced by now; if that takes for ever, what
        is wrong."""
        wanted = sum((await bus.end(TOPIC_INSTANCES)).values())
        loop = asyncio.get_running_loop()
        before, since = -1, loop.time()
        while True:
            lag = await bus.lag(index.feed, TOPIC_INSTANCES)
            taken_in = sum((await bus.end(TOPIC_INSTANCES)).values()) - lag
            if taken_in >= wanted or not lag:
                return ""
            if taken_in != before:
                before, since = taken_in, loop.time()
            elif loop.time() - since > _PATIENCE:
                return f"events that wait to be indexed: {lag:,}, and nothing takes them in"
            await asyncio.sleep(_PAUSE)

    async def compare(
        self, index: StudyIndex, partitions: Collection[str]
    ) -> AsyncIterator[Compared]:
        """Every study of either index; attributes that the one in use is still filled with are
        not compared."""
        lacking = (await index.fill_state()).lacks(index.attributes)
        table = Attributes([row for row in index.attributes.added if row.tag not in lacking])
        for partition in sorted(partitions):
            async for studies in studies_of(index, partition):
                answered = await facts_of(index, partition, studies, table)
                made = await facts_of(self._scratch, partition, studies, table)
                compared = {
                    one: await self._difference(answered[one], made[one]) for one in studies
                }
                yield Compared(len(studies), {s: why for s, why in compared.items() if why})
            async for studies in studies_of(self._scratch, partition):
                lost = set(studies) - await found_among(index, partition, studies)
                if not lost:
                    continue
                made = await facts_of(self._scratch, partition, sorted(lost), table)
                yield Compared(
                    len(lost), {one: difference(Facts(), made[one], set()) for one in lost}
                )

    async def _difference(self, answered: Facts, made: Facts) -> str:
        aside = {name for name in answered.versions if name.key in self.count.problems}
        for name in answered.versions.keys() - made.versions.keys() - aside:
            if await self._is_new(name):
                aside.add(name)
        return difference(answered, made, aside)

    async def _is_new(self, name: ObjectName) -> bool:
        try:
            info = await self._storage.stat(name.key)
        except NotFound:
            return False
        return info.modified_at >= self._begun_at - _CLOCKS


@asynccontextmanager
async def drill(index: StudyIndex, storage: Storage) -> AsyncIterator[Drill]:
    """A drill with a scratch index, which is gone afterwards. Raises `Unavailable` while there is
    another one."""
    scratch = await index.scratch()
    try:
        yield Drill(scratch, storage)
    finally:
        await scratch.close()
