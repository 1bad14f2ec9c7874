"""Indices on a real Elasticsearch for tests, removed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from elasticsearch import AsyncElasticsearch

from isocenter.adapters.index.elasticsearch.index import ElasticsearchIndex
from isocenter.adapters.index.elasticsearch.upkeep import ElasticsearchUpkeep
from isocenter.adapters.settings import ElasticsearchSettings

SETTINGS = ElasticsearchSettings(replicas=0)


def url_of(address: str, name: str) -> str:
    return f"elasticsearch://{address}/{name}"


async def prepare(address: str, name: str) -> None:
    upkeep = await ElasticsearchUpkeep.open(url_of(address, name), SETTINGS)
    await upkeep.prepare()
    await upkeep.close()


@asynccontextmanager
async def prepared(address: str, name: str) -> AsyncIterator[ElasticsearchIndex]:
    await prepare(address, name)
    index = await ElasticsearchIndex.open(url_of(address, name), SETTINGS)
    try:
        yield index
    finally:
        await index.close()
        await remove(address, name)


async def remove(address: str, name: str) -> None:
    """Whatever there is under a name: servers that are shared must not fill up."""
    async with AsyncElasticsearch(f"http://{address}") as client:
        found = await client.indices.get(index=f"{name}-*", filter_path="*.aliases")
        if found.body:
            await client.indices.delete(index=",".join(found.body), ignore_unavailable=True)
