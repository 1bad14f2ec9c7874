"""`isocenter up`: every role on one data directory, in supervised processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from isocenter.app import CONSUMER_ROLES, REQUEST_ROLES, Process
from isocenter.cli.check import complain_about, has_viewer
from isocenter.cli.common import complain_of, err, make_data, operating, out
from isocenter.cli.serving import only_one
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.health import Health
from isocenter.runtime.logs import configure
from isocenter.runtime.monitor import Monitor
from isocenter.runtime.role import Role
from isocenter.runtime.supervisor import Child, Supervisor
from isocenter.settings import Settings

if TYPE_CHECKING:
    from isocenter.runtime.access.administration import AccessAdministration

READY_SECONDS = 60
FIRST = "admin"  # account of the first administrator
_FIRST_LINK = f"isocenter account add {FIRST} --role administrator"

log = logging.getLogger(__name__)


async def up(
    settings: Settings, config: Path | None, assignments: Sequence[str], *, demo: bool
) -> int:
    """Run until SIGTERM or SIGINT; the exit code. A second signal ends it at once."""
    configure(settings.log.level, settings.log.format, "supervisor")
    make_data(settings)
    with only_one(settings.data), TemporaryDirectory(prefix="isocenter-") as folder:
        complain_about(settings)
        _require_ports(settings)
        children = _children(settings, config, assignments, Path(folder))
        supervisor = Supervisor(
            [child for child, _ in children],
            ready_seconds=READY_SECONDS,
            drain_seconds=settings.process.drain_seconds,
        )
        stop = _on_signals(settings, supervisor)
        monitor = _monitor(settings, {child.name: socket for child, socket in children})
        try:
            await monitor.start()
            starting = asyncio.create_task(supervisor.start())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await _serve(settings, stop, demo=demo)
            else:
                starting.cancel()
        finally:
            await supervisor.stop()
            await monitor.stop()
    _tell(settings, "stopped", "stopped; everything acknowledged is kept")
    return 0


def _require_ports(settings: Settings) -> None:
    """Raises `Invalid` for "any free port": each process would find another one."""
    ports = (("gateway.port", settings.gateway.plain_port), ("web.port", settings.web.port))
    for key, port in ports:
        if port == 0:
            raise Invalid(
                f"{key} is 0, but the processes of `up` share one port",
                fix=f"name a free one with --set {key}=N",
            )


def _tell(settings: Settings, entry: str, sentence: str, **fields: object) -> None:
    """A sentence for a person; for a collector an entry of the log, which holds nothing else."""
    if settings.log.format == "json":
        log.info(entry, extra=fields)
    else:
        err.print(sentence, markup=False)


def _on_signals(settings: Settings, supervisor: Supervisor) -> asyncio.Event:
    """What the first signal sets; the second one hurries the supervisor."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            _tell(settings, "stopping at once", "stopping at once...")
            supervisor.hurry()
            return
        stop.set()
        seconds = settings.process.drain_seconds
        _tell(
            settings,
            "stopping",
            f"stopping: work under way may take {seconds:.0f} s more; "
            "Ctrl-C again stops at once, and loses nothing that was acknowledged",
            drain_seconds=seconds,
        )

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _serve(settings: Settings, stop: asyncio.Event, *, demo: bool) -> None:
    stopped = asyncio.create_task(stop.wait())
    if demo:
        from isocenter.cli.demo import load_demo

        loading = asyncio.create_task(load_demo(settings))
        await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            loading.cancel()
            return
        if isinstance(error := loading.exception(), IsocenterError):
            complain_of(error)
        else:
            loading.result()
    if settings.log.format == "json":
        log.info("up", extra={"data": str(settings.data.resolve())})
        if await nobody_signs_in(settings):
            # Not the link itself: many read what a collector keeps.
            log.warning("nobody can sign in yet", extra={"fix": _FIRST_LINK})
    else:
        try:
            link = await first_link(settings)
        except IsocenterError as error:  # as of a disk that is full: what is there is served
            complain_of(error)
            link = ""
        out.print(banner(settings, link), markup=False, soft_wrap=True)
    await stopped


@asynccontextmanager
async def _administration(settings: Settings) -> AsyncIterator[AccessAdministration]:
    """That of who starts it. Other verbs silence the log, and this one is a supervisor's."""
    from isocenter.cli.account import administration_of

    env = Process(settings)
    try:
        yield await administration_of(env)
    finally:
        await env.close()


async def nobody_signs_in(settings: Settings) -> bool:
    """Whether people sign in with accounts, and none of these has a password yet."""
    if not settings.access.local_accounts:
        return False
    async with _administration(settings) as access:
        return not any(one.password for one in await access.accounts(operating()))


async def first_link(settings: Settings) -> str:
    """A one-time link for the first administrator; empty once somebody has a password, and where
    people do not sign in with accounts."""
    from isocenter.cli.account import link_of
    from isocenter.runtime.access.administration import new_account

    if not settings.access.local_accounts:
        return ""
    async with _administration(settings) as access:
        accounts = await access.accounts(operating())
        if any(one.password for one in accounts):
            return ""
        if all(one.name != FIRST for one in accounts):
            return link_of(
                settings, await access.add(operating(), new_account(FIRST, roles=["administrator"]))
            )
        return link_of(settings, await access.invite(operating(), FIRST))


def _children(
    settings: Settings, config: Path | None, assignments: Sequence[str], folder: Path
) -> list[tuple[Child, Path]]:
    """One process per worker for the request path, and one for the consumers; each with the socket
    of its monitor."""
    common = ["--data", str(settings.data), "--supervisor-fd", "{fd}"]
    if config is not None:
        common += ["--config", str(config)]
    for assignment in assignments:
        common += ["--set", assignment]
    command = [sys.executable, "-m", "isocenter", "run"]
    workers = settings.process.workers or os.cpu_count() or 1
    groups: list[tuple[str, Sequence[str]]] = [
        *((f"requests-{number}", REQUEST_ROLES) for number in range(1, workers + 1)),
        ("consumers", CONSUMER_ROLES),
    ]
    children = []
    for name, roles in groups:
        socket = folder / f"{name}.sock"
        own = ["--name", name, "--monitor-socket", str(socket)]
        children.append((Child(name, [*command, *roles, *own, *common]), socket))
    return children


def _monitor(settings: Settings, sockets: Mapping[str, Path]) -> Role:
    """The monitor of all children, if there is to be one."""
    where = settings.monitor
    if not where.port:
        return Role()
    from isocenter.runtime.monitor_family import pages_of_family

    return Monitor(pages_of_family(sockets), Health(()), host=where.host, port=where.port)


_WHO = "sed 's/^/Authorization: Bearer /'"  # a header field, as curl reads it of a file
_FIND_KEYS = "-S -k QueryRetrieveLevel=STUDY -k PatientName -k StudyDate"


def banner(settings: Settings, link: str = "") -> str:
    """Where everything is, and some lines to try."""
    gateway, web = settings.gateway, settings.web
    http = f"http://{_shown(web.host)}:{web.port}"
    dicom = f"{_shown(gateway.host)} {gateway.plain_port or gateway.tls_port}"
    if gateway.tls_only:
        dicom = f"+tls KEY CERTIFICATE +cf CA {dicom}"
    viewer = f"{http}/viewer/" if has_viewer(settings) else "not there; `isocenter check` says why"
    first = (
        f"\nNobody has signed in yet. Once, this link lets you in:\n\n  {link}\n" if link else ""
    )
    audit = f"  Audit trail    {http}/audit\n" if web.audit else ""
    tls = " with TLS" if web.grpc_tls else ""
    grpc = f"  gRPC           {_shown(web.host)}:{web.grpc_port}{tls}\n" if web.grpc_port else ""
    data = settings.data.resolve()
    trusted = settings.access.trust_loopback
    known = "" if trusted else f"  isocenter aes set --data {data} FINDSCU host=127.0.0.1\n"
    token = "" if trusted else f"  isocenter token create trial --data {data} | {_WHO} > who\n"
    shown = "" if trusted else "-H @who "
    return f"""
Isocenter is up. Data directory: {data}

  Viewer         {viewer}
{audit}  DICOMweb root  {http}/dicomweb
{grpc}  DICOM          AE title {gateway.ae_title}, host {_shown(gateway.host)}, {_ports(gateway)}
{first}
Try:
  storescu -aec {gateway.ae_title} {dicom} +sd FOLDER
{known}  findscu -aec {gateway.ae_title} {dicom} {_FIND_KEYS}
{token}  curl {shown}'{http}/dicomweb/studies?limit=5'

Ctrl-C stops.
"""


def _ports(gateway: GatewaySettings) -> str:
    plain = [] if gateway.tls_only else [f"port {gateway.port}"]
    encrypted = [f"port {gateway.tls_port} with TLS"] if gateway.tls_port else []
    return ", ".join(plain + encrypted)


def _shown(host: str) -> str:
    return "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104 - shown, not bound
