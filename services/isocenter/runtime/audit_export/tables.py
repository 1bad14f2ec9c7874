"""Comma-separated values: RFC 4180 in UTF-8, a line of names, then a line for each record."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from isocenter.core.audit import Entry
from isocenter.runtime.audit_export.heading import Heading
from isocenter.runtime.audit_records import time_text

# What a spreadsheet takes for the beginning of a formula, its forms of full width among them; such
# a cell gets an apostrophe in front, which programs that need the exact text take away again (or
# read another form).
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_LISTS = {"patient_ids": ";", "studies": " ", "series": " ", "instances": " ", "digests": " "}
_OF_SOURCE = ("protocol", "host", "ae_title", "called_ae_title", "user", "tls_subject", "purpose")
_TEXTS = ("detail", "destination", "error", "query", "process", "site", "trace")

COLUMNS = (
    "chain", "sequence", "id", "at", "action", "outcome", *_OF_SOURCE, "known", "partition",
    *_LISTS, "instance_count", *_TEXTS,
)  # fmt: skip


class CsvWriter:
    """One line for each record."""

    def __init__(self, heading: Heading) -> None:
        del heading

    def begin(self) -> bytes:
        """The names of the columns."""
        return _written([COLUMNS])

    def add(self, entries: Sequence[Entry]) -> bytes:
        """Lines."""
        return _written([[_cell(value) for value in _row(entry)] for entry in entries])

    def end(self) -> bytes:
        """Nothing."""
        return b""


def _row(entry: Entry) -> list[str]:
    event, place = entry.event, entry.place
    source = event.source
    return [
        place.chain,
        str(place.sequence),
        event.id,
        time_text(event.at),
        event.action.value,
        event.outcome.value,
        *(getattr(source, name) for name in _OF_SOURCE),
        "yes" if source.known else "no",
        event.partition,
        *(between.join(getattr(event, name)) for name, between in _LISTS.items()),
        str(event.instance_count),
        *(getattr(event, name) for name in _TEXTS),
    ]


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _written(rows: Sequence[Sequence[str]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerows(rows)  # its own dialect is that of RFC 4180
    return text.getvalue().encode()
