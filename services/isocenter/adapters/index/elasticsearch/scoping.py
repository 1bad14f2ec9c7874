"""A scope (`core.scope`) as a query over the documents of studies and series, which have the terms
of the levels above, and over those of patients by what is seen of their studies."""

from __future__ import annotations

from collections.abc import Iterable

from isocenter.adapters.index.elasticsearch import conditions
from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient, Json
from isocenter.adapters.index.elasticsearch.schema import STUDIES, Names
from isocenter.core.attributes import Attributes
from isocenter.core.errors import Unsupported
from isocenter.core.matching import Level
from isocenter.core.scope import EVERYTHING, Every, Has, Scope, Some, Without

_NOTHING: Json = {"match_none": {}}


def query_of(scope: Scope | None, table: Attributes) -> Json | None:
    """The query; None: everything is in scope."""
    return None if scope is None or scope == EVERYTHING else _query(scope, table)


def _query(scope: Scope, table: Attributes) -> Json:
    match scope:
        case Has(criterion):
            row = table.searchable(criterion.tag, Level.STUDY)
            assert row is not None
            condition = conditions.of(row, criterion)
            if not condition.exact:  # without it, some would see more than they may
                raise Unsupported(
                    f"a rule about {row.keyword} is too long to search by",
                    fix="give it fewer values, shorter ones, or fewer wild cards",
                )
            return condition.query
        case Every(parts):
            filters = [_query(part, table) for part in parts]
            return {"bool": {"filter": filters}} if filters else conditions.EVERYTHING
        case Some(parts):
            found = [_query(part, table) for part in parts]
            return {"bool": {"should": found, "minimum_should_match": 1}} if found else _NOTHING
        case Without(part):
            return {"bool": {"must_not": [_query(part, table)]}}


async def patients_seen(
    client: ElasticsearchClient, names: Names, scope: Json, keys: Iterable[str]
) -> frozenset[str]:
    """Those of some patients of whom a study is in scope."""
    wanted = list(keys)
    if not wanted:
        return frozenset()
    filters: list[Json] = [{"term": {"shown": True}}, {"terms": {"patient": wanted}}, scope]
    terms: Json = {"field": "patient", "size": len(wanted), "execution_hint": "map"}
    answer = await client.search(
        names.alias(STUDIES),
        {
            "size": 0,
            "track_total_hits": False,
            "query": {"bool": {"filter": filters}},
            "aggs": {"by": {"terms": terms}},
        },
    )
    return frozenset(bucket["key"] for bucket in answer["aggregations"]["by"]["buckets"])
