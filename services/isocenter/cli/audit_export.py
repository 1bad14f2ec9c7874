"""`isocenter audit export`: records as files that others read."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from isocenter.cli.audit_common import reading
from isocenter.cli.audit_filters import filtered
from isocenter.cli.audit_proof import TrustOption, verified
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    err,
    opened,
    operator,
    process,
    run_async,
)
from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.errors import Invalid

if TYPE_CHECKING:
    from isocenter.cli.progress import Tally
    from isocenter.settings import Settings


class Form(StrEnum):
    """Of an exported file (`runtime.audit_export.forms`)."""

    CSV = "csv"
    JSONL = "jsonl"
    FHIR = "fhir"
    DICOM = "dicom"
    PDF = "pdf"


class Language(StrEnum):
    """Of a report (`runtime.audit_texts`)."""

    EN = "en"
    FR = "fr"
    DE = "de"


@filtered
def export(
    form: Annotated[Form, typer.Option("--form", help="Of the file.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    *,
    which: AuditFilter,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new file.", show_default="printed")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify the trail before; a report says the result.")
    ] = False,
    trust: TrustOption = None,
    language: Annotated[Language, typer.Option(help="Of a PDF.")] = Language.EN,
) -> None:
    """Write records to a file: CSV for spreadsheets, JSON lines, FHIR, DICOM, PDF for people.

    Exit code 1 if the trail was verified and something was found; the file is written all the same.
    """
    _require_new(output)
    settings = opened(data, config, assignments)
    raise typer.Exit(
        run_async(
            export_records(
                settings,
                which,
                form=form.value,
                output=output,
                trust=trust or [],
                verify=verify,
                language=language.value,
            )
        )
    )


async def export_records(
    settings: Settings,
    which: AuditFilter,
    *,
    form: str,
    output: Path | None = None,
    verify: bool = False,
    trust: list[str] | None = None,
    language: str = "en",
) -> int:
    """Write the file; 1 if a verification found something."""
    from isocenter.cli.progress import Tally
    from isocenter.runtime.audit_export.forms import FORMS
    from isocenter.runtime.audit_export.heading import Heading
    from isocenter.runtime.audit_export.paging import pages
    from isocenter.runtime.streams import generator

    to = "" if output is None else f" to {output}"
    chosen = FORMS[form]
    async with process(settings) as env:
        trail = await reading(env, f"export as {form}{to}", which)
        total = await trail.count(which)
        chosen.check(total)
        result = await verified(env, trust or []) if verify else None
        heading = Heading(
            which=which,
            by=operator(),
            at=datetime.now(UTC),
            total=total,
            state=await trail.state(),
            verification=result,
            trust=tuple(trust or ()),
            site=settings.site,
            language=language,
        )
        with Tally(err, "exported", "records", total) as tally:
            async with aclosing(generator(_told(pages(trail, which), tally))) as found:
                await _write(output, chosen.write(heading, found))
    return 1 if result and result.findings else 0


async def _told(
    found: AsyncIterator[Sequence[Entry]], tally: Tally
) -> AsyncIterator[Sequence[Entry]]:
    """The same, and how far it is."""
    async for page in found:
        yield page
        tally.add(count=len(page))


def _require_new(output: Path | None) -> None:
    if output is not None and output.exists():
        raise Invalid(f"{output} exists already", fix="name a new file")


async def _write(output: Path | None, pieces: AsyncIterator[bytes]) -> None:
    """A file that is there when it is whole, or what is printed."""
    if output is None:
        await _to(sys.stdout.buffer, pieces)
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            await _to(file, pieces)
        part.rename(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def _to(file: BinaryIO, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        file.write(piece)
    file.flush()


def add_to(audit: typer.Typer) -> None:
    """The verb."""
    audit.command("export")(export)
