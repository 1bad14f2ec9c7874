"""The verbs of `isocenter`, their options and help."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from isocenter import __version__
from isocenter.cli.access import access
from isocenter.cli.account import account
from isocenter.cli.aes import aes
from isocenter.cli.audit import audit
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    complain,
    complain_of,
    opened,
    out,
    quiet,
    run_async,
    settings_of,
)
from isocenter.cli.dead import dead
from isocenter.cli.moving import fetch, import_, query, send
from isocenter.cli.recovery import backup, drill, restore
from isocenter.cli.token import token
from isocenter.core.errors import IsocenterError

app = typer.Typer(
    name="isocenter",
    help="A PACS: takes images from scanners, keeps them safely, finds them and shows them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, MOVE, CARE, TELL = "Run", "Bring in and send", "Take care", "Tell"


@app.command(rich_help_panel=RUN)
def up(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Load the demo studies once everything runs.")
    ] = False,
) -> None:
    """Run everything on this machine, on one data directory. Ctrl-C drains and stops."""
    from isocenter.cli.up import up as run_up

    settings = settings_of(data, config, assignments)
    raise typer.Exit(run_async(run_up(settings, config, assignments or [], demo=demo)))


@app.command(rich_help_panel=RUN)
def run(
    role: Annotated[list[str], typer.Argument(help="Roles; `isocenter roles` lists them.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    name: Annotated[
        str, typer.Option(help="Of this process in logs and audit records.", show_default="roles")
    ] = "",
    supervisor_fd: Annotated[int, typer.Option(hidden=True)] = -1,
    monitor_socket: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run one or several roles in this process."""
    from isocenter.cli.run import run_roles

    settings = settings_of(data, config, assignments)
    raise typer.Exit(
        run_async(
            run_roles(
                settings,
                role,
                name=name,
                supervisor_fd=supervisor_fd,
                monitor_socket=monitor_socket,
            )
        )
    )


@app.command(rich_help_panel=RUN)
def roles() -> None:
    """List the roles: what each does, where it listens, what it consumes and announces."""
    from isocenter.cli.run import print_roles

    print_roles()


@app.command(rich_help_panel=RUN)
def check(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="First make the topics, bucket and indices that are missing."
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds that servers have to come up, with --prepare."),
    ] = 0,
) -> None:
    """Look at settings, ports, disk, servers and dependencies: what is wrong and what to do."""
    from isocenter.cli.check import check as run_check

    settings = settings_of(data, config, assignments)
    raise typer.Exit(run_async(run_check(settings, prepare=prepare, wait=wait)))


@app.command(rich_help_panel=RUN)
def health(
    url: Annotated[
        list[str] | None,
        typer.Argument(
            help="http://host:port[/readyz] or grpc://host:port; none: our own monitor."
        ),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Ask processes whether they can do their work; exit code 0 when all can."""
    from isocenter.cli.health import health as run_health

    settings = settings_of(None, config, assignments)
    raise typer.Exit(run_async(run_health(settings, url or [])))


@app.command(rich_help_panel=TELL)
def top(
    url: Annotated[
        list[str] | None,
        typer.Argument(help="http://host:port of monitors; none: our own monitor."),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    every: Annotated[float, typer.Option(min=0.2, max=600, help="Seconds between two looks.")] = 2,
    once: Annotated[bool, typer.Option("--once", help="Print once and end, for scripts.")] = False,
) -> None:
    """Show what is going on now: stores, associations, searches, lag, disk. Ctrl-C ends it."""
    from isocenter.cli.top import top as run_top

    settings = settings_of(None, config, assignments)
    raise typer.Exit(run_async(run_top(settings, url or [], every=every, once=once)))


@app.command(rich_help_panel=RUN)
def probe(
    dicom: Annotated[str, typer.Option(help="Where to store: dicom://AE_TITLE@host:port.")],
    web: Annotated[str, typer.Option(help="Where to find and read: http(s)://host:port/dicomweb.")],
    seconds: Annotated[float, typer.Option(min=0, help="How long finding it may take.")] = 30,
    token_file: Annotated[
        Path | None, typer.Option(help="File with a token to find and read with.")
    ] = None,
) -> None:
    """Store one synthetic instance, find it and read it back, as users do."""
    from isocenter.cli.probe import probe as run_probe

    quiet("text")
    raise typer.Exit(run_async(run_probe(dicom, web, seconds=seconds, token_file=token_file)))


for move in (send, import_, query, fetch):
    app.command(move.__name__.strip("_"), rich_help_panel=MOVE)(move)


@app.command(rich_help_panel=CARE)
def verify(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    study: Annotated[str, typer.Option(help="Only this Study Instance UID.")] = "",
) -> None:
    """Re-read every object and compare it with the digest in its name."""
    from isocenter.cli.care import verify as run_verify

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_verify(settings, study)))


for verb in (backup, restore, drill):
    app.command(rich_help_panel=CARE)(verb)


@app.command(rich_help_panel=CARE)
def rebuild(
    data: DataOption = None, config: ConfigOption = None, assignments: SetOption = None
) -> None:
    """Build the search index anew from the objects alone, also while everything runs."""
    from isocenter.cli.care import rebuild as run_rebuild

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_rebuild(settings)))


@app.command(rich_help_panel=CARE)
def replay(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    since: Annotated[datetime | None, typer.Option(help="Appended then or later (UTC).")] = None,
    offset: Annotated[
        list[str] | None,
        typer.Option("--from", help="PARTITION=OFFSET to begin at. May be repeated."),
    ] = None,
) -> None:
    """Apply to the index again what the log holds of instances, also while everything runs."""
    from isocenter.cli.care import replay as run_replay

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_replay(settings, since, offset or [])))


@app.command(rich_help_panel=CARE)
def sweep(
    data: DataOption = None, config: ConfigOption = None, assignments: SetOption = None
) -> None:
    """Announce objects that are kept and that no event has announced (it also runs by itself)."""
    from isocenter.cli.care import sweep as run_sweep

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_sweep(settings)))


@app.command(rich_help_panel=CARE)
def delete(
    study: Annotated[str, typer.Argument(help="Study Instance UID.")],
    series: Annotated[str, typer.Argument(help="Series Instance UID: of it only this.")] = "",
    instance: Annotated[str, typer.Argument(help="SOP Instance UID: of that only this.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit trail.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Delete a study, a series or an instance; it is hidden at once, and kept for a while."""
    from isocenter.cli.deletions import delete as run_delete

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_delete(settings, (study, series, instance), reason)))


@app.command(rich_help_panel=CARE)
def deleted(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what was deleted and can be restored."""
    from isocenter.cli.deletions import deleted as run_deleted

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_deleted(settings, as_json=as_json)))


@app.command(rich_help_panel=CARE)
def undelete(
    deletion: Annotated[str, typer.Argument(metavar="ID", help="As `deleted` prints it.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Undo a deletion."""
    from isocenter.cli.deletions import undelete as run_undelete

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(run_undelete(settings, deletion)))


@app.command(rich_help_panel=TELL)
def attributes(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what searches match; exit code 1 while what was added is being filled."""
    from isocenter.cli.attributes import list_attributes

    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(list_attributes(settings, as_json=as_json)))


app.add_typer(dead, name="dead", rich_help_panel=CARE)
app.add_typer(aes, name="aes", rich_help_panel=CARE)
app.add_typer(access, name="access", rich_help_panel=CARE)
app.add_typer(account, name="account", rich_help_panel=CARE)
app.add_typer(token, name="token", rich_help_panel=CARE)

app.add_typer(audit, name="audit", rich_help_panel=TELL)


@app.command(rich_help_panel=TELL)
def version() -> None:
    """Print the version."""
    out.print(f"isocenter {__version__}")


def main() -> None:
    """Run a verb; errors are sentences on the error stream, the exit code is 1."""
    try:
        app()
    except IsocenterError as error:
        complain_of(error)
    except ModuleNotFoundError as error:
        complain(
            f"the Python package {error.name} is not installed",
            "`make setup` installs it; `isocenter check` lists what else is missing",
        )
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    sys.exit(1)
