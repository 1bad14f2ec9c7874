"""Reading data sets without building objects: what a header says, and where things are.

One pass over bytes, for every byte order and VR form. For deflated transfer syntaxes all
functions take the bytes after inflation (`core.deflate`). `to_json` lives in `core.json_model`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from isocenter.core.charset import Charset
from isocenter.core.dictionary import ITEM_DELIMITER, PIXEL_TAGS, SEQUENCE_DELIMITER, UNDEFINED
from isocenter.core.elements import (
    Element,
    Structure,
    Truncated,
    broken,
    is_sequence,
    skip,
    structure_of,
)
from isocenter.core.json_model import INLINE_LIMIT, to_json
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import lookup

__all__ = [
    "INLINE_LIMIT",
    "MAX_DEPTH",
    "Header",
    "NeedMore",
    "find_value",
    "scan_header",
    "to_json",
]

_WANTED = {
    0x00080005: "charset",
    0x00080016: "sop_class",
    0x00080018: "instance",
    0x00100020: "patient_id",
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
    found["patient_id"] = charset.decode(found["patient_id"].encode("iso8859-1"))
    return Header(length=position, pixel_tag=tag, **found)


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


_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[0-9]{1,9}/[0-9A-Fa-f]{8}){0,64}")


def find_value(header: Buffer, transfer_syntax: str, path: str) -> bytes | None:
    """The value of the element at a path as in `to_json`'s BulkDataURI, in its byte order as
    stored; None if there is no such element or the path is no path. The value of encapsulated
    data is the items with their fragments."""
    if not _PATH.fullmatch(path):
        return None
    steps = path.split("/")
    structure = structure_of(lookup(transfer_syntax))
    end = len(header)
    position = 0
    try:
        for tag, number in zip(steps[0:-1:2], steps[1::2], strict=True):
            element = _find(header, position, end, structure, int(tag, 16))
            if element is None or not is_sequence(element):
                return None
            inside = _nth_item(header, element, end, structure.nested(element), int(number))
            if inside is None:
                return None
            position, end, structure = inside
        element = _find(header, position, end, structure, int(steps[-1], 16))
        if element is None:
            return None
        stop = skip(header, element, end, structure, MAX_DEPTH)
    except Truncated as error:
        raise broken("it is cut off", error.needed) from error
    if element[2] == UNDEFINED:
        stop -= 8
    return bytes(header[element[3] : stop])


def _find(
    buffer: Buffer, position: int, end: int, structure: Structure, wanted: int
) -> Element | None:
    while position < end:
        element = structure.element(buffer, position, end)
        if element[0] == wanted:
            return element
        if element[0] == ITEM_DELIMITER:
            return None
        position = skip(buffer, element, end, structure, MAX_DEPTH)
    return None


def _nth_item(
    buffer: Buffer, sequence: Element, end: int, structure: Structure, number: int
) -> tuple[int, int, Structure] | None:
    """Where the elements of an item begin, where they end at the latest, how they are written."""
    _, _, length, position = sequence
    stop = end if length == UNDEFINED else min(end, position + length)
    while position < stop:
        tag, item_length = structure.item(buffer, position, stop)
        position += 8
        if tag == SEQUENCE_DELIMITER:
            return None
        item_stop = stop if item_length == UNDEFINED else position + item_length
        inner = structure.item_structure(buffer, position, stop)
        if number == 0:
            return position, min(item_stop, stop), inner
        number -= 1
        if item_length != UNDEFINED:
            position = item_stop
            continue
        while True:
            element = inner.element(buffer, position, stop)
            if element[0] == ITEM_DELIMITER:
                position = element[3]
                break
            position = skip(buffer, element, stop, inner, MAX_DEPTH)
    return None
