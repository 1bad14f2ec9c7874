"""The forms of an export: a table of media types, file suffixes and writers."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from isocenter.core.audit import Entry
from isocenter.core.errors import Invalid
from isocenter.runtime.audit_export.heading import Heading
from isocenter.runtime.audit_export.writer import Writer

_PIECE = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Form:
    """One form; every writer but that of PDF needs memory for one page of records."""

    name: str
    media_type: str
    suffix: str
    module: str  # of this package: it is imported when it is used
    writer: str
    most: int = 0  # records; 0: no bound

    def check(self, total: int) -> None:
        """Raises `Invalid` for more records than the form can hold."""
        if self.most and total > self.most:
            raise Invalid(
                f"{total:,} records are too many for {self.name}: {self.most:,} at most",
                fix="choose a shorter period, or another form",
            )

    def make(self, heading: Heading) -> Writer:
        """A writer. Raises `Invalid`, as `check` does."""
        self.check(heading.total)
        module = importlib.import_module(f"isocenter.runtime.audit_export.{self.module}")
        writer: Writer = getattr(module, self.writer)(heading)
        return writer

    async def write(
        self, heading: Heading, pages: AsyncIterator[Sequence[Entry]]
    ) -> AsyncIterator[bytes]:
        """The file of all records, in pieces."""
        writer = await asyncio.to_thread(self.make, heading)
        if begin := await asyncio.to_thread(writer.begin):
            yield begin
        async for page in pages:
            if records := await asyncio.to_thread(writer.add, page):
                yield records
        end = await asyncio.to_thread(writer.end)
        for start in range(0, len(end), _PIECE):
            yield end[start : start + _PIECE]


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("csv", "text/csv; charset=utf-8; header=present", ".csv", "tables", "CsvWriter"),
        Form("jsonl", "application/x-ndjson", ".jsonl", "lines", "LinesWriter"),
        Form("fhir", "application/fhir+json", ".fhir.json", "fhir", "FhirWriter"),
        Form("dicom", "application/xml", ".xml", "dicom", "DicomWriter"),
        Form("pdf", "application/pdf", ".pdf", "pdf", "PdfWriter", most=200_000),
    )
}
