"""`isocenter audit`: reading the trail; the other verbs come from the modules beside this one."""

from __future__ import annotations

from typing import Annotated

import typer

from isocenter.cli import audit_evidence, audit_export, audit_keeping, audit_notes, audit_proof
from isocenter.cli.audit_filters import filtered
from isocenter.cli.audit_listing import count_records, list_records, show_record
from isocenter.cli.audit_story import object_
from isocenter.cli.common import ConfigOption, DataOption, SetOption, opened, run_async
from isocenter.core.audit import AuditFilter, By

audit = typer.Typer(
    help="The audit trail.", no_args_is_help=True, rich_markup_mode="rich", add_completion=False
)

RecordArgument = Annotated[
    str, typer.Argument(metavar="ID", help="As `audit list --ids` prints it, or a page or FHIR.")
]


@audit.command("list")
@filtered
def audit_list(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    *,
    which: AuditFilter,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 50,
    before: Annotated[
        str, typer.Option(metavar="ID", help="Those before this record: the next page.")
    ] = "",
    all_of_them: Annotated[bool, typer.Option("--all", help="All, however many.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="With the id of each at the end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Who stored, searched, retrieved or sent what, when, and how it ended."""
    run_async(
        list_records(
            opened(data, config, assignments),
            which,
            limit=0 if all_of_them else limit,
            before=before,
            ids=ids,
            as_json=as_json,
        )
    )


@audit.command("count")
@filtered
def audit_count(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    *,
    which: AuditFilter,
    by: Annotated[
        list[By] | None, typer.Option(help="Counts for each of these instead (repeat).")
    ] = None,
) -> None:
    """How many records there are."""
    run_async(count_records(opened(data, config, assignments), which, by or []))


@audit.command("show")
def audit_show(
    record: RecordArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """All that a record says, its place in the chain, and whether it is sealed."""
    run_async(show_record(opened(data, config, assignments), record, as_json=as_json))


audit.command("object")(object_)
for module in (audit_proof, audit_evidence, audit_export, audit_keeping, audit_notes):
    module.add_to(audit)
