"""What rules look at of a study: asked of the search index, and remembered for a moment."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

from isocenter.core.access import FACTS, STUDY, SYSTEM
from isocenter.core.apis import Query, Storage
from isocenter.core.entries import facts_of_object
from isocenter.core.errors import Unavailable
from isocenter.core.identity import objects_prefix
from isocenter.core.matching import JsonAttributes, Key, Level, Search
from isocenter.core.sites import with_sites
from isocenter.runtime.streams import generator
from isocenter.runtime.study_sites import StudySites

_HELD = 10_000  # studies
_AWAITED_SECONDS, _LOOK_SECONDS = 5.0, 0.1
_FRESH_SECONDS = 10.0  # a correction may give a study to another patient, a store to another site


class Facts:
    """What one process remembers. Raises `Unavailable` while the index does not answer: then it
    cannot be said who may see a study."""

    def __init__(
        self,
        query: Callable[[], Awaitable[Query]],
        storage: Callable[[], Awaitable[Storage]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Both are asked for when they are needed: the services need each other."""
        self._query = query
        self._storage = storage
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], tuple[float, JsonAttributes]] = OrderedDict()

    async def of(self, partition: str, study: str) -> JsonAttributes | None:
        """The attributes `FACTS` of a study; None if the index does not know it."""
        until, known = self._held.get((partition, study), (0.0, None))
        if self._clock() < until:
            return known
        found = await self._asked(partition, study)
        if found is not None:  # else it may be indexed in a moment
            self._held[partition, study] = self._clock() + _FRESH_SECONDS, found
            self._held.move_to_end((partition, study))
            if len(self._held) > _HELD:
                self._held.popitem(last=False)
        return found

    async def once_indexed(self, partition: str, study: str) -> JsonAttributes | None:
        """The same; of a study that is kept and not indexed yet, after a moment: who has stored it
        goes on with it at once."""
        found = await self.of(partition, study)
        if found is None and await self._is_kept(partition, study):
            until = self._clock() + _AWAITED_SECONDS
            while found is None and self._clock() < until:
                await asyncio.sleep(_LOOK_SECONDS)
                found = await self.of(partition, study)
        return found

    async def as_kept(self, partition: str, study: str) -> JsonAttributes | None:
        """The same of a study that is kept; of one that is not indexed, or while the index does not
        answer, as the first of its objects says. None if nothing of it is kept."""
        with suppress(Unavailable):
            if (indexed := await self.of(partition, study)) is not None:
                return indexed
        prefix = objects_prefix(partition, study)
        storage = await self._storage()
        async with aclosing(generator(storage.list(prefix))) as infos:
            first = await anext(infos, None)
        if first is None:
            return None
        async with aclosing(generator(storage.read(first.key))) as chunks:
            said = await facts_of_object(chunks)
        return with_sites(said, await StudySites(storage).of(partition, study))

    async def _is_kept(self, partition: str, study: str) -> bool:
        storage = await self._storage()
        async with aclosing(generator(storage.list(objects_prefix(partition, study)))) as infos:
            return await anext(infos, None) is not None

    async def _asked(self, partition: str, study: str) -> JsonAttributes | None:
        keys = (Key(STUDY, "UI", (study,)),)
        search = Search(Level.STUDY, keys, partition, include=FACTS, limit=1)
        query = await self._query()
        async with aclosing(generator(query.search(SYSTEM, search))) as batches:
            async for batch in batches:
                for match in batch:
                    return match.attributes
        return None
