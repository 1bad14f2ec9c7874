"""Reading data sets without building objects: what a header says, and where things are.

One pass over bytes, for every byte order and VR form. For deflated transfer syntaxes all
functions take the bytes after inflation (`core.deflate`). `to_json` lives in `core.json_model`.
"""

from __future__ import annotations

from dataclasses import dataclass

from isocenter.core.charset import Charset
from isocenter.core.dictionary import ITEM_DELIMITER, PIXEL_TAGS, SEQUENCE_DELIMITER, UNDEFINED
from isocenter.core.elements import (
    Element,
    Structure,
    Truncated,
    broken,
    skip,
    structure_of,
)
from isocenter.core.errors import Unprocessable
from isocenter.core.json_model import INLINE_LIMIT, to_json
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import lookup

__all__ = [
    "INLINE_LIMIT",
    "MAX_DEPTH",
    "Header",
    "NeedMore",
    "charset_of",
    "scan_header",
    "to_json",
]

_CHARSET = 0x00080005
_WANTED = {
    _CHARSET: "charset",
    0x00080016: "sop_class",
    0x00080018: "instance",
    0x00080060: "modality",
    0x00100020: "patient_id",
    0x00100021: "issuer",
    0x0020000D: "study",
    0x0020000E: "series",
}
# File Meta Information and command elements never belong to a data set (PS3.10 7.1, PS3.7 6.3).
_FIRST_GROUP = 0x0004


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The header goes on behind the end of the buffer."""

    at_least: int  # bytes the buffer must have before another try is worth it


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before Pixel Data, as far as admission needs it. Absent values are empty."""

    length: int  # bytes before Pixel Data (all of the data set, if it has none)
    study: str
    series: str
    instance: str
    sop_class: str
    patient_id: str
    issuer: str  # of Patient ID
    modality: str
    pixel_tag: int  # 0x7FE00008, 0x7FE00009 or 0x7FE00010; 0: no pixel data


def scan_header(
    buffer: Buffer, transfer_syntax: str, complete: bool, max_depth: int = MAX_DEPTH
) -> Header | NeedMore:
    """Walk the elements from the beginning of a data set up to Pixel Data or its end.

    `complete` says that the data set ends where the buffer ends; then the answer is a `Header`.
    Everything before Pixel Data is walked, sequences too, so `to_json` can read what this has
    read. Raises `Unprocessable` for truncated data, lying lengths and sequences nested too
    deep, `Unsupported` for an unknown transfer syntax.
    """
    structure = structure_of(lookup(transfer_syntax))
    found = dict.fromkeys(_WANTED.values(), "")
    try:
        position, tag = _walk(buffer, structure, found, max_depth)
    except Truncated as error:
        if complete:
            raise broken(
                f"it is cut off: {error.needed} bytes are needed, {len(buffer)} are there",
                len(buffer),
            ) from error
        return NeedMore(error.needed)
    if tag == 0 and not complete:
        return NeedMore(position + 1)
    charset = Charset.of(found.pop("charset").split("\\"))
    for name in ("patient_id", "issuer"):
        found[name] = charset.decode(found[name].encode("iso8859-1"))
    return Header(length=position, pixel_tag=tag, **found)


def charset_of(buffer: Buffer, transfer_syntax: str) -> tuple[str, ...]:
    """The values of Specific Character Set (0008,0005), where `to_json` gives the one of its JSON;
    none if there is none that can be read."""
    structure = structure_of(lookup(transfer_syntax))
    position, end = 0, len(buffer)
    try:
        while position < end:
            element = structure.element(buffer, position, end)
            if element[0] == _CHARSET:
                return tuple(value.strip() for value in _text(buffer, element, end).split("\\"))
            if element[0] > _CHARSET:
                break
            position = skip(buffer, element, end, structure, MAX_DEPTH)
    except (Truncated, Unprocessable):
        pass  # whoever reads the rest says so
    return ()


def _walk(
    buffer: Buffer, structure: Structure, found: dict[str, str], max_depth: int
) -> tuple[int, int]:
    """Position and tag of the pixel data element, or the end and 0."""
    end = len(buffer)
    position = 0
    read = structure.element
    wanted = _WANTED
    while position < end:
        element = read(buffer, position, end)
        tag, vr, length, value = element
        if tag in wanted:
            found[wanted[tag]] = _text(buffer, element, end)
        elif tag in PIXEL_TAGS:
            return position, tag
        elif tag >> 16 < _FIRST_GROUP:
            raise broken(f"group {tag >> 16:04X} does not belong to a data set", position)
        elif tag in (ITEM_DELIMITER, SEQUENCE_DELIMITER):
            raise broken("a delimiter outside any sequence", position)
        if length == UNDEFINED or vr == "SQ":
            position = skip(buffer, element, end, structure, max_depth)
        else:
            position = value + length
            if position > end:
                raise Truncated(position)
    return position, 0


def _text(buffer: Buffer, element: Element, end: int) -> str:
    _, _, length, value = element
    if value + length > end:
        raise Truncated(value + length)
    return bytes(buffer[value : value + length]).decode("iso8859-1").strip("\0 ")
