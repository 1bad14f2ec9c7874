"""The indexing role: its consumers in one process, and the administration of the index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Indexing
from isocenter.indexing import rpc
from isocenter.indexing.archive import ArchiveTotals
from isocenter.indexing.consuming import Indexer
from isocenter.indexing.fill_job import FillJob
from isocenter.indexing.filling import Filling
from isocenter.indexing.purging import PurgeJob
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.settling import Settler
from isocenter.indexing.sweep_job import SweepJob
from isocenter.indexing.sweeping import Sweeper
from isocenter.runtime.role import Env, Role


class IndexingRole(Role):
    """Consumes until it is drained."""

    name = "indexing"

    def __init__(
        self,
        *,
        service: Indexing,
        filling: Filling,
        archive: ArchiveTotals,
        indexer: Indexer,
        settler: Settler,
        fill_job: FillJob,
        sweep: SweepJob | None,
        purge: PurgeJob | None,
    ) -> None:
        """`sweep` and `purge` are None where the settings say that there is none."""
        self.service = service
        self._filling = filling
        self._archive = archive
        self._consumers: dict[str, Indexer | Settler | FillJob | SweepJob | PurgeJob] = {
            "indexing": indexer,
            "settling": settler,
            "filling": fill_job,
        }
        if sweep is not None:
            self._consumers["sweeping"] = sweep
        if purge is not None:
            self._consumers["purging"] = purge
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin consuming."""
        self._archive.start()
        self._tasks = [
            asyncio.create_task(consumer.run(), name=name)
            for name, consumer in self._consumers.items()
        ]

    async def drain(self) -> None:
        """Finish the batches in hand."""
        for consumer in self._consumers.values():
            consumer.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """End at once; what was not committed is delivered again."""
        await self._archive.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def problems(self) -> Sequence[str]:
        """What indexing waits for, and consumers that have ended."""
        waiting = [consumer.retrying.problem for consumer in self._consumers.values()]
        waiting.append(self._filling.problem)
        ended = [f"the task {task.get_name()} has ended" for task in self._tasks if task.done()]
        return [*(problem for problem in waiting if problem), *ended]

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Offer the administration of the index to other processes."""
        return rpc.add_to(server, self.service)


async def build(env: Env) -> IndexingRole:
    """The role of this process."""
    settings = env.section(IndexingSettings)
    bus, index, storage = await env.bus(), await env.index(), await env.storage()
    sweeper = Sweeper(
        bus=bus, index=index, storage=storage, settings=settings, telemetry=env.telemetry
    )
    service = await env.indexing()
    filling = Filling(index, service)
    audit_log = await env.audit_log()
    indexer = Indexer(
        bus=bus,
        index=index,
        storage=storage,
        audit_log=audit_log,
        settings=settings,
        fill=filling,
        telemetry=env.telemetry,
    )
    settler = Settler(
        bus=bus, storage=storage, sweeper=sweeper, settings=settings, telemetry=env.telemetry
    )
    sweep = SweepJob(bus=bus, sweeper=sweeper, settings=settings, telemetry=env.telemetry)
    purge = PurgeJob(
        storage=storage, index=index, sweeper=sweeper, audit_log=audit_log, settings=settings
    )
    fill_job = FillJob(
        index=index,
        storage=storage,
        settings=settings,
        owner=env.instance,
        telemetry=env.telemetry,
    )
    return IndexingRole(
        service=service,
        filling=filling,
        archive=ArchiveTotals(index, env.telemetry),
        indexer=indexer,
        settler=settler,
        fill_job=fill_job,
        sweep=sweep if settings.sweep_hours else None,
        purge=purge if settings.purge_seconds else None,
    )
