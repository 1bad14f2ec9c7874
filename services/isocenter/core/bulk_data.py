"""Data sets without bulk data, for Composite Instance Retrieve Without Bulk Data (PS3.4 Z.1.3).

Everything else stays byte for byte, private attributes too; only Waveform Sequence (5400,0100) is
written anew, without the Waveform Data (5400,1010) of its items.
"""

from __future__ import annotations

import struct

from isocenter.core.dictionary import ITEM_DELIMITER, SEQUENCE_DELIMITER, UNDEFINED
from isocenter.core.elements import (
    Element,
    Structure,
    Truncated,
    broken,
    head,
    head_of_item,
    skip,
    structure_of,
)
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import lookup

# PS3.4 table Z.1-1, at the top level of the data set.
LEFT_OUT = frozenset(
    {
        0x7FE00010,  # Pixel Data
        0x7FE00008,  # Float Pixel Data
        0x7FE00009,  # Double Float Pixel Data
        0x00287FE0,  # Pixel Data Provider URL
        0x56000020,  # Spectroscopy Data
        0x00420011,  # Encapsulated Document
    }
)
LEFT_OUT_OF_GROUPS = frozenset(
    {
        0x60003000,  # Overlay Data, of all groups 60xx
        0x50003000,  # Curve Data, of all groups 50xx
        0x5000200C,  # Audio Sample Data, likewise
    }
)
WAVEFORM_SEQUENCE, WAVEFORM_DATA = 0x54000100, 0x54001010
_REPEATED = 0xFF01FFFF  # all of the tag but what differs between groups xx00 and xxFE


def is_bulk(tag: int) -> bool:
    """Whether an element of the top level is left out."""
    return tag in LEFT_OUT or tag & _REPEATED in LEFT_OUT_OF_GROUPS


class WithoutBulkData:
    """Takes a data set in chunks and gives back what is left of it.

    Bulk data is never held in memory; of the rest one element at a time is. For deflated transfer
    syntaxes the chunks are those after inflation.
    """

    def __init__(self, transfer_syntax: str) -> None:
        self._structure = structure_of(lookup(transfer_syntax))
        self._buffer = bytearray()
        self._needed = 0  # bytes in the buffer before another try is worth it
        self._dropping = 0  # bytes still to be dropped
        self._fragments = False  # what comes is a fragment, or the end of them

    def feed(self, chunk: Buffer) -> bytes:
        """The next chunk. Raises `Unprocessable` for what is no data set."""
        self._buffer += chunk
        return self._kept() if len(self._buffer) >= self._needed else b""

    def end(self) -> bytes:
        """There are no more chunks. Raises `Unprocessable` if the data set is cut off."""
        kept = self._kept()
        if self._buffer or self._dropping or self._fragments:
            raise broken("it is cut off", len(self._buffer))
        return kept

    def _kept(self) -> bytes:
        out: list[bytes] = []
        position, end = 0, len(self._buffer)
        self._needed = 0
        with memoryview(self._buffer) as view:
            try:
                while position < end:
                    position = self._step(view, position, end, out)
            except Truncated as error:
                # At least twice as much: so no sequence is walked again and again.
                rest = end - position
                self._needed = max(error.needed - position, 2 * rest)
        del self._buffer[:position]
        return b"".join(out)

    def _step(self, view: memoryview, position: int, end: int, out: list[bytes]) -> int:
        """Where to go on."""
        if self._dropping:
            dropped = min(self._dropping, end - position)
            self._dropping -= dropped
            return position + dropped
        if self._fragments:
            tag, length = self._structure.item(view, position, end)
            self._fragments = tag != SEQUENCE_DELIMITER
            self._dropping = length if self._fragments else 0
            return position + 8
        element = self._structure.element(view, position, end)
        tag, _, length, value = element
        if is_bulk(tag):
            self._fragments = length == UNDEFINED
            self._dropping = 0 if self._fragments else length
            return value
        after = skip(view, element, end, self._structure, MAX_DEPTH)
        whole = view[position:after]
        kept = tag != WAVEFORM_SEQUENCE
        out.append(bytes(whole) if kept else _waveforms(view, element, after, self._structure))
        return after


def _waveforms(view: memoryview, element: Element, after: int, structure: Structure) -> bytes:
    """The sequence without the data of its items, in undefined length."""
    tag, vr, length, position = element
    inner = structure.nested(element)
    items: list[bytes] = []
    stop = after if length == UNDEFINED else position + length
    while position < stop:
        item, length = inner.item(view, position, stop)
        position += 8
        if item == SEQUENCE_DELIMITER:
            break
        own = inner.item_structure(view, position, stop)
        position, kept = _item(view, position, stop, length, own)
        items.append(head_of_item(inner, len(kept)) + kept)
    group, number = SEQUENCE_DELIMITER >> 16, SEQUENCE_DELIMITER & 0xFFFF
    delimiter = struct.pack(f"{inner.order}HHI", group, number, 0)
    return head(structure, tag, vr, UNDEFINED) + b"".join(items) + delimiter


def _item(
    view: memoryview, position: int, stop: int, length: int, structure: Structure
) -> tuple[int, bytes]:
    """The position behind an item, and its elements but the one left out."""
    stop = stop if length == UNDEFINED else position + length
    kept = bytearray()
    while position < stop:
        element = structure.element(view, position, stop)
        if element[0] == ITEM_DELIMITER:
            return element[3], bytes(kept)
        after = skip(view, element, stop, structure, MAX_DEPTH)
        if element[0] != WAVEFORM_DATA:
            kept += view[position:after]
        position = after
    return position, bytes(kept)
