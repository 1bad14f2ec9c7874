"""`isocenter run` and `isocenter roles`."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage

from isocenter.app import ROLES, WITHOUT_LOG, Process
from isocenter.backends import uses_data
from isocenter.cli.common import make_data, out
from isocenter.core.errors import IsocenterError
from isocenter.runtime.health import Health
from isocenter.runtime.instruments import DISK_FREE, DISK_SIZE, PROCESS_READY
from isocenter.runtime.lifecycle import run
from isocenter.runtime.logs import configure
from isocenter.runtime.monitor import Monitor, pages_of
from isocenter.runtime.process_records import ProcessRecords
from isocenter.runtime.role import Role
from isocenter.runtime.supervisor import Lifeline
from isocenter.settings import Settings

log = logging.getLogger(__name__)

_LARGEST_BUFFER = 31 * 1024 * 1024


async def run_roles(
    settings: Settings,
    roles: Sequence[str],
    *,
    name: str,
    supervisor_fd: int,
    monitor_socket: Path | None,
) -> int:
    """Run roles in this process until SIGTERM, SIGINT or the end of the supervisor, which asks at
    `monitor_socket` how it does."""
    env = Process(
        settings,
        roles,
        name,
        scraped=bool(settings.monitor.port),
        labels={"process": name} if monitor_socket else {},
    )
    # A person reads the lines of one machine: its name on each would only be in the way.
    shown = env.name if settings.log.format == "text" else env.instance
    where = env.telemetry.log_fields if env.telemetry.on else None
    configure(settings.log.level, settings.log.format, shown, where=where)
    _raise_descriptors()
    _keep_freed_memory()
    if uses_data(settings):
        make_data(settings)
        _tell_disk(env)
    lifeline = Lifeline(supervisor_fd) if supervisor_fd >= 0 else None
    try:
        return await _serve(env, monitor_socket, lifeline)
    finally:
        await env.close()


async def _serve(env: Process, monitor_socket: Path | None, lifeline: Lifeline | None) -> int:
    """Run the roles to their end; the exit code."""
    stop = asyncio.Event()
    watching = asyncio.create_task(_watch(lifeline, stop)) if lifeline else None
    records, problem = ProcessRecords(env.audit_log, env.role_names), ""

    def started() -> None:
        if not WITHOUT_LOG.issuperset(env.role_names):
            records.started()
        if lifeline:
            lifeline.ready()

    try:
        await run(
            await _build(env, monitor_socket),
            drain_seconds=env.settings.process.drain_seconds,
            stop=stop,
            started=started,
        )
    except IsocenterError as error:
        # A line of the log, unlike other verbs: it names the process, and collectors read it.
        log.error("ended by an error", extra={"error": str(error)})
        problem = str(error)
    finally:
        if watching:
            watching.cancel()
        await records.stopped(problem)
    return 1 if problem else 0


def _tell_disk(env: Process) -> None:
    """How much room the embedded parts have."""
    data = env.data
    env.telemetry.observe(DISK_SIZE, lambda: [(disk_usage(data).total, {})])
    env.telemetry.observe(DISK_FREE, lambda: [(disk_usage(data).free, {})])


def _raise_descriptors() -> None:
    """Shells and service managers give 1,024 and allow more: an association needs one or two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # no system allows every number that it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _keep_freed_memory() -> None:
    """An object takes a few buffers of its size, freed a moment later. The C library gives those
    back to the system at once, and faulting them in again costs more than all of their copying. It
    keeps up to twice as much as the largest single buffer that it has seen freed (glibc; at most
    this size)."""
    bytearray(_LARGEST_BUFFER)


async def _build(env: Process, monitor_socket: Path | None) -> Sequence[Role]:
    built = [*await env.build()]
    rpc = env.settings.rpc
    if rpc.port:
        from isocenter.runtime.rpc_server import RpcServer
        from isocenter.runtime.rpc_tracing import TracedServing

        tracing = [TracedServing(env.telemetry)] if env.telemetry.on else []
        server = RpcServer(
            built, rpc.host, rpc.port, tls=rpc.tls, callers=rpc.callers, interceptors=tracing
        )
        built.append(server)
    health = Health(built)
    env.telemetry.observe(PROCESS_READY, lambda: [(float(not health.problems()), {})])
    where = env.settings.monitor
    if not where.port:
        return built
    pages = pages_of(health, env.telemetry.exposition)
    monitor = Monitor(pages, health, host=where.host, port=where.port, socket=monitor_socket)
    return [monitor, *built]  # the first to start and the last to stop


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
