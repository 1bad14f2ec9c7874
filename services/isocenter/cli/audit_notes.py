"""`isocenter audit saved` and `hold`: what officers keep beside the trail."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.audit_common import access, reading, visible
from isocenter.cli.audit_filters import filtered
from isocenter.cli.audit_listing import list_records
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    opened,
    operating,
    operator,
    out,
    plain,
    process,
    run_async,
)
from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.core.errors import Invalid, NotFound
from isocenter.runtime.audit_reading import filter_text

if TYPE_CHECKING:
    from isocenter.settings import Settings

saved = typer.Typer(
    help="Searches that are made again and again.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)
hold = typer.Typer(
    help="Legal holds: while there is one, retention removes nothing.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@saved.command("list")
def list_saved(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Saved searches, and what they look for."""
    run_async(print_saved(opened(data, config, assignments), as_json=as_json))


@saved.command("add")
@filtered
def add_saved(
    name: NameArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    *,
    which: AuditFilter,
    days: Annotated[
        int, typer.Option(min=0, help="The last so many days, instead of --since.")
    ] = 0,
) -> None:
    """Keep a search, in place of one of the same name."""
    run_async(save_search(opened(data, config, assignments), name, which, days))


@saved.command("run")
def run_saved(
    name: NameArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 50,
    all_of_them: Annotated[bool, typer.Option("--all", help="All, however many.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="With the id of each at the end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a saved search, and print what `audit list` would."""
    settings = opened(data, config, assignments)
    limit = 0 if all_of_them else limit
    run_async(run_search(settings, name, limit=limit, ids=ids, as_json=as_json))


@saved.command("remove")
def remove_saved(
    name: NameArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Forget a saved search."""
    run_async(forget_search(opened(data, config, assignments), name))


@hold.command("list")
def list_holds(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """The legal holds: since when, by whom, why."""
    run_async(print_holds(opened(data, config, assignments), as_json=as_json))


@hold.command("add")
def add_hold(
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit trail.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Let retention remove nothing of the trail until this hold is released."""
    run_async(begin_hold(opened(data, config, assignments), name, reason))


@hold.command("release")
def release_hold(
    name: NameArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """End a legal hold; retention goes on when there is no other."""
    run_async(end_hold(opened(data, config, assignments), name))


async def print_saved(settings: Settings, *, as_json: bool) -> None:
    """One line a search."""
    async with process(settings) as env:
        searches = await (await reading(env, "saved searches")).saved()
    if as_json:
        for search in searches:
            out.print(json.dumps(asdict(search), default=plain), markup=False)
        return
    if not searches:
        out.print("no saved searches")
        return
    out.print(f"{'name':20}  {'saved (UTC)':19}  {'by':16}  what")
    for search in searches:
        period = f"the last {search.days} days " if search.days else ""
        out.print(
            f"{search.name:20}  {search.at:%Y-%m-%d %H:%M:%S}  {visible(search.by.who):16}  "
            f"{period}{visible(filter_text(search.which))}",
            markup=False,
        )


async def save_search(settings: Settings, name: str, which: AuditFilter, days: int) -> None:
    """Keep a search."""
    if days and which.since:  # in the words of the command line
        raise Invalid("--days and --since both say when it begins", fix="give one of them")
    search = SavedSearch(name, which, operator(), datetime.now(UTC), days)
    async with process(settings) as env:
        await (await access(env)).save(operating(), search)
    out.print(f"saved: {name}", markup=False)


async def run_search(
    settings: Settings, name: str, *, limit: int, ids: bool, as_json: bool
) -> None:
    """Print what a saved search finds."""
    async with process(settings) as env:
        searches = {one.name: one for one in await (await env.audit_trail()).saved()}
    if name not in searches:
        known = ", ".join(searches) or "there is none"
        raise NotFound(f"no saved search is named {name!r}", fix=f"searches are: {known}")
    which = searches[name].made(datetime.now(UTC))
    await list_records(settings, which, limit=limit, ids=ids, as_json=as_json)


async def forget_search(settings: Settings, name: str) -> None:
    """Remove a search."""
    async with process(settings) as env:
        await (await access(env)).forget(operating(), name)
    out.print(f"removed: {name}", markup=False)


async def print_holds(settings: Settings, *, as_json: bool) -> None:
    """One line a hold."""
    async with process(settings) as env:
        holds = await (await reading(env, "legal holds")).holds()
    if as_json:
        for one in holds:
            out.print(json.dumps(asdict(one), default=plain), markup=False)
        return
    if not holds:
        out.print("no legal holds")
        return
    out.print(f"{'name':20}  {'since (UTC)':19}  {'by':16}  reason")
    for one in holds:
        out.print(
            f"{one.name:20}  {one.at:%Y-%m-%d %H:%M:%S}  {visible(one.by.who):16}  "
            f"{visible(one.reason)}",
            markup=False,
        )


async def begin_hold(settings: Settings, name: str, reason: str) -> None:
    """Stop expiry."""
    async with process(settings) as env:
        hold = Hold(name, reason, operator(), datetime.now(UTC))
        await (await access(env)).hold(operating(), hold)
    out.print(f"held: {name}; retention removes nothing until it is released", markup=False)


async def end_hold(settings: Settings, name: str) -> None:
    """Go on with expiry."""
    async with process(settings) as env:
        await (await access(env)).release(operating(), name)
    out.print(f"released: {name}", markup=False)


def add_to(audit: typer.Typer) -> None:
    """The verbs."""
    audit.add_typer(saved, name="saved")
    audit.add_typer(hold, name="hold")
