"""`isocenter audit`: reading the trail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.markup import escape

from isocenter.cli.common import err, out, plain, process
from isocenter.cli.serving import is_served
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome
from isocenter.core.ports import AuditFilter
from isocenter.settings import Settings

STYLES = {
    AuditOutcome.SUCCESS: "green",
    AuditOutcome.MINOR_FAILURE: "yellow",
    AuditOutcome.FAILURE: "red",
}

HEAD = (
    f"{'when (UTC)':19}  {'who':16}  {'from':15}  {'what':8}  {'outcome':13}  {'images':>6}  detail"
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
