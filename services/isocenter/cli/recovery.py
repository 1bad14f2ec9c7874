"""`isocenter backup`, `restore` and `drill`: their options and help."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    opened,
    require_data,
    run_async,
    settings_of,
)


def backup(
    to: Annotated[Path, typer.Option("--to", help="Folder of the backups, on another disk.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Keep this many backups.", show_default="all")
    ] = None,
) -> None:
    """Copy what is new to a folder of backups, also while everything runs."""
    from isocenter.cli.backup import backup as run_backup

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_backup(settings, to.resolve(), keep)))


def restore(
    source: Annotated[Path, typer.Option("--from", help="Folder of the backups.")],
    at: Annotated[
        datetime | None,
        typer.Option(help="The newest that began then or before (UTC).", show_default="now"),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Make a new data directory from a backup."""
    from isocenter.cli.restore import restore as run_restore

    settings = settings_of(data, config, assignments)
    raise typer.Exit(run_async(run_restore(settings, source.resolve(), at)))


def drill(
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder of backups to try; none: what is served."),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(help="The newest backup that began then or before (UTC)."),
    ] = None,
    sample: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the objects that is read again.")
    ] = 1.0,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Prove that recovery works: an index from the objects alone, compared with the one in use."""
    from isocenter.cli.drill import drill as run_drill
    from isocenter.cli.drill import drill_backup

    settings = settings_of(data, config, assignments)
    if source is not None:
        raise typer.Exit(run_async(drill_backup(settings, source.resolve(), at, sample)))
    require_data(settings)
    raise typer.Exit(run_async(run_drill(settings, sample)))
