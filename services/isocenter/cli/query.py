"""`isocenter query`: C-FIND or QIDO-RS of another archive, and its answers printed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from rich.cells import cell_len

from isocenter.cli.common import err, out
from isocenter.cli.peers import WebPeer, archive_of
from isocenter.core.dictionary import standard_vr
from isocenter.core.errors import Invalid
from isocenter.core.matching import JsonAttributes, Key, Level
from isocenter.dimse.target import Target

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
# What is answered with unless more is asked for.
_COLUMNS: Mapping[Level, Sequence[str]] = {
    Level.PATIENT: _PATIENT,
    Level.STUDY: (
        "PatientID", "PatientName", "StudyDate", "StudyTime", "ModalitiesInStudy",
        "StudyDescription", "AccessionNumber", "NumberOfStudyRelatedInstances", "StudyInstanceUID",
    ),
    Level.SERIES: (
        "Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances",
        "StudyInstanceUID", "SeriesInstanceUID",
    ),
    Level.INSTANCE: (
        "InstanceNumber", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
    ),
}  # fmt: skip
_GAP = "  "


async def query(
    peer: Target | WebPeer, texts: Sequence[str], *, level: str, limit: int, form: str
) -> int:
    """Print what the peer answers; `level` is the name of a `Level`, `limit` 0: all. 0 when it
    answered, also with nothing."""
    which = Level[level]
    keys = with_columns([parse_key(text) for text in texts], which)
    archive = archive_of(peer)
    try:
        async with aclosing(archive.find(which, keys, limit)) as answers:
            count = await _FORMS[form](answers, [key.tag for key in keys])
    finally:
        await archive.close()
    err.print(f"{count:,} found" + (", there may be more" if limit and count == limit else ""))
    return 0


def parse_key(text: str) -> Key:
    """`KEYWORD=VALUE`, `GGGGEEEE=VALUE`, or one of them alone. Raises `Invalid`."""
    name, _, value = text.partition("=")
    given = _TAG.fullmatch(name)
    tag = int(given[1] + given[2], 16) if given else name and tag_for_keyword(name)
    if not tag:
        raise Invalid(
            f"{name}: not an attribute", fix="name it by keyword or tag, as PatientID or 00100020"
        )
    vr = standard_vr(tag).partition(" ")[0]
    if vr == "SQ":
        raise Invalid(f"{name}: sequences cannot be matched here", fix="leave it out")
    values = tuple(value.split("\\")) if value else ()
    return Key(f"{tag:08X}", vr, values)


def with_columns(keys: Sequence[Key], level: Level) -> list[Key]:
    """The keys, behind those that a level is answered with anyway."""
    columns = [parse_key(keyword) for keyword in _COLUMNS[level]]
    given = {key.tag: key for key in keys}
    first = [given.pop(column.tag, column) for column in columns]
    return [*first, *given.values()]


async def _as_table(answers: AsyncIterator[JsonAttributes], tags: Sequence[str]) -> int:
    rows = [[keyword_for_tag(int(tag, 16)) or tag for tag in tags]]
    rows += [[shown(answer.get(tag, {})) for tag in tags] async for answer in answers]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = _GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in cells)
        out.print(line.rstrip(), markup=False)
    return len(rows) - 1


async def _as_csv(answers: AsyncIterator[JsonAttributes], tags: Sequence[str]) -> int:
    def line(cells: Sequence[str]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(cells)
        out.print(text.getvalue(), markup=False)

    line([keyword_for_tag(int(tag, 16)) or tag for tag in tags])
    count = 0
    async for answer in answers:
        line([shown(answer.get(tag, {})) for tag in tags])
        count += 1
    return count


async def _as_json(answers: AsyncIterator[JsonAttributes], tags: Sequence[str]) -> int:
    """The DICOM JSON Model (PS3.18 annex F), as QIDO-RS answers."""
    del tags
    count = 0
    async for answer in answers:
        text = json.dumps(answer, ensure_ascii=False, sort_keys=True)
        out.print(f"{',' if count else '['}{text}", markup=False)
        count += 1
    out.print("]" if count else "[]", markup=False)
    return count


_FORMS: Mapping[str, Callable[..., Any]] = {
    "table": _as_table, "csv": _as_csv, "json": _as_json,
}  # fmt: skip


def shown(element: Mapping[str, Any]) -> str:
    """An attribute's values on one line of a terminal, which none of them may steer."""
    text = ", ".join(map(_value, element.get("Value") or ()))
    return "".join(one if one.isprintable() else " " for one in text).strip()


def _value(value: object) -> str:
    if isinstance(value, dict):  # a name: its component groups
        return "=".join(filter(None, map(str, value.values())))
    return "" if value is None else str(value)
