"""Writes of the Elasticsearch index: versions under their names, then what the levels answer.

No write is a transaction, so all are in an order in which an interruption leaves nothing that the
same write does not mend: contexts first, then the instances that name them, then the levels, which
are worked out from the instances (`levels`) also where no instance has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Place,
    State,
    Write,
)
from isocenter.adapters.index.elasticsearch.contexts import forget_unused
from isocenter.adapters.index.elasticsearch.documents import (
    Context,
    Version,
    context_of,
    document,
    entries,
    place_of,
    put,
    refilled,
    study_path,
    without,
)
from isocenter.adapters.index.elasticsearch.levels import Settlement, TouchedStudy
from isocenter.adapters.index.elasticsearch.rounds import rounds
from isocenter.adapters.index.elasticsearch.schema import CONTEXTS, INSTANCES, Generation, Names
from isocenter.core.attributes import Attributes
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.ports import IndexEntry, StudyCount


@dataclass(slots=True)
class _Name:
    """What is to become of one instance."""

    name: InstanceName
    entries: list[tuple[IndexEntry, Context]] = field(default_factory=list)
    digests: dict[str, None] = field(default_factory=dict)  # to forget
    refill: bool = False  # give what is held the entries' attributes, and add nothing
    state: State | None = None
    versions: list[Version] = field(default_factory=list)
    trace: str = ""
    found: bool = False  # a version that was to be forgotten

    def changed(self, table: Attributes) -> list[Version]:
        """The versions after the change."""
        versions = list(self.versions)
        self.trace = ""
        for entry, context in self.entries:
            if self.refill:
                versions = refilled(versions, entry, context, table)
                continue
            after = put(versions, entry, context, table)
            if after is not None:
                versions = after
                self.trace = entry.trace or self.trace
        return without(versions, self.digests)


class Writer:
    """Changes to one generation."""

    def __init__(
        self, client: ElasticsearchClient, generation: Generation, table: Attributes
    ) -> None:
        self._client = client
        self._generation = generation
        self._table = table

    async def upsert(self, some: Sequence[IndexEntry]) -> Sequence[StudyCount]:
        """Add or replace versions; the counts of the studies touched."""
        names: dict[InstanceName, _Name] = {}
        contexts: dict[str, Context] = {}
        studies: dict[str, TouchedStudy] = {}
        for entry in some:
            context = context_of(entry, self._table)
            contexts[context.id] = context
            if entry.name not in names:
                names[entry.name] = _Name(entry.name)
                _touch(studies, entry.name).series.add(entry.name.series)
            names[entry.name].entries.append((entry, context))
        settlement = self._settlement(studies, contexts)
        await asyncio.gather(self._create(contexts.values()), settlement.read())
        await asyncio.gather(self._change(list(names.values())), settlement.claim())
        for change in names.values():
            study = _touch(studies, change.name)
            study.trace = change.trace or study.trace
        await settlement.settle()
        await settlement.finish()
        return settlement.counts()

    async def remove(self, objects: Sequence[ObjectName]) -> Sequence[StudyCount]:
        """Forget versions; the counts of the studies in which there were any."""
        names: dict[InstanceName, _Name] = {}
        studies: dict[str, TouchedStudy] = {}
        for version in objects:
            change = names.setdefault(version.name, _Name(version.name))
            change.digests[version.digest] = None
            _touch(studies, version.name).removal = True
            _touch(studies, version.name).series.add(version.name.series)
        return await self._change_held(names, self._settlement(studies, {}), studies)

    async def refill(self, some: Sequence[IndexEntry]) -> None:
        """Give versions that are held other attributes."""
        names: dict[InstanceName, _Name] = {}
        contexts: dict[str, Context] = {}
        studies: dict[str, TouchedStudy] = {}
        for entry in some:
            context = context_of(entry, self._table)
            contexts[context.id] = context
            change = names.setdefault(entry.name, _Name(entry.name, refill=True))
            change.entries.append((entry, context))
            _touch(studies, entry.name).removal = True
            _touch(studies, entry.name).series.add(entry.name.series)
        await self._create(contexts.values())
        await self._change_held(names, self._settlement(studies, contexts), studies)

    def _settlement(
        self, studies: dict[str, TouchedStudy], contexts: Mapping[str, Context]
    ) -> Settlement:
        return Settlement(self._client, self._generation, studies, contexts, self._table)

    async def _change_held(
        self,
        names: Mapping[InstanceName, _Name],
        settlement: Settlement,
        studies: dict[str, TouchedStudy],
    ) -> Sequence[StudyCount]:
        """A change that makes no instance; the counts of the studies that it has changed."""
        await settlement.read()
        await self._look(list(names.values()))
        await self._change(list(names.values()))
        for change in names.values():
            _touch(studies, change.name).changed |= change.found
        # Also where nothing was found: an interruption may have left the levels behind.
        settlement.leave_unknown()
        await settlement.settle()
        await forget_unused(self._client, self._generation, settlement.paths())
        await settlement.finish()
        return settlement.counts()

    async def _create(self, contexts: Iterable[Context]) -> None:
        """That one is there already is as good."""
        await self._client.write(
            [
                Write(*_key(place_of(self._generation, CONTEXTS, context.id)), context.document())
                for context in contexts
            ]
        )

    async def _look(self, changes: Sequence[_Name]) -> None:
        places = [place_of(self._generation, INSTANCES, c.name.path) for c in changes]
        found = await self._client.get(places)
        for change, held in zip(changes, found, strict=True):
            change.state = held.state if held else None
            change.versions = held.source["versions"] if held else []

    async def _change(self, changes: Sequence[_Name]) -> None:
        """Write the instances, each seen as nobody else has changed it. At first none is thought
        to be there, as most are new."""
        left = changes
        async for attempt in rounds():
            if attempt:
                await self._look(left)
            writes: list[tuple[_Name, Write]] = []
            for change in left:
                after = change.changed(self._table)
                change.found |= len(without(change.versions, change.digests)) < len(change.versions)
                if after != change.versions:
                    writes.append((change, self._write(change, after)))
            states = await self._client.write([write for _, write in writes])
            left = [c for (c, _), state in zip(writes, states, strict=True) if state is None]
            if not left:
                return

    def _write(self, change: _Name, after: list[Version]) -> Write:
        place = place_of(self._generation, INSTANCES, change.name.path)
        doc = document(change.name, after, self._table) if after else None
        return Write(*_key(place), doc, change.state)


def _key(place: Place) -> tuple[str, str, str]:
    return place.index, place.id, place.routing


def _touch(studies: dict[str, TouchedStudy], name: InstanceName) -> TouchedStudy:
    path = study_path(name.partition, name.study)
    study = studies.get(path)
    if study is None:
        study = studies[path] = TouchedStudy(name.partition, name.study, path)
    return study


async def versions(
    client: ElasticsearchClient, where: Names, names: Sequence[InstanceName]
) -> Mapping[InstanceName, Sequence[IndexEntry]]:
    """All versions held under these names, without attributes."""
    wanted = list(dict.fromkeys(names))
    places = [
        place_of(where, INSTANCES, name.path, without=("versions.attributes",)) for name in wanted
    ]
    found = await client.get(places)
    return {
        name: entries(name, held.source) for name, held in zip(wanted, found, strict=True) if held
    }
