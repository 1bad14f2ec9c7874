"""`isocenter run` and `isocenter roles`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from isocenter.app import ROLES, Process
from isocenter.cli.common import out
from isocenter.runtime.lifecycle import run
from isocenter.runtime.logs import configure
from isocenter.runtime.rpc_server import RpcServer
from isocenter.runtime.supervisor import Lifeline
from isocenter.settings import Settings


async def run_roles(
    settings: Settings, roles: Sequence[str], *, name: str, supervisor_fd: int
) -> int:
    """Run roles in this process until SIGTERM, SIGINT or the end of the supervisor."""
    env = Process(settings, roles, name)
    # A person reads the lines of one machine: its name on each would only be in the way.
    shown = env.name if settings.log.format == "text" else env.instance
    configure(settings.log.level, settings.log.format, shown)
    settings.data.mkdir(parents=True, exist_ok=True)
    lifeline = Lifeline(supervisor_fd) if supervisor_fd >= 0 else None
    stop = asyncio.Event()
    watching = asyncio.create_task(_watch(lifeline, stop)) if lifeline else None
    try:
        built = await env.build()
        if settings.rpc.port:
            built = [*built, RpcServer(built, settings.rpc.host, settings.rpc.port)]
        await run(
            built,
            drain_seconds=settings.process.drain_seconds,
            stop=stop,
            started=lifeline.ready if lifeline else None,
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
    """What each role does, and how the others meet it."""
    for role in ROLES.values():
        out.print(f"[bold]{role.name:13}[/bold]{role.does}", markup=True)
        for relation in ("listens", "consumes", "announces"):
            if text := getattr(role, relation):
                out.print(f"{'':13}{relation:10} {text}")
