"""Where the value of an element lies in a data set, found without reading what is skipped.

`locate` asks for the bytes it looks at, a few at a time, and does no reading itself: the data set
may be in memory or far away. For deflated transfer syntaxes it is the data set after inflation.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import NamedTuple

from isocenter.core.dictionary import ITEM_DELIMITER, SEQUENCE_DELIMITER, UNDEFINED
from isocenter.core.elements import (
    Element,
    Structure,
    Truncated,
    broken,
    is_sequence,
    structure_of,
    too_deep,
)
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import lookup

_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[0-9]{1,9}/[0-9A-Fa-f]{8}){0,64}")
_HEAD = 12  # bytes of the longest element header


class Place(NamedTuple):
    """A value."""

    vr: str
    offset: int  # in the data set
    length: int  # of encapsulated data: of the items with their fragments


# Yields (offset, length) of bytes it needs; what is behind the end of the data set may be missing.
Looking = Generator[tuple[int, int], Buffer, "Place | None"]


def locate(transfer_syntax: str, path: str, size: int) -> Looking:
    """The value of the element at a path as in `to_json`'s BulkDataURI (`52009229/0/00289145`,
    item numbers from 0) in a data set of `size` bytes; None if there is no such element or the
    path is no path. Raises `Unprocessable` for broken structure."""
    if not _PATH.fullmatch(path):
        return None
    try:
        return (yield from _at(path.split("/"), structure_of(lookup(transfer_syntax)), size))
    except Truncated as error:
        raise broken("it is cut off", size) from error


def find_value(data: Buffer, transfer_syntax: str, path: str) -> bytes | None:
    """The value at a path of a data set in memory, in its byte order as stored."""
    looking = locate(transfer_syntax, path, len(data))
    asked = looking.send
    head: Buffer | None = None
    while True:
        try:
            offset, length = asked(head)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as done:
            place: Place | None = done.value
            return place and bytes(data[place.offset : place.offset + place.length])
        head = data[offset : offset + length]


def _at(steps: list[str], structure: Structure, size: int) -> Looking:
    position, end = 0, size
    for tag, number in zip(steps[0:-1:2], steps[1::2], strict=True):
        element = yield from _find(position, end, structure, int(tag, 16))
        if element is None or not is_sequence(element):
            return None
        inside = yield from _nth_item(element, end, structure.nested(element), int(number))
        if inside is None:
            return None
        position, end, structure = inside
    element = yield from _find(position, end, structure, int(steps[-1], 16))
    if element is None:
        return None
    _, vr, length, value = element
    if length == UNDEFINED:
        stop = yield from _skip(element, structure, end, MAX_DEPTH)
        length = stop - 8 - value
    if value + length > end:
        raise Truncated(value + length)
    return Place(vr, value, length)


_Reading = Generator[tuple[int, int], Buffer, int]


def _element(
    position: int, end: int, structure: Structure
) -> Generator[tuple[int, int], Buffer, Element]:
    head = yield position, min(_HEAD, end - position)
    tag, vr, length, value = structure.element(head, 0, len(head))
    return tag, vr, length, position + value


def _item(
    position: int, end: int, structure: Structure
) -> Generator[tuple[int, int], Buffer, tuple[int, int]]:
    head = yield position, min(8, end - position)
    return structure.item(head, 0, len(head))


def _inner(
    position: int, end: int, structure: Structure
) -> Generator[tuple[int, int], Buffer, Structure]:
    head = yield position, min(8, end - position)
    return structure.item_structure(head, 0, len(head))


def _find(
    position: int, end: int, structure: Structure, wanted: int
) -> Generator[tuple[int, int], Buffer, Element | None]:
    while position < end:
        element = yield from _element(position, end, structure)
        if element[0] == wanted:
            return element
        if element[0] == ITEM_DELIMITER:
            return None
        position = yield from _skip(element, structure, end, MAX_DEPTH)
    return None


def _nth_item(
    sequence: Element, end: int, structure: Structure, number: int
) -> Generator[tuple[int, int], Buffer, tuple[int, int, Structure] | None]:
    """Where the elements of an item begin, where they end at the latest, how they are written."""
    _, _, length, position = sequence
    stop = end if length == UNDEFINED else min(end, position + length)
    while position < stop:
        tag, item_length = yield from _item(position, stop, structure)
        position += 8
        if tag == SEQUENCE_DELIMITER:
            return None
        item_stop = stop if item_length == UNDEFINED else min(stop, position + item_length)
        inner = yield from _inner(position, stop, structure)
        if number == 0:
            return position, item_stop, inner
        number -= 1
        if item_length == UNDEFINED:
            position = yield from _skip_item(position, inner, stop, MAX_DEPTH)
        else:
            position = item_stop
    return None


def _skip(element: Element, structure: Structure, end: int, depth: int) -> _Reading:
    """The position behind a value."""
    _, _, length, value = element
    if length != UNDEFINED:
        return value + length
    position, nested = value, is_sequence(element)
    items = structure.nested(element) if nested else structure
    while True:
        tag, length = yield from _item(position, end, items)
        position += 8
        if tag == SEQUENCE_DELIMITER:
            return position
        if length != UNDEFINED:
            position += length
            continue
        if not nested:
            raise broken("a fragment of undefined length", position - 8)
        if depth == 0:
            raise too_deep(MAX_DEPTH, position)
        inner = yield from _inner(position, end, items)
        position = yield from _skip_item(position, inner, end, depth - 1)


def _skip_item(position: int, structure: Structure, end: int, depth: int) -> _Reading:
    """The position behind an item of undefined length."""
    while True:
        element = yield from _element(position, end, structure)
        if element[0] == ITEM_DELIMITER:
            return element[3]
        position = yield from _skip(element, structure, end, depth)
