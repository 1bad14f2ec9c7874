"""`StudyIndex` on Elasticsearch, shared by any number of reading and writing processes.

Searches go to whichever generation of indices is in use (`schema`). A write keeps to
one generation, and is made again if another was in use at its end: a rebuild that is promoted
meanwhile has not seen it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Self, TypeVar

from isocenter.adapters.index.elasticsearch.added import read_state, replace_state
from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient
from isocenter.adapters.index.elasticsearch.errors import IndexMissing
from isocenter.adapters.index.elasticsearch.instances import InstanceWalk
from isocenter.adapters.index.elasticsearch.rebuild import Rebuild
from isocenter.adapters.index.elasticsearch.schema import (
    Generation,
    InUse,
    Names,
    feed,
    live,
    other_schemas,
    uses,
)
from isocenter.adapters.index.elasticsearch.searching import Walk, counted, plan, totals
from isocenter.adapters.index.elasticsearch.writing import Writer
from isocenter.adapters.index.elasticsearch.writing import versions as read_versions
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.errors import Unavailable
from isocenter.core.fill_state import FillState, whole
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Level, Search, counting
from isocenter.core.ports import IndexEntry, Match, StudyCount, Totals

T = TypeVar("T")

_SWITCHES = 5  # of the generation in use, during one write


class _Index(ABC):
    """What the index in use and a scratch index have in common."""

    def __init__(self, client: ElasticsearchClient, attributes: Attributes) -> None:
        self._client = client
        self._attributes = attributes

    @property
    def attributes(self) -> Attributes:
        """See `StudyIndex`."""
        return self._attributes

    @property
    def feed(self) -> str:
        """See `StudyIndex`."""
        return feed()

    @abstractmethod
    async def _names(self) -> Names:
        """Where to search."""

    async def _read(self, work: Callable[[Names], Awaitable[T]]) -> T:
        return await work(await self._names())

    @abstractmethod
    async def _write(self, work: Callable[[Generation], Awaitable[T]]) -> T:
        """What `work` answers on the generation to be written."""

    async def upsert(self, entries: Sequence[IndexEntry]) -> Sequence[StudyCount]:
        """See `StudyIndex`."""
        if not entries:
            return ()
        return await self._write(lambda where: self._writer(where).upsert(entries))

    async def remove(self, objects: Sequence[ObjectName]) -> Sequence[StudyCount]:
        """See `StudyIndex`."""
        if not objects:
            return ()
        return await self._write(lambda where: self._writer(where).remove(objects))

    async def refill(self, entries: Sequence[IndexEntry]) -> None:
        """See `StudyIndex`."""
        if entries:
            await self._write(lambda where: self._writer(where).refill(entries))

    def _writer(self, where: Generation) -> Writer:
        return Writer(self._client, where, self._attributes)

    async def fill_state(self) -> FillState:
        """See `StudyIndex`."""
        return (await self._read(lambda where: read_state(self._client, where)))[0]

    async def replace_fill_state(self, state: FillState, before: FillState) -> bool:
        """See `StudyIndex`."""
        return await self._write(lambda where: replace_state(self._client, where, state, before))

    async def versions(
        self, names: Sequence[InstanceName]
    ) -> Mapping[InstanceName, Sequence[IndexEntry]]:
        """See `StudyIndex`."""
        if not names:
            return {}
        return await self._read(lambda where: read_versions(self._client, where, names))

    def search(self, search: Search) -> AsyncIterator[Sequence[Match]]:
        """See `StudyIndex`."""
        return self._found(search)

    async def _found(self, search: Search) -> AsyncGenerator[Sequence[Match], None]:
        asked = plan(search, self._attributes)
        walk = Walk(self._client, await self._names(), asked)
        of_instances = search.level is Level.INSTANCE
        found = InstanceWalk(walk).batches() if of_instances else walk.batches()
        async with aclosing(found):
            async for batch in found:
                yield batch

    async def count(self, search: Search) -> int:
        """See `StudyIndex`."""
        asked = plan(counting(search), self._attributes)
        return await self._read(lambda where: _count(Walk(self._client, where, asked)))

    async def totals(self) -> Totals:
        """See `StudyIndex`. Sizes are kept where no query adds them up."""
        return await self._read(lambda where: totals(self._client, where))


class ElasticsearchIndex(_Index):
    """The index in use: whichever generation the aliases lead to."""

    def __init__(
        self,
        client: ElasticsearchClient,
        settings: ElasticsearchSettings,
        attributes: Attributes = BUILT_IN,
    ) -> None:
        super().__init__(client, attributes)
        self._settings = settings
        self._seen: Generation | None = None

    @classmethod
    async def open(
        cls, url: str, settings: ElasticsearchSettings, attributes: Attributes = BUILT_IN
    ) -> Self:
        """Nothing is asked: the cluster may be away. Its first use reports an index that is not
        there, or not ours."""
        return cls(ElasticsearchClient.open(url, settings), settings, attributes)

    async def _names(self) -> Names:
        if self._seen is None:
            self._seen = await live(self._client)
        return InUse(self._client.address.prefix)

    async def _read(self, work: Callable[[Names], Awaitable[T]]) -> T:
        try:
            return await super()._read(work)
        except IndexMissing:
            self._seen = None
        return await super()._read(work)

    async def _write(self, work: Callable[[Generation], Awaitable[T]]) -> T:
        for _ in range(_SWITCHES):
            where = self._seen = self._seen or await live(self._client)
            try:
                answer = await work(where)
            except IndexMissing:
                self._seen = await live(self._client)
                if self._seen == where:
                    raise
                continue
            self._seen = await live(self._client)
            if self._seen == where:
                return answer
        raise Unavailable("the search index is replaced again and again", fix="try again")

    async def _found(self, search: Search) -> AsyncGenerator[Sequence[Match], None]:
        """A search that finds its index replaced before it has answered begins anew."""
        begun = False
        try:
            async with aclosing(super()._found(search)) as found:
                async for batch in found:
                    begun = True
                    yield batch
            return
        except IndexMissing:
            self._seen = None
            if begun:
                raise
        async with aclosing(super()._found(search)) as found:
            async for batch in found:
                yield batch

    async def unfilled(self) -> bool:
        """See `StudyIndex`."""
        in_use = await uses(self._client)
        return not any(in_use.values()) and bool(await other_schemas(self._client))

    async def scratch(self) -> ElasticsearchScratch:
        """See `StudyIndex`. Raises `Unavailable` while there is another one."""
        rebuild = await Rebuild.begin(self._client, self._settings)
        made = ElasticsearchScratch(self._client, rebuild, self._attributes)
        if self._attributes.added:
            await made.replace_fill_state(whole(self._attributes), FillState())
        return made

    async def close(self) -> None:
        """See `StudyIndex`."""
        await self._client.close()


class ElasticsearchScratch(_Index):
    """An index being filled in a generation of its own, through the connections of the index
    that it was made by."""

    def __init__(
        self, client: ElasticsearchClient, rebuild: Rebuild, attributes: Attributes
    ) -> None:
        super().__init__(client, attributes)
        self._rebuild = rebuild

    async def _names(self) -> Names:
        return self._rebuild.generation

    async def _write(self, work: Callable[[Generation], Awaitable[T]]) -> T:
        return await work(self._rebuild.generation)

    async def unfilled(self) -> bool:
        """It is being filled."""
        return False

    async def scratch(self) -> ElasticsearchScratch:
        """A scratch index has none of its own."""
        raise Unavailable("a rebuild is under way", fix="wait until it is done")

    async def promote(self) -> None:
        """See `ScratchIndex`."""
        await self._rebuild.promote()

    async def close(self) -> None:
        """See `StudyIndex`; what was not promoted is removed."""
        await self._rebuild.discard()


async def _count(walk: Walk) -> int:
    told = await counted(walk)
    if told is not None:
        return told
    if walk.plan.search.level is Level.INSTANCE:
        return await InstanceWalk(walk).count()
    return sum([len(batch) async for batch in walk.batches()])
