"""The Elasticsearch audit index keeps the contract of `AuditIndex`, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from contract.audit_index_suite import EVERYTHING, START, AuditIndexSuite, record
from isocenter.adapters.index.elasticsearch.audit import ElasticsearchAuditIndex
from isocenter.core.errors import Unavailable
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
    records = [record(n) for n in range(300)]
    await asyncio.gather(index.append(records), other.append(records[::-1]))
    assert await index.count(EVERYTHING) == await other.count(EVERYTHING) == 300
    await other.close()


async def test_many_records_come_in_one_answer_in_order(index) -> None:
    records = [record(n, at=START) for n in range(700)]
    await index.append(records)
    found = await index.search(EVERYTHING, 650)
    assert [e.id for e in found] == [f"r{n:04}" for n in range(699, 49, -1)]
    assert [e.id for e in await index.search(EVERYTHING, 2, "r0002")] == ["r0001", "r0000"]
    assert [e.id for e in await index.search(EVERYTHING, 1, "unknown")] == ["r0699"]


async def test_a_rebuild_of_the_search_index_leaves_the_trail(stack: Stack, name: str) -> None:
    address = stack.elasticsearch.address
    async with prepared(address, name) as studies:
        index = await ElasticsearchAuditIndex.open(url_of(address, name), SETTINGS)
        await index.append([record(1)])
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
    with pytest.raises(Unavailable, match=r"-audit does not exist.*check --prepare"):
        await index.append([record(1)])
    await index.close()
    await index.close()
    with pytest.raises(Unavailable, match="closed"):
        await index.count(EVERYTHING)
