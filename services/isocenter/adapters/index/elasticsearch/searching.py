"""How the Elasticsearch index answers a search: queries narrow, `core.matching` decides.

Patients, studies and series are answered from their own documents, which hold what is asked of
the levels above too: one request where a page is enough. Instances are answered by walking the
series in order (`instances`). Criteria that no query settles exactly are applied to
the documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from isocenter.adapters.index.elasticsearch import conditions
from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient, Json
from isocenter.adapters.index.elasticsearch.documents import place_of
from isocenter.adapters.index.elasticsearch.paging import Pages
from isocenter.adapters.index.elasticsearch.schema import (
    INSTANCES,
    PATIENTS,
    SERIES,
    SERIES_UID,
    STUDIES,
    STUDY_UID,
    Names,
)
from isocenter.adapters.index.elasticsearch.scoping import patients_seen, query_of
from isocenter.core.attributes import Attribute, Attributes
from isocenter.core.matching import Criterion, JsonAttributes, Level, Search, criterion_of
from isocenter.core.ports import Match, Totals

WALKED = {
    Level.PATIENT: PATIENTS, Level.STUDY: STUDIES, Level.SERIES: SERIES, Level.INSTANCE: SERIES,
}  # fmt: skip
ORDER = {
    PATIENTS: ("id", "issuer", "key"),
    STUDIES: ("order", "study"),
    SERIES: ("order", "number", "series"),
}
_FIELDS = {
    PATIENTS: ("attributes", "key"),
    STUDIES: ("attributes", "trace"),
    SERIES: ("attributes", "above", "id", "instances"),
}
# They change with every instance, so the documents of series do not repeat them.
STUDY_COUNTS = frozenset({"00201206", "00201208"})


@dataclass(slots=True)
class Part:
    """The criteria of one kind of document."""

    filters: list[Json] = field(default_factory=list)
    left: list[Criterion] = field(default_factory=list)  # what the filters do not settle

    def add(self, row: Attribute, criterion: Criterion) -> None:
        """One more."""
        condition = conditions.of(row, criterion)
        self.filters.append(condition.query)
        if not condition.exact:
            self.left.append(criterion)

    def accepts(self, attributes: JsonAttributes) -> bool:
        """Whether a document that the filters found is an answer."""
        return all(c.accepts(attributes.get(c.tag)) for c in self.left)

    @property
    def query(self) -> Json:
        """The filters."""
        return {"bool": {"filter": self.filters}}


@dataclass(frozen=True, slots=True)
class Plan:
    """A search, taken apart."""

    search: Search
    kind: str  # of the documents that are walked
    top: Part  # their criteria
    instances: Part  # INSTANCE level: those of instances
    by_instance: bool  # there are criteria of the instances' own, beside where they are
    by_series: bool  # there are some of the levels above, beside UIDs
    wanted: frozenset[str]  # tags to answer with
    patients: Json | None = None  # PATIENT level: the studies of which they must have one

    @property
    def filtered(self) -> bool:
        """Whether the documents that the filters find need not be answers."""
        return bool(self.top.left) or self.patients is not None


def plan(search: Search, attributes: Attributes) -> Plan:
    """Take a search apart. Raises `Invalid`."""
    here: list[Json] = [{"term": {"partition": search.partition}}, {"term": {"shown": True}}]
    top, instances = Part(list(here)), Part(list(here))
    by_instance = by_series = False
    for key in search.keys:
        row = attributes.searchable(key.tag, search.level)
        criterion = criterion_of(search, key) if row else None
        if row is None or criterion is None:
            continue
        if row.level is Level.INSTANCE:
            instances.add(row, criterion)
            by_instance = True
            continue
        top.add(row, criterion)
        if row.tag in (STUDY_UID, SERIES_UID):
            instances.add(row, criterion)
        else:
            by_series = True
    wanted = attributes.answered(search.level, search.include, everything=search.include_all)
    scope, patients = query_of(search.scope, attributes), None
    if search.level is Level.PATIENT:
        patients = scope
    elif scope is not None:
        top.filters.append(scope)
        by_series = True
    kind = WALKED[search.level]
    return Plan(search, kind, top, instances, by_instance, by_series, wanted, patients)


@dataclass(frozen=True, slots=True)
class Walk:
    """The documents of patients, studies or series that a plan finds, in order."""

    client: ElasticsearchClient
    names: Names
    plan: Plan

    @property
    def pages(self) -> Pages:
        """What the filters find."""
        kind = self.plan.kind
        index = self.names.alias(kind)
        order = _order(self.plan.search) or ORDER[kind]
        return Pages(self.client, index, self.plan.top.query, order, _FIELDS[kind])

    async def batches(self) -> AsyncGenerator[list[Match], None]:
        """The answers, PATIENT to SERIES level."""
        search, filtered = self.plan.search, self.plan.filtered
        skip, limit = (search.offset, search.limit) if filtered else (0, None)
        found = self.pages.hits() if filtered else self.pages.hits(search.offset, search.limit)
        if limit == 0:
            return
        try:
            async for hits in found:
                kept = await self.accepted(hits)
                skipped = min(skip, len(kept))
                skip -= skipped
                kept = kept[skipped:][:limit]
                if kept:
                    yield [self._match(attributes, source) for attributes, source in kept]
                if limit is not None:
                    limit -= len(kept)
                    if not limit:
                        return
        finally:
            await found.aclose()

    async def accepted(self, hits: Sequence[Json]) -> list[tuple[JsonAttributes, Json]]:
        """The documents that are answers, each with all attributes."""
        found = [(_attributes(hit["_source"]), hit["_source"]) for hit in hits]
        kept = [(doc, source) for doc, source in found if self.plan.top.accepts(doc)]
        if self.plan.patients is not None:
            keys = [source["key"] for _, source in kept]
            seen = await patients_seen(self.client, self.names, self.plan.patients, keys)
            kept = [(doc, source) for doc, source in kept if source["key"] in seen]
        if self.plan.kind == SERIES and (wanted := STUDY_COUNTS & self.plan.wanted):
            await self._add_study_counts(kept, wanted)
        return kept

    async def _add_study_counts(
        self, docs: Sequence[tuple[JsonAttributes, Json]], wanted: frozenset[str]
    ) -> None:
        paths = list(dict.fromkeys(_path(source) for _, source in docs))
        places = [place_of(self.names, STUDIES, path, fields=("attributes",)) for path in paths]
        found = dict(zip(paths, await self.client.get(places), strict=True))
        for doc, source in docs:
            held = found[_path(source)]
            counts = held.source.get("attributes", {}) if held else {}
            doc |= {tag: counts[tag] for tag in wanted if tag in counts}

    def _match(self, attributes: JsonAttributes, source: Json) -> Match:
        return Match(chosen(attributes, self.plan.wanted), source.get("trace", ""))


def _order(search: Search) -> list[Json | str]:
    """The order that is asked for, of studies; empty: the usual one."""
    asked: list[Json | str] = [
        {f"o.{order.tag}": {"order": "desc" if order.descending else "asc"}}
        for order in search.order
    ]
    return [*asked, "study"] if asked else []


def chosen(attributes: JsonAttributes, wanted: frozenset[str]) -> JsonAttributes:
    """What is asked for of an answer."""
    return {tag: attributes[tag] for tag in attributes if tag in wanted}


def _attributes(source: Json) -> JsonAttributes:
    return {**source.get("above", {}), **source["attributes"]}


def _path(source: Json) -> str:
    path: str = source["id"].rpartition("/")[0]
    return path


async def counted(walk: Walk) -> int | None:
    """How many answers there are, if the cluster can tell; None: they must be walked."""
    plan, level = walk.plan, walk.plan.search.level
    if plan.filtered or plan.instances.left:
        return None
    if level is not Level.INSTANCE:
        return await _count(walk, plan.kind, plan.top.query)
    if plan.by_instance:
        return None if plan.by_series else await _count(walk, INSTANCES, plan.instances.query)
    total: Json = {"total": {"sum": {"field": "instances"}}}
    answer = await walk.client.search(
        walk.names.alias(SERIES),
        {"size": 0, "track_total_hits": False, "query": plan.top.query, "aggs": total},
    )
    return int(answer["aggregations"]["total"]["value"])


async def _count(walk: Walk, kind: str, query: Json) -> int:
    answer = await walk.client.search(
        walk.names.alias(kind), {"size": 0, "track_total_hits": True, "query": query}
    )
    return int(answer["hits"]["total"]["value"])


async def totals(client: ElasticsearchClient, names: Names) -> Totals:
    """What all studies hold, from their own counts, and the bytes of all instances."""
    of_studies: Json = {
        "size": 0,
        "track_total_hits": True,
        "query": {"term": {"shown": True}},
        "aggs": {"instances": {"sum": {"field": "instance_count"}}},
    }
    of_instances: Json = {
        "size": 0,
        "track_total_hits": False,
        "aggs": {"bytes": {"sum": {"field": "size"}}},
    }
    studies, instances = await asyncio.gather(
        client.search(names.alias(STUDIES), of_studies),
        client.search(names.alias(INSTANCES), of_instances),
    )
    return Totals(
        int(studies["hits"]["total"]["value"]),
        int(studies["aggregations"]["instances"]["value"]),
        int(instances["aggregations"]["bytes"]["value"]),
    )
