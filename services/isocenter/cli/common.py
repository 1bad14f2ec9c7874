"""What the verbs share: their common options, running a coroutine, printing errors.

Nothing of the services is imported before a verb needs it: help and version answer at once.
"""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from isocenter.core.errors import Invalid, IsocenterError, Unavailable
from isocenter.core.events import Source

if TYPE_CHECKING:
    from isocenter.app import Process
    from isocenter.core.access_api import Asker
    from isocenter.settings import Settings

T = TypeVar("T")

DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", help="Data directory.", show_default="isocenter-data"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file (TOML), also ISOCENTER_CONFIG."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="One setting, as gateway.port=11113. May be repeated."),
]

NOT_BY_OTHERS = 0o750
UNFINISHED = "restore.unfinished"  # in a data directory: not all of a backup is there yet

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(problem: str, fix: str = "") -> None:
    """One error: what is wrong and, on a line of its own, what to do."""
    err.print(f"[red]error:[/red] {escape(problem)}", markup=True)
    if fix:
        err.print(f"  fix: {fix}", markup=False)


def complain_of(error: IsocenterError) -> None:
    """An error of the services."""
    complain(error.message, error.fix)


def settings_of(data: Path | None, config: Path | None, assignments: list[str] | None) -> Settings:
    """The settings of a verb with the common options."""
    from isocenter.settings import load

    flags = {}
    for assignment in assignments or []:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise Invalid(f"--set {key}: not KEY=VALUE", fix="write --set gateway.port=11113")
        flags[key] = value
    return load(config=config, flags=flags, data=data)


def opened(data: Path | None, config: Path | None, assignments: list[str] | None) -> Settings:
    """The same of a verb on what is there already. Raises `Invalid` as `require_data` does."""
    settings = settings_of(data, config, assignments)
    require_data(settings)
    return settings


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a verb's coroutine on the loop that the services run on."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[Process]:
    """The services on the settings' backends, without any role, for the length of a verb."""
    from isocenter.app import Process

    quiet(settings.log.format)
    env = Process(settings)
    try:
        yield env
    finally:
        await env.close()


def quiet(form: Literal["text", "json"]) -> None:
    """What goes wrong is in the verb's own summary; the log would say it twice."""
    from isocenter.runtime.logs import configure

    configure("error", form, "cli")


def operator() -> Source:
    """Who runs this verb."""
    return Source(protocol="CLI", host=socket.gethostname(), user=getpass.getuser())


def operating() -> Asker:
    """The same, who may do everything: the machine is theirs."""
    from isocenter.core.access import SYSTEM
    from isocenter.core.access_api import Asker

    return Asker(SYSTEM, operator())


def plain(value: object) -> object:
    """What JSON holds of a value that it does not know."""
    return value.value if isinstance(value, Enum) else str(value)


def make_data(settings: Settings) -> None:
    """Make the data directory if it is not there. Raises `Unavailable`."""
    data = settings.data
    _require_whole(data)
    try:
        data.mkdir(parents=True, exist_ok=True, mode=NOT_BY_OTHERS)
    except OSError as error:
        why = "is not a directory" if data.is_file() else f"cannot be made: {error.strerror}"
        raise Unavailable(
            f"data directory {data} {why}",
            fix="choose another with --data, or make it for this user",
        ) from error


def require_data(settings: Settings) -> None:
    """Raises `Invalid` unless it is a data directory (where one is used): a typing error must not
    make a new one."""
    from isocenter.backends import uses_data

    if not uses_data(settings):
        return
    fix = "name it with --data, or start one with `isocenter up`"
    data = settings.data
    if not data.is_dir():
        raise Invalid(f"data directory {data} does not exist", fix=fix)
    if settings.blobs == "file:" and not (data / "blobs").is_dir():
        raise Invalid(f"{data} is not a data directory of Isocenter: no folder `blobs`", fix=fix)
    _require_whole(data)


def _require_whole(data: Path) -> None:
    if (data / UNFINISHED).exists():
        raise Unavailable(
            f"data directory {data} holds a part of a backup: a restore has not come to its end",
            fix="run the same `isocenter restore` again; it goes on where it was",
        )
