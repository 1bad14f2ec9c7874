"""`isocenter run` and `isocenter roles`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rich.table import Table

from isocenter.app import ROLES, Process
from isocenter.cli.common import out
from isocenter.runtime.lifecycle import run
from isocenter.runtime.logs import configure
from isocenter.runtime.supervisor import Lifeline
from isocenter.settings import Settings


async def run_roles(settings: Settings, names: Sequence[str], supervisor_fd: int) -> int:
    """Run roles in this process until SIGTERM, SIGINT or the end of the supervisor."""
    configure(settings.log.level, settings.log.format)
    settings.data.mkdir(parents=True, exist_ok=True)
    env = Process(settings, names)
    lifeline = Lifeline(supervisor_fd) if supervisor_fd >= 0 else None
    stop = asyncio.Event()
    watching = asyncio.create_task(_watch(lifeline, stop)) if lifeline else None
    try:
        await run(
            await env.build(),
            rpc_host=settings.rpc.host,
            rpc_port=settings.rpc.port,
            drain_seconds=settings.process.drain_seconds,
            ready=lifeline.ready if lifeline else None,
            stop=stop,
        )
    finally:
        if watching:
            watching.cancel()
        await env.close()
    return 0


async def _watch(lifeline: Lifeline, stop: asyncio.Event) -> None:
    await lifeline.parent_gone()
    stop.set()


def print_roles() -> None:
    """A table of the roles."""
    table = Table("role", "what it does", "listens", "consumes", "announces", box=None)
    for role in ROLES.values():
        table.add_row(role.name, role.does, role.listens, role.consumes, role.announces)
    out.print(table)
