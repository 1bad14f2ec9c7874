"""The structure of data sets (PS3.5 section 7): elements, sequences, items, fragments.

`Structure` reads one element header at a time out of a buffer and skips what is nested without
recursion. No length is trusted before it is compared with what encloses it. `head` and
`head_of_item` write what stands before a value.
"""

from __future__ import annotations

import struct

from isocenter.core.dictionary import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    standard_vr,
)
from isocenter.core.errors import Unprocessable
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import TransferSyntax

_SHORT = {vr.encode(): vr for vr in SHORT_VRS}
_LONG = {vr.encode(): vr for vr in LONG_VRS}
_SHORT_MAX = 0xFFFE

Element = tuple[int, str, int, int]  # tag, VR, length, offset of the value


class Truncated(Exception):
    """The buffer ends within something; `needed` bytes of it are needed to go on."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class Structure:
    """How elements are written: explicit or implicit VR, little or big endian."""

    def __init__(self, *, implicit: bool, little_endian: bool) -> None:
        order = "<" if little_endian else ">"
        self.implicit = implicit
        self.little_endian = little_endian
        self.order = order
        self._explicit_head = struct.Struct(f"{order}HH2sH").unpack_from
        self._implicit_head = struct.Struct(f"{order}HHI").unpack_from
        self._length = struct.Struct(f"{order}I").unpack_from

    def element(self, buffer: Buffer, position: int, end: int) -> Element:
        """The element header at a position; its value may reach behind `end`. The VR of an
        implicit one is the dictionary's. Raises `Truncated`."""
        if position + 8 > end:
            raise Truncated(position + 8)
        if self.implicit:
            return self._implicit_element(buffer, position)
        group, number, raw, length = self._explicit_head(buffer, position)
        vr = _SHORT.get(raw)
        if vr is not None and group != 0xFFFE:
            return group << 16 | number, vr, length, position + 8
        vr = _LONG.get(raw)
        if vr is None:
            if group == 0xFFFE or not (raw.isalpha() and raw.isupper()):
                # Items and delimiters have no VR; some writers also fall back to implicit VR
                # in the middle of a data set.
                return self._implicit_element(buffer, position)
            if length:
                # Two capital letters of no VR, and no reserved zero bytes: an old VR's form.
                return group << 16 | number, "UN", length, position + 8
            vr = "UN"  # PS3.5 6.2.2: a VR of a later edition has the 32-bit form
        if position + 12 > end:
            raise Truncated(position + 12)
        return group << 16 | number, vr, self._length(buffer, position + 8)[0], position + 12

    def _implicit_element(self, buffer: Buffer, position: int) -> Element:
        group, number, length = self._implicit_head(buffer, position)
        tag = group << 16 | number
        vr = "" if group == 0xFFFE else standard_vr(tag) if not group & 1 else "UN"
        return tag, vr, length, position + 8

    def item(self, buffer: Buffer, position: int, end: int) -> tuple[int, int]:
        """Tag and length of an item or delimiter. Raises `Truncated`, `Unprocessable`."""
        if position + 8 > end:
            raise Truncated(position + 8)
        group, number, length = self._implicit_head(buffer, position)
        tag = group << 16 | number
        if tag not in (ITEM, SEQUENCE_DELIMITER):
            raise broken(f"({group:04X},{number:04X}) where an item of a sequence begins", position)
        return tag, length

    def nested(self, element: Element) -> Structure:
        """How the items of a sequence are written: UN of undefined length holds implicit VR
        little endian whatever is around it (PS3.5 6.2.2)."""
        return IMPLICIT if element[1] == "UN" else self

    def item_structure(self, buffer: Buffer, position: int, end: int) -> Structure:
        """How the elements of an item are written, looking at the first one: some writers put
        implicit VR items into explicit VR data sets."""
        if self.implicit or position + 8 > end:
            return self
        raw = bytes(buffer[position + 4 : position + 6])
        group = bytes(buffer[position : position + 2])
        delimiter = group == (b"\xfe\xff" if self.little_endian else b"\xff\xfe")
        if delimiter or (raw.isalpha() and raw.isupper()):
            return self
        return IMPLICIT if self.little_endian else _IMPLICIT_BIG


IMPLICIT = Structure(implicit=True, little_endian=True)
_IMPLICIT_BIG = Structure(implicit=True, little_endian=False)
EXPLICIT = Structure(implicit=False, little_endian=True)
_EXPLICIT_BIG = Structure(implicit=False, little_endian=False)


def structure_of(syntax: TransferSyntax) -> Structure:
    """The structure of data sets of a transfer syntax."""
    if syntax.implicit_vr:
        return IMPLICIT
    return EXPLICIT if syntax.little_endian else _EXPLICIT_BIG


def head(structure: Structure, tag: int, vr: str, length: int) -> bytes:
    """What stands before a value; a value too long for its VR becomes UN (PS3.5 6.2.2)."""
    group, number = tag >> 16, tag & 0xFFFF
    if structure.implicit:
        return struct.pack(f"{structure.order}HHI", group, number, length)
    if vr in SHORT_VRS and length <= _SHORT_MAX:
        return struct.pack(f"{structure.order}HH2sH", group, number, vr.encode(), length)
    if vr not in LONG_VRS:
        vr = "UN"
    return struct.pack(f"{structure.order}HH2s2xI", group, number, vr.encode(), length)


def head_of_item(structure: Structure, length: int) -> bytes:
    """The item tag and the length of what follows."""
    return struct.pack(f"{structure.order}HHI", ITEM >> 16, ITEM & 0xFFFF, length)


def broken(what: str, position: int) -> Unprocessable:
    """The data set cannot be read at a place."""
    return Unprocessable(
        f"data set is broken at byte {position}: {what}",
        fix="send the object again as its creator wrote it",
    )


def too_deep(limit: int, position: int) -> Unprocessable:
    """Sequences are nested deeper than the limit."""
    return Unprocessable(
        f"sequences are nested more than {limit} deep at byte {position}",
        fix="raise the depth limit of ingest if this object is meant to be so",
    )


def is_sequence(element: Element) -> bool:
    """Whether the value consists of items with elements in them, not of bytes or fragments.
    UN of undefined length is a sequence (PS3.5 6.2.2)."""
    return element[1] == "SQ" or (element[1] == "UN" and element[2] == UNDEFINED)


def skip(buffer: Buffer, element: Element, end: int, structure: Structure, max_depth: int) -> int:
    """The position behind an element's value, having walked all that is nested in it.

    Raises `Truncated` (as if the buffer might go on), `Unprocessable`.
    """
    _, _, length, value = element
    if not is_sequence(element):
        if length == UNDEFINED:
            return _skip_fragments(buffer, value, end, structure)
        if value + length > end:
            raise Truncated(value + length)
        return value + length
    return _Walk(buffer, end, max_depth).sequence(element, structure)


def _skip_fragments(buffer: Buffer, position: int, end: int, structure: Structure) -> int:
    while True:
        tag, length = structure.item(buffer, position, end)
        position += 8
        if tag == SEQUENCE_DELIMITER:
            return position
        if length == UNDEFINED:
            raise broken("a fragment of undefined length", position - 8)
        if position + length > end:
            raise Truncated(position + length)
        position += length


class _Walk:
    """Walks a sequence with a stack of its own: depth is data, not recursion."""

    def __init__(self, buffer: Buffer, end: int, max_depth: int) -> None:
        self._buffer = buffer
        self._end = end
        self._max_depth = max_depth
        # What encloses the current position: (inside an item, where it stops or -1, structure).
        self._stack: list[tuple[bool, int, Structure]] = []

    def sequence(self, element: Element, structure: Structure) -> int:
        """The position behind the sequence."""
        position = self._enter(element, structure)
        while self._stack:
            in_item, stop, inner = self._stack[-1]
            if stop >= 0 and position >= stop:
                if position > stop:
                    raise broken("a value reaches behind the item that holds it", position)
                self._stack.pop()
            elif in_item:
                position = self._element(position, stop, inner)
            else:
                position = self._item(position, stop, inner)
        return position

    def _enter(self, element: Element, structure: Structure) -> int:
        _, _, length, value = element
        if len(self._stack) >= 2 * self._max_depth:
            raise too_deep(self._max_depth, value)
        stop = -1 if length == UNDEFINED else value + length
        self._check(stop, value)
        self._stack.append((False, stop, structure.nested(element)))
        return value

    def _check(self, stop: int, position: int) -> None:
        if stop < 0:
            return
        for _, outer, _ in reversed(self._stack):
            if outer >= 0:
                if stop > outer:
                    raise broken("a length reaches behind what encloses it", position)
                break
        if stop > self._end:
            raise Truncated(stop)

    def _item(self, position: int, stop: int, structure: Structure) -> int:
        tag, length = structure.item(self._buffer, position, self._end)
        position += 8
        if tag == SEQUENCE_DELIMITER:
            # Also tolerated where the length was defined: it then ends early, never late.
            self._stack.pop()
            return max(position, stop)
        item_stop = -1 if length == UNDEFINED else position + length
        self._check(item_stop, position)
        inner = structure.item_structure(self._buffer, position, self._end)
        self._stack.append((True, item_stop, inner))
        return position

    def _element(self, position: int, stop: int, structure: Structure) -> int:
        element = structure.element(self._buffer, position, self._end)
        tag, _, length, value = element
        if tag == ITEM_DELIMITER:
            self._stack.pop()
            return max(value, stop)
        if tag == SEQUENCE_DELIMITER:
            raise broken("a sequence ends within an item", position)
        if is_sequence(element):
            return self._enter(element, structure)
        if length == UNDEFINED:
            return _skip_fragments(self._buffer, value, self._end, structure)
        self._check(value + length, position)
        return value + length
