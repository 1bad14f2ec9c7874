"""Reads the audit trail of the versions before segments: there the index was the trail itself, so
its records may be nowhere else. It is beside the index of this version and is left as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient
from isocenter.adapters.index.elasticsearch.paging import Pages
from isocenter.adapters.index.elasticsearch.schema import AUDIT, alias
from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import event_of

_SCHEMA = 1


async def earlier(client: ElasticsearchClient) -> AsyncIterator[Sequence[AuditEvent]]:
    """All records of an index of the first schema, oldest first, in batches that are not empty;
    nothing if there is none. Raises `Unavailable`, and `Corrupted` for what is no record."""
    name = alias(client.address.prefix, AUDIT, _SCHEMA)
    if not await _is_there(client, name):
        return
    pages = Pages(client, name, {"match_all": {}}, [{"at": "asc"}, {"id": "asc"}], ["record"])
    async with aclosing(pages.hits()) as batches:
        async for hits in batches:
            yield [event_of(hit["_source"]["record"]) for hit in hits]


async def _is_there(client: ElasticsearchClient, name: str) -> bool:
    params = {"ignore_unavailable": "true", "filter_path": "*.mappings._meta"}
    answer = await client.request("GET", f"/{name}", params=params)
    if any(facts["mappings"]["_meta"].get("isocenter") != AUDIT for facts in answer.values()):
        raise Unavailable(
            f"index: {name} is not an index of isocenter",
            fix="set another prefix in index: elasticsearch://host:port/prefix",
        )
    return bool(answer)
