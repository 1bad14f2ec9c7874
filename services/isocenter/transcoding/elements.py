"""Data elements from one VR form and byte order to another, value by value (PS3.5 section 7).

Values are carried over as bytes, so whatever a sender wrote stays what it was: only lengths, VRs
and the byte order of binary values change. Group lengths are left out (PS3.5 7.2), sequences
get defined lengths.
"""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.dictionary import (
    ITEM_DELIMITER,
    SEQUENCE_DELIMITER,
    UNDEFINED,
)
from isocenter.core.elements import (
    Element,
    Structure,
    Truncated,
    broken,
    head,
    head_of_item,
    is_sequence,
    skip,
    too_deep,
)
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.ports import Buffer
from isocenter.transcoding.codecs import swap

# Bytes of the binary numbers in a value (PS3.5 table 7.1-1); AT is pairs of 16 bits.
_WORDS: Mapping[str, int] = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2,
    "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip
_PIXEL_REPRESENTATION = 0x00280103
_LUT_DATA = 0x00283006


class Rewriter:
    """Writes elements of one structure as another's."""

    def __init__(self, source: Structure, target: Structure) -> None:
        self._source = source
        self._target = target
        self._signed = False

    def rewrite(
        self, data: Buffer, replaced: Mapping[int, bytes], left_out: frozenset[int]
    ) -> bytes:
        """A run of whole elements. `replaced` holds new values (in the target's byte order) of
        elements of the top level that are there. Raises `Unprocessable`."""
        buffer = bytes(data)
        try:
            written, _ = self._elements(
                buffer, 0, len(buffer), self._source, 0, (replaced, left_out)
            )
        except Truncated as error:
            raise broken(f"it is cut off: {error.needed} bytes are needed", len(buffer)) from error
        return written

    def _elements(
        self,
        buffer: bytes,
        position: int,
        end: int,
        structure: Structure,
        depth: int,
        edits: tuple[Mapping[int, bytes], frozenset[int]] = ({}, frozenset()),
    ) -> tuple[bytes, int]:
        """The elements of a data set or item, and the position behind it."""
        if depth > MAX_DEPTH:
            raise too_deep(MAX_DEPTH, position)
        replaced, left_out = edits
        parts: list[bytes] = []
        while position < end:
            element = structure.element(buffer, position, end)
            tag, vr, length, value = element
            if tag == ITEM_DELIMITER:
                return b"".join(parts), value
            if is_sequence(element) or (length == UNDEFINED and not vr):
                written, position = self._sequence(buffer, element, end, structure, depth)
                parts.append(written)
                continue
            position = skip(buffer, element, end, structure, MAX_DEPTH)
            if length == UNDEFINED:
                raise broken("fragments outside Pixel Data", value)
            if not tag & 0xFFFF or tag in left_out:
                continue
            parts.append(self._plain(tag, vr, buffer[value:position], structure, replaced.get(tag)))
        return b"".join(parts), position

    def _plain(
        self, tag: int, vr: str, value: bytes, structure: Structure, replacement: bytes | None
    ) -> bytes:
        vr = self._resolved(tag, vr, value)
        if tag == _PIXEL_REPRESENTATION:
            self._signed = any(value)
        if replacement is not None:
            value = replacement
        elif structure.little_endian != self._target.little_endian:
            value = swapped(value, vr)
        return head(self._target, tag, vr, len(value)) + value

    def _resolved(self, tag: int, vr: str, value: bytes) -> str:
        """The VR where the dictionary leaves a choice (PS3.6, PS3.5 A.1)."""
        if len(vr) == 2:
            return vr
        if "OB" in vr:
            return "OW"
        if "OW" in vr and tag == _LUT_DATA and len(value) > 2:
            return "OW"
        return "SS" if self._signed and "SS" in vr else "US"

    def _sequence(
        self, buffer: bytes, element: Element, end: int, structure: Structure, depth: int
    ) -> tuple[bytes, int]:
        tag, vr, length, position = element
        inner = structure.nested(element)
        if vr == "UN" and not self._target.implicit:
            # Items in UN are implicit VR little endian in every explicit syntax: as they are.
            stop = skip(buffer, element, end, structure, MAX_DEPTH)
            return head(self._target, tag, "UN", UNDEFINED) + buffer[position:stop], stop
        stop = end if length == UNDEFINED else position + length
        items: list[bytes] = []
        while position < stop:
            item, item_length = inner.item(buffer, position, stop)
            position += 8
            if item == SEQUENCE_DELIMITER:
                break
            item_stop = stop if item_length == UNDEFINED else position + item_length
            if item_stop > stop:
                raise Truncated(item_stop)
            form = inner.item_structure(buffer, position, stop)
            written, position = self._elements(buffer, position, item_stop, form, depth + 1)
            items.append(head_of_item(self._target, len(written)) + written)
        content = b"".join(items)
        return head(self._target, tag, "SQ", len(content)) + content, position


def swapped(value: bytes, vr: str) -> bytes:
    """A value in the other byte order; one whose length does not fit its VR stays as it is."""
    word = _WORDS.get(vr, 1)
    return value if len(value) % word else swap(value, word)
