"""`isocenter up`: every role on one data directory, in supervised processes."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from isocenter.app import CONSUMER_ROLES, REQUEST_ROLES
from isocenter.cli.check import complain_about_ports
from isocenter.cli.common import err, out
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.runtime.logs import configure
from isocenter.runtime.supervisor import Child, Supervisor
from isocenter.settings import Settings

READY_SECONDS = 60
LOCK_FILE = "up.lock"
READ_ONLY_BY_OTHERS = 0o750

log = logging.getLogger(__name__)


async def up(
    settings: Settings, config: Path | None, assignments: Sequence[str], *, demo: bool
) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure(settings.log.level, settings.log.format, "supervisor")
    settings.data.mkdir(parents=True, exist_ok=True, mode=READ_ONLY_BY_OTHERS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _only_one(settings.data):
        complain_about_ports(settings)
        supervisor = Supervisor(
            _children(settings, config, assignments),
            ready_seconds=READY_SECONDS,
            drain_seconds=settings.process.drain_seconds,
        )
        try:
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
    err.print("stopped; everything acknowledged is kept")
    return 0


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
            err.print(f"[red]error:[/red] {escape(str(error))}", markup=True)
        else:
            loading.result()
    out.print(banner(settings))
    await stopped
    err.print("draining...")


def _children(settings: Settings, config: Path | None, assignments: Sequence[str]) -> list[Child]:
    """One process per worker for the request path, and one for the consumers."""
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
    return [Child(name, [*command, *roles, "--name", name, *common]) for name, roles in groups]


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Two supervisors on one data directory would start everything twice."""
    with (data / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"data directory {data} is being served already",
                fix="stop that `isocenter up`, or name another directory with --data",
            ) from None
        yield


def banner(settings: Settings) -> str:
    """Where everything is, and three lines to try."""
    gateway, web = settings.gateway, settings.web
    http = f"http://{_shown(web.host)}:{web.port}"
    dicom = f"{_shown(gateway.host)} {gateway.port}"
    return f"""
Isocenter is up. Data directory: {settings.data.resolve()}

  Viewer         {http}/viewer/
  DICOMweb root  {http}/dicomweb
  DICOM          AE title {gateway.ae_title}, host {_shown(gateway.host)}, port {gateway.port}

Try:
  storescu -aec {gateway.ae_title} {dicom} +sd FOLDER
  findscu -aec {gateway.ae_title} {dicom} -S -k QueryRetrieveLevel=STUDY -k PatientName -k StudyDate
  curl '{http}/dicomweb/studies?limit=5'

Ctrl-C stops.
"""


def _shown(host: str) -> str:
    return "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104 - shown, not bound
