"""What the verbs share: their common options, running a coroutine, printing errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop
from rich.console import Console

from isocenter.app import Process
from isocenter.core.errors import Invalid
from isocenter.runtime.logs import configure
from isocenter.settings import Settings, load

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

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def settings_of(data: Path | None, config: Path | None, assignments: list[str] | None) -> Settings:
    """The settings of a verb with the common options."""
    flags = {}
    for assignment in assignments or []:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise Invalid(
                f"--set {assignment}: not KEY=VALUE", fix="write --set gateway.port=11113"
            )
        flags[key] = value
    return load(config=config, flags=flags, data=data)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a verb's coroutine on the loop that the services run on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[Process]:
    """The services on the settings' backends, without any role, for the length of a verb."""
    # What goes wrong is in the verb's own summary; the log would say it twice.
    configure("error", settings.log.format, "cli")
    env = Process(settings)
    try:
        yield env
    finally:
        await env.close()


def require_data(settings: Settings) -> None:
    """Raises `Invalid` unless the data directory exists: a typing error must not make a new one."""
    if not settings.data.is_dir():
        raise Invalid(
            f"data directory {settings.data} does not exist",
            fix="name it with --data, or start one with `isocenter up`",
        )
