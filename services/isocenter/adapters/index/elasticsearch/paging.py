"""Pages of a sorted search: one request where that is enough, else from one point in time."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient, Json
from isocenter.core.errors import IsocenterError

logger = logging.getLogger(__name__)

PAGE = 250
# What a search without limit tries first; more than that is read anew from a point in time.
FIRST = 100
_WINDOW = 10_000  # index.max_result_window: how far a single request reaches
_KEEP = "1m"  # a point in time, from one page to the next


@dataclass(frozen=True, slots=True)
class Pages:
    """A search of one index in a total order."""

    client: ElasticsearchClient
    index: str
    query: Json
    sort: Sequence[Json | str]
    fields: Sequence[str]  # of the documents

    async def hits(
        self, offset: int = 0, limit: int | None = None
    ) -> AsyncGenerator[list[Json], None]:
        """All of one state of the index, none twice, in pages that are not empty."""
        if limit == 0:
            return
        if limit is not None and limit <= PAGE and offset + limit <= _WINDOW:
            if found := await self._search(self.index, {"from": offset, "size": limit}):
                yield found
            return
        if offset == 0:
            found = await self.first(FIRST)
            if len(found) < FIRST:
                if found:
                    yield found
                return
        pages = self._at_one_time(offset, limit)
        try:
            async for page in pages:
                yield page
        finally:
            await pages.aclose()

    async def first(self, size: int) -> list[Json]:
        """The first page, of at most `PAGE`."""
        return await self._search(self.index, {"size": size})

    async def _at_one_time(
        self, offset: int, limit: int | None
    ) -> AsyncGenerator[list[Json], None]:
        opened = await self.client.request(
            "POST",
            f"/{self.index}/_pit",
            params={"keep_alive": _KEEP, "allow_partial_search_results": "false"},
        )
        pit: Json = {"pit": {"id": opened["id"], "keep_alive": _KEEP}}
        try:
            while offset:
                size = min(offset, _WINDOW)
                skipped = await self._search("", {**pit, "size": size, "_source": False})
                offset -= size
                if len(skipped) < size:
                    return
                pit["search_after"] = skipped[-1]["sort"]
            left = limit
            while left is None or left > 0:
                size = PAGE if left is None else min(left, PAGE)
                found = await self._search("", {**pit, "size": size})
                if found:
                    yield found
                if len(found) < size:
                    return
                left = None if left is None else left - size
                pit["search_after"] = found[-1]["sort"]
        finally:
            await self._close(opened["id"])

    async def _search(self, index: str, more: Json) -> list[Json]:
        body = {
            "query": self.query,
            "sort": list(self.sort),
            "track_total_hits": False,
            "_source": list(self.fields),
            **more,
        }
        found: list[Json] = (await self.client.search(index, body))["hits"]["hits"]
        return found

    async def _close(self, pit: str) -> None:
        try:
            await self.client.request("DELETE", "/_pit", {"id": pit})
        except IsocenterError as error:
            # The cluster forgets it by itself.
            logger.info("a point in time was left open", extra={"error": error.message})
