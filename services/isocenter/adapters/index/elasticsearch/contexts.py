"""Contexts of the Elasticsearch index: read for merging, and forgotten when nothing names them.

A context may be named again while it is being forgotten. So it is *condemned* first, and deleted
only as it was then: whoever settles a study after writing its instances looks at the contexts
that they name and rewrites a condemned one, and whoever looked before the sentence had written
the instances before it, where the search for names that follows the sentence finds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson

from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Held,
    Json,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.documents import Context, place_of
from isocenter.adapters.index.elasticsearch.schema import CONTEXTS, INSTANCES, Generation
from isocenter.core.matching import JsonAttributes

_PAGE = 1000
BUCKETS = 10_000


async def counted(
    client: ElasticsearchClient,
    index: str,
    field: str,
    query: Json,
    routing: Sequence[str],
    sums: Sequence[str] = (),
) -> dict[str, Json]:
    """How many documents a query finds for each value of a field that has one in each, exactly: the
    values are paged in their order."""
    found: dict[str, Json] = {}
    after = ""
    while True:
        # "map": global ordinals would be built anew after every refresh, for the whole index.
        terms: Json = {
            "field": field,
            "size": BUCKETS,
            "order": {"_key": "asc"},
            "execution_hint": "map",
        }
        filters = [query, *([{"range": {field: {"gt": after}}}] if after else [])]
        inner: Json = {name: {"sum": {"field": name}} for name in sums}
        answer = await client.search(
            index,
            {
                "size": 0,
                "track_total_hits": False,
                "query": {"bool": {"filter": filters}},
                "aggs": {"by": {"terms": terms, **({"aggs": inner} if inner else {})}},
            },
            routing=routing,
        )
        buckets: list[Json] = answer["aggregations"]["by"]["buckets"]
        found |= {bucket["key"]: bucket for bucket in buckets}
        if len(buckets) < BUCKETS:
            return found
        after = buckets[-1]["key"]


async def read(
    client: ElasticsearchClient,
    generation: Generation,
    ids: Iterable[str],
    own: Mapping[str, Context],
) -> dict[str, JsonAttributes] | None:
    """The attributes of contexts that instances name. None: one of them is being written or
    forgotten at this moment, so look again."""
    wanted = list(ids)
    places = [
        place_of(generation, CONTEXTS, key, **({"fields": ("condemned",)} if key in own else {}))
        for key in wanted
    ]
    found = await client.get(places)
    writes = []
    attributes: dict[str, JsonAttributes] = {}
    for key, held in zip(wanted, found, strict=True):
        if key in own:
            attributes[key] = orjson.loads(own[key].attributes)
        elif held:
            attributes[key] = held.source["attributes"]
        else:
            return None
        if held is None or held.source.get("condemned"):
            writes.append(_write(generation, key, attributes[key], held))
    states = await client.write(writes)
    return attributes if all(states) else None


def _write(
    generation: Generation,
    key: str,
    attributes: JsonAttributes,
    held: Held | None,
    *,
    condemned: bool = False,
) -> Write:
    place = place_of(generation, CONTEXTS, key)
    doc: Json = {"id": key, "path": place.routing, "attributes": attributes}
    if condemned:
        doc["condemned"] = True
    return Write(place.index, key, place.routing, encoded(doc), held.state if held else None)


async def forget_unused(
    client: ElasticsearchClient, generation: Generation, paths: Sequence[str]
) -> None:
    """Delete what no instance of these studies names any more."""
    if not paths:
        return
    await client.refresh(generation.alias(CONTEXTS))
    kept = await counted(
        client, generation.alias(CONTEXTS), "id", {"terms": {"path": list(paths)}}, paths
    )
    ids = list(kept)
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        used = await _named(client, generation, paths, page)
        await _forget(client, generation, paths, [key for key in page if key not in used])


async def _named(
    client: ElasticsearchClient, generation: Generation, paths: Sequence[str], keys: Sequence[str]
) -> set[str]:
    """Those of the contexts that instances name."""
    found: set[str] = set()
    for field in ("group", "held"):
        answer = await client.search(
            generation.alias(INSTANCES),
            {
                "size": 0,
                "track_total_hits": False,
                "query": {"terms": {"path": list(paths)}},
                "aggs": {
                    "by": {
                        "terms": {
                            "field": field,
                            "include": list(keys),
                            "size": len(keys),
                            "execution_hint": "map",
                        }
                    }
                },
            },
            routing=paths,
        )
        found |= {bucket["key"] for bucket in answer["aggregations"]["by"]["buckets"]}
    return found


async def _forget(
    client: ElasticsearchClient, generation: Generation, paths: Sequence[str], keys: Sequence[str]
) -> None:
    if not keys:
        return
    held = await client.get([place_of(generation, CONTEXTS, key) for key in keys])
    known = [(key, doc) for key, doc in zip(keys, held, strict=True) if doc]
    states = await client.write(
        [_write(generation, k, d.source["attributes"], d, condemned=True) for k, d in known]
    )
    condemned = {key: state for (key, _), state in zip(known, states, strict=True) if state}
    await client.refresh(generation.alias(INSTANCES))
    used = await _named(client, generation, paths, keys)
    await client.write(
        [
            Write(place.index, key, place.routing, None, state)
            for key, state in condemned.items()
            if key not in used
            for place in (place_of(generation, CONTEXTS, key),)
        ]
    )
