"""The indexing role: its consumers in one process, and the administration of the index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Indexing
from isocenter.indexing import rpc
from isocenter.indexing.consuming import Indexer
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.settling import Settler
from isocenter.runtime.role import Env, Role


class IndexingRole(Role):
    """Consumes until it is drained."""

    name = "indexing"

    def __init__(self, *, service: Indexing, indexer: Indexer, settler: Settler) -> None:
        self.service = service
        self._indexer = indexer
        self._settler = settler
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin consuming."""
        self._tasks = [
            asyncio.create_task(self._indexer.run(), name="indexing"),
            asyncio.create_task(self._settler.run(), name="settling"),
        ]

    async def drain(self) -> None:
        """Finish the batches in hand."""
        self._indexer.stop()
        self._settler.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """End at once; what was not committed is delivered again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def problems(self) -> Sequence[str]:
        """What indexing waits for, and consumers that have ended."""
        waiting = [self._indexer.retrying.problem, self._settler.retrying.problem]
        ended = [f"the task {task.get_name()} has ended" for task in self._tasks if task.done()]
        return [*(problem for problem in waiting if problem), *ended]

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Offer the administration of the index to other processes."""
        return rpc.add_to(server, self.service)


async def build(env: Env) -> IndexingRole:
    """The role of this process."""
    settings = env.section(IndexingSettings)
    bus, storage = await env.bus(), await env.storage()
    indexer = Indexer(
        bus=bus,
        index=await env.index(),
        storage=storage,
        audit_log=await env.audit_log(),
        settings=settings,
    )
    settler = Settler(bus=bus, storage=storage, settings=settings)
    return IndexingRole(service=await env.indexing(), indexer=indexer, settler=settler)
