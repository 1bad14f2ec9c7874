"""How the Elasticsearch index answers with instances: the series in order, and their instances.

The series are those of one moment; the instances of each are read a little later, so they may be
newer. None is answered twice: a series comes once, and its instances from one request, or from one
point in time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace

from isocenter.adapters.index.elasticsearch.client import Json
from isocenter.adapters.index.elasticsearch.documents import answer
from isocenter.adapters.index.elasticsearch.paging import PAGE, Pages
from isocenter.adapters.index.elasticsearch.schema import INSTANCES
from isocenter.adapters.index.elasticsearch.searching import Part, Walk, chosen
from isocenter.core.matching import JsonAttributes
from isocenter.core.ports import Match

# Up to this many series are looked up by their instances; in more, all series are walked.
FEW = 10_000
_ORDER = ("number", "instance")
_FIELDS = ("series", "study", "partition", "number", "instance", "versions")


@dataclass(frozen=True, slots=True)
class _Series:
    id: str
    instances: int
    above: JsonAttributes


@dataclass(frozen=True, slots=True)
class InstanceWalk:
    """The instances that a plan finds, in order."""

    walk: Walk

    async def batches(self) -> AsyncGenerator[list[Match], None]:
        """The answers."""
        search = self.walk.plan.search
        skip, left = search.offset, search.limit
        if left == 0:
            return
        matching = self._matching(skip)
        try:
            async for skipped, found in matching:
                skip -= skipped
                passed = min(skip, len(found))
                skip -= passed
                batch = found[passed:][:left]
                if batch:
                    yield batch
                if left is not None:
                    left -= len(batch)
                    if not left:
                        return
        finally:
            await matching.aclose()

    async def count(self) -> int:
        """How many there are."""
        total = 0
        async for _, found in self._matching(0):
            total += len(found)
        return total

    async def _matching(self, skip: int) -> AsyncGenerator[tuple[int, list[Match]], None]:
        """Answers, and how many before them were skipped unread."""
        plan = self.walk.plan
        walk = await self._narrowed() if plan.by_instance else self.walk
        if walk is None:
            return
        pages = walk.pages.hits()
        try:
            async for hits in pages:
                for run in _runs(await self._series(walk, hits)):
                    known = sum(series.instances for series in run)
                    if not plan.by_instance and known <= skip:
                        skip -= known
                        yield known, []
                        continue
                    instances = self._instances(run)
                    async for found in instances:
                        skip = max(0, skip - len(found))
                        yield 0, found
        finally:
            await pages.aclose()

    async def _series(self, walk: Walk, hits: Sequence[Json]) -> list[_Series]:
        """Those of the walked series that are answers' series."""
        wanted = self.walk.plan.wanted
        return [
            _Series(source["id"], source["instances"], chosen(attributes, wanted))
            for attributes, source in await walk.accepted(hits)
        ]

    async def _narrowed(self) -> Walk | None:
        """The walk through the series that hold matches, where these are few; None: none do."""
        plan = self.walk.plan
        terms = {"field": "parent", "size": FEW, "execution_hint": "map"}
        answered = await self.walk.client.search(
            self.walk.names.alias(INSTANCES),
            {
                "size": 0,
                "track_total_hits": False,
                "query": plan.instances.query,
                "aggs": {"by": {"terms": terms}},
            },
        )
        by = answered["aggregations"]["by"]
        if by["sum_other_doc_count"]:
            return self.walk
        ids = [bucket["key"] for bucket in by["buckets"]]
        if not ids:
            return None
        top = Part([*plan.top.filters, {"terms": {"id": ids}}], plan.top.left)
        return replace(self.walk, plan=replace(plan, top=top))

    # --- instances of series ---------------------------------------------------------------------

    async def _instances(self, run: Sequence[_Series]) -> AsyncGenerator[list[Match], None]:
        small = sum(series.instances for series in run) < PAGE
        by_parent = await self._together(run) if small else None
        if by_parent is not None:
            found = [
                match
                for series in run
                for match in self._matches(series, by_parent.get(series.id, ()))
            ]
            if found:
                yield found
            return
        for series in run:
            pages = self._pages([series.id]).hits()
            try:
                async for hits in pages:
                    yield self._matches(series, [hit["_source"] for hit in hits])
            finally:
                await pages.aclose()

    async def _together(self, run: Sequence[_Series]) -> dict[str, list[Json]] | None:
        """The instances of small series; None if they are not small any more."""
        hits = await self._pages([series.id for series in run]).first(PAGE)
        by_parent: dict[str, list[Json]] = {}
        for hit in hits:
            source = hit["_source"]
            parent = f"{source['partition']}/{source['study']}/{source['series']}"
            by_parent.setdefault(parent, []).append(source)
        return by_parent if len(hits) < PAGE else None

    def _pages(self, parents: Sequence[str]) -> Pages:
        query = self.walk.plan.instances.query
        filters = [query, {"terms": {"parent": list(parents)}}]
        index = self.walk.names.alias(INSTANCES)
        return Pages(self.walk.client, index, {"bool": {"filter": filters}}, _ORDER, _FIELDS)

    def _matches(self, series: _Series, sources: Sequence[Json]) -> list[Match]:
        plan = self.walk.plan
        found = []
        for source in sources:
            own = answer(source)
            if plan.instances.accepts(own):
                found.append(Match({**series.above, **chosen(own, plan.wanted)}))
        return found


def _runs(some: Sequence[_Series]) -> Iterator[list[_Series]]:
    """Series whose instances fit a page together, and larger ones by themselves."""
    run: list[_Series] = []
    known = 0
    for series in some:
        if run and known + series.instances >= PAGE:
            yield run
            run, known = [], 0
        run.append(series)
        known += series.instances
    if run:
        yield run
