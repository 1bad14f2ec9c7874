"""The Elasticsearch audit index keeps the contract of `AuditIndex`, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict

import orjson
import pytest
from elasticsearch import AsyncElasticsearch

from contract.audit_index_suite import AuditIndexSuite
from isocenter.adapters.index.elasticsearch.audit import ElasticsearchAuditIndex
from isocenter.core.audit import By, Entry, Place
from isocenter.core.errors import Unavailable
from support.audit_index_samples import CHAIN, EVERYTHING, START, entry, ids, numbered, record
from support.elasticsearch import SETTINGS, prepare, prepared, remove, url_of
from support.stack import Stack


@pytest.fixture
async def index(stack: Stack, name: str) -> AsyncIterator[ElasticsearchAuditIndex]:
    address = stack.elasticsearch.address
    await prepare(address, name)
    index = await ElasticsearchAuditIndex.open(url_of(address, name), SETTINGS)
    yield index
    await index.close()
    await remove(address, name)


class TestElasticsearchAuditIndex(AuditIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, index: ElasticsearchAuditIndex) -> ElasticsearchAuditIndex:
        return index


async def test_several_processes_append_the_same_records_once(
    stack: Stack, name: str, index
) -> None:
    url = url_of(stack.elasticsearch.address, name)
    other = await ElasticsearchAuditIndex.open(url, SETTINGS)
    held = [entry(n) for n in range(1, 301)]
    moved = [Entry(one.event, Place("audit-1", one.place.sequence)) for one in held]
    await asyncio.gather(index.append(held), other.append(moved[::-1]))
    assert await index.count(EVERYTHING) == await other.count(EVERYTHING) == 300
    places = await index.places([one.event.id for one in held])
    assert {place.chain for place in places.values()} <= {CHAIN, "audit-1"}
    await other.append(held)
    assert await index.places([one.event.id for one in held]) == {
        one.event.id: one.place for one in held
    }
    await other.close()


async def test_many_records_come_in_one_answer_in_order(index) -> None:
    await index.append(numbered([record(n, at=START) for n in range(700)]))
    assert await ids(index, limit=650) == [f"r{n:04}" for n in range(699, 49, -1)]
    behind = await index.search(EVERYTHING, 2, "r0002")
    assert [one.event.id for one in behind] == ["r0001", "r0000"]


async def test_what_comes_while_it_is_counted_is_not_counted(index, monkeypatch) -> None:
    """Pages of counts are of one state of the index."""
    monkeypatch.setattr("isocenter.adapters.index.elasticsearch.audit._BUCKETS", 2)
    hour = 3600
    await index.append(numbered([record(n * hour) for n in range(5)]))
    searched = index._client.search

    async def search(where: str, body: dict, **how: object) -> dict:
        answer = await searched(where, body, **how)
        await index.append([entry(n * hour, id=f"late{n}") for n in range(5)])
        return answer

    monkeypatch.setattr(index._client, "search", search)
    found = await index.tally(EVERYTHING, [By.HOUR])
    assert [one.count for one in found] == [1] * 5


async def test_a_rebuild_of_the_search_index_leaves_the_trail(stack: Stack, name: str) -> None:
    address = stack.elasticsearch.address
    async with prepared(address, name) as studies:
        index = await ElasticsearchAuditIndex.open(url_of(address, name), SETTINGS)
        await index.append([entry(1)])
        scratch = await studies.scratch()
        await scratch.promote()
        await scratch.close()
        assert await index.count(EVERYTHING) == 1
        await index.close()


async def test_a_trail_that_was_not_prepared_or_is_closed_is_unavailable(
    stack: Stack, name: str
) -> None:
    url = url_of(stack.elasticsearch.address, name)
    index = await ElasticsearchAuditIndex.open(url, SETTINGS)
    with pytest.raises(Unavailable, match=r"-audit.v2 does not exist.*check --prepare"):
        await index.append([entry(1)])
    await index.close()
    await index.close()
    with pytest.raises(Unavailable, match="closed"):
        await index.count(EVERYTHING)


# --- the first schema ----------------------------------------------------------------------------

_FIRST = {
    "aliases": None,
    "mappings": {
        "_meta": {"isocenter": "audit", "schema": 1},
        "dynamic": "strict",
        "properties": {
            "at": {"type": "keyword"}, "id": {"type": "keyword"},
            **{
                name: {"type": "keyword", "doc_values": False}
                for name in ("action", "outcome", "who", "study", "patient")
            },
            "record": {"type": "object", "enabled": False},
        },
    },
}  # fmt: skip
_LATER_FIELDS = ("query", "digests", "process", "site", "trace")  # the first schema had none


async def test_the_trail_of_the_first_schema_is_read_and_left(stack: Stack, name: str) -> None:
    address = stack.elasticsearch.address
    url = url_of(address, name)
    index = await ElasticsearchAuditIndex.open(url, SETTINGS)
    assert [batch async for batch in index.earlier()] == []
    events = [record(n, studies=("1.2",), detail="C-FIND") for n in range(700)]
    try:
        async with AsyncElasticsearch(f"http://{address}") as client:
            body = {**_FIRST, "aliases": {f"{name}-audit": {}}}
            await client.indices.create(index=f"{name}-audit-v1-0", **body)
            lines = []
            for event in events[::-1]:
                fields = {k: v for k, v in asdict(event).items() if k not in _LATER_FIELDS}
                doc = {"at": event.at.isoformat(timespec="microseconds"), "id": event.id}
                lines += [{"create": {"_id": event.id}}, {**doc, "record": fields}]
            operations = [orjson.dumps(line, default=lambda value: value.value) for line in lines]
            answer = await client.bulk(index=f"{name}-audit", operations=operations, refresh="true")
            assert not answer["errors"]
        await prepare(address, name)
        batches = [batch async for batch in index.earlier()]
        assert [event for batch in batches for event in batch] == events
        assert len(batches) > 1
        assert await index.count(EVERYTHING) == 0, "the trail of this version is another one"
    finally:
        await index.close()
        await remove(address, name)


async def test_what_is_no_trail_of_ours_is_not_read_as_one(stack: Stack, name: str) -> None:
    address = stack.elasticsearch.address
    index = await ElasticsearchAuditIndex.open(url_of(address, name), SETTINGS)
    try:
        async with AsyncElasticsearch(f"http://{address}") as client:
            await client.indices.create(
                index=f"{name}-x", aliases={f"{name}-audit": {}}, mappings={"_meta": {}}
            )
        with pytest.raises(Unavailable, match="not an index of isocenter"):
            [batch async for batch in index.earlier()]
    finally:
        await index.close()
        await remove(address, name)
