"""`isocenter audit`: reading the trail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    err,
    out,
    plain,
    process,
    require_data,
    run_async,
    settings_of,
)
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome

if TYPE_CHECKING:
    from isocenter.settings import Settings

STYLES = {
    AuditOutcome.SUCCESS: "green",
    AuditOutcome.MINOR_FAILURE: "yellow",
    AuditOutcome.FAILURE: "red",
}

HEAD = (
    f"{'when (UTC)':19}  {'who':16}  {'from':15}  {'what':8}  {'outcome':13}  {'images':>6}  detail"
)


audit = typer.Typer(
    help="The audit trail.", no_args_is_help=True, rich_markup_mode="rich", add_completion=False
)


@audit.command("list")
def audit_list(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    since: Annotated[datetime | None, typer.Option(help="Not before (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before (UTC).")] = None,
    action: Annotated[
        list[str] | None, typer.Option(help="store, query, retrieve, export, ... (repeat).")
    ] = None,
    who: Annotated[str, typer.Option(help="AE title, user or address.")] = "",
    study: Annotated[str, typer.Option(help="Study Instance UID.")] = "",
    patient: Annotated[str, typer.Option(help="Patient ID.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Who stored, searched, retrieved or sent what, when, and how it ended."""
    settings = settings_of(data, config, assignments)
    require_data(settings)
    run_async(
        list_records(
            settings,
            since=since,
            until=until,
            actions=action or [],
            who=who,
            study=study,
            patient=patient,
            limit=limit,
            as_json=as_json,
        )
    )


async def list_records(
    settings: Settings,
    *,
    since: datetime | None,
    until: datetime | None,
    actions: Sequence[str],
    who: str,
    study: str,
    patient: str,
    limit: int,
    as_json: bool,
) -> None:
    """Print the newest records that pass the filter."""
    from isocenter.cli.serving import is_served
    from isocenter.core.ports import AuditFilter

    which = AuditFilter(
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        actions=tuple(_action(name) for name in actions),
        who=who,
        study=study,
        patient_id=patient,
    )
    async with process(settings) as env:
        trail = await env.audit_trail()
        records = await trail.search(which, limit)
        total = await trail.count(which)
    if as_json:
        for record in records:
            out.print(json.dumps(asdict(record), default=plain), markup=False)
        return
    if not total:
        out.print("no records pass the filter" if which != AuditFilter() else "no records")
        if not is_served(settings.data):
            err.print(
                f"those not yet taken in are listed once `isocenter up` runs on {settings.data}"
            )
        return
    out.print(HEAD)
    for record in records:
        out.print(_line(record), markup=True)
    out.print(f"{len(records):,} of {total:,} records")


def _action(name: str) -> AuditAction:
    try:
        return AuditAction(name)
    except ValueError:
        known = ", ".join(action.value for action in AuditAction)
        raise Invalid(f"no action named {name!r}", fix=f"actions are: {known}") from None


def _line(record: AuditEvent) -> str:
    source, outcome = record.source, record.outcome
    who = source.user or source.ae_title or source.protocol
    count = str(record.instance_count or "")
    told = " ".join(filter(None, (record.detail, record.destination, record.error)))
    return (
        f"{record.at:%Y-%m-%d %H:%M:%S}  {escape(who):16}  {escape(source.host):15}  "
        f"{record.action.value:8}  [{STYLES[outcome]}]{outcome.value:13}[/]  {count:>6}  "
        f"{escape(told)}"
    )
