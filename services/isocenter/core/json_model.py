"""Elements as DICOM JSON Model (PS3.18 F.2), the same as pydicom's `Dataset.to_json_dict`, but:

- group length elements (gggg,0000) are left out (PS3.18 F.2.2);
- Specific Character Set is `ISO_IR 192`: it describes the JSON, which is UTF-8 (PS3.18 F.2.1);
- an empty value among several is null (PS3.18 F.2.5), an empty component group of a person's
  name is left out;
- numbers that JSON has no form for and texts that are no number stay texts; an IS that is no
  integer is not rounded;
- values whose length does not fit their VR, and VRs that nobody knows, become UN instead of an
  error; an ambiguous VR that nothing resolves becomes OW;
- a sequence inside UN of defined length that cannot be read stays UN.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any

from isocenter.core.charset import DEFAULT_CHARSET, Charset
from isocenter.core.dictionary import (
    ITEM_DELIMITER,
    PIXEL_TAGS,
    SEQUENCE_DELIMITER,
    UNDEFINED,
    private_vr,
    standard_vr,
)
from isocenter.core.elements import (
    IMPLICIT,
    Element,
    Structure,
    Truncated,
    broken,
    skip,
    structure_of,
    too_deep,
)
from isocenter.core.errors import Unprocessable
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.matching import JsonAttributes
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import lookup
from isocenter.core.values import BINARY_VRS, CONVERTERS

INLINE_LIMIT = 1024  # longer binary values become bulk data, bytes

_CHARSET = 0x00080005
_PIXEL_REPRESENTATION = "00280103"
_LUT_DESCRIPTOR = "00283002"
_LUT_DESCRIPTORS = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00283002))
_LUT_DATA = 0x00283006


def to_json(
    header: Buffer, transfer_syntax: str, bulk_base: str = "", max_depth: int = MAX_DEPTH
) -> JsonAttributes:
    """The attributes of a run of whole elements (a header, or what follows Pixel Data).

    Binary values longer than `INLINE_LIMIT` become `{"BulkDataURI": bulk_base + path}`; `path`
    is the element's place: `00281201`, or `52009229/0/00289145/...` inside sequences (item
    numbers from 0). Pixel data is always bulk data. Values that do not fit their VR never
    raise; broken structure does (`Unprocessable`).
    """
    data = bytes(header)
    reader = _Reader(data, bulk_base, max_depth)
    level = _Level({}, structure_of(lookup(transfer_syntax)), DEFAULT_CHARSET, "", 0, None)
    try:
        reader.read(level, 0, len(data))
    except Truncated as error:
        raise broken(f"it is cut off: {error.needed} bytes are needed", len(data)) from error
    reader.resolve()
    return level.attributes


class _Level:
    """One data set or item being read."""

    __slots__ = (
        "attributes", "charset", "creators", "depth", "order", "parent", "path", "structure",
    )  # fmt: skip

    def __init__(
        self,
        attributes: JsonAttributes,
        structure: Structure,
        charset: Charset,
        path: str,
        depth: int,
        parent: _Level | None,
    ) -> None:
        self.attributes = attributes
        self.structure = structure
        self.order = structure.order
        self.charset = charset
        self.path = path
        self.depth = depth
        self.parent = parent
        self.creators: dict[int, str] = {}

    def inner(self, structure: Structure, path: str) -> _Level:
        """An item of a sequence of this level; it inherits the character set (PS3.5 7.5.3)."""
        return _Level({}, structure, self.charset, path, self.depth + 1, self)

    def pixel_representation(self) -> int:
        """The nearest one, 0 if there is none."""
        level: _Level | None = self
        while level is not None:
            values = level.attributes.get(_PIXEL_REPRESENTATION, {}).get("Value")
            if values:
                return int(values[0])
            level = level.parent
        return 0


@dataclass(frozen=True, slots=True)
class _Ambiguous:
    """A value whose VR depends on elements that may come later."""

    level: _Level
    tag: int
    vr: str
    raw: bytes


class _Reader:
    """One conversion: the bytes, and the ambiguous values to be resolved at the end."""

    def __init__(self, data: bytes, bulk_base: str, max_depth: int) -> None:
        self._data = data
        self._bulk_base = bulk_base
        self._max_depth = max_depth
        self._ambiguous: list[_Ambiguous] = []

    def read(self, level: _Level, position: int, end: int) -> int:
        """Read the elements of a level; answers with the position behind them."""
        data = self._data
        element_at = level.structure.element
        while position < end:
            element = element_at(data, position, end)
            tag, vr, length, value = element
            if vr == "UN" or vr == "":
                if tag == ITEM_DELIMITER:
                    return value
                if tag == SEQUENCE_DELIMITER:
                    raise broken("a delimiter where an element begins", position)
                vr = _known_vr(level, tag, length)
            if vr == "SQ" or length == UNDEFINED:
                position = self._nested(level, element, vr, end)
                continue
            position = value + length
            if position > end:
                raise Truncated(position)
            if tag & 0xFFFF:
                self._simple(level, tag, vr, data[value:position])
        return position

    def _simple(self, level: _Level, tag: int, vr: str, raw: bytes) -> None:
        convert = CONVERTERS.get(vr)
        if convert is None:
            self._binary(level, tag, vr, raw)
            return
        try:
            values = convert(raw, level.charset, level.order)
        except struct.error:
            self._binary(level, tag, "UN", raw)
            return
        if tag == _CHARSET:
            level.charset = Charset.of(values)
            values = ["ISO_IR 192"] if values else values
        elif tag in _LUT_DESCRIPTORS:
            _fix_descriptor(values)
        elif tag & 0x1FF00 == 0x10000 and values:
            level.creators[tag] = str(values[0])
        level.attributes[f"{tag:08X}"] = {"vr": vr, "Value": values} if values else {"vr": vr}

    def _binary(self, level: _Level, tag: int, vr: str, raw: bytes) -> None:
        key = f"{tag:08X}"
        entry: dict[str, Any] = {"vr": vr}
        level.attributes[key] = entry
        if vr not in BINARY_VRS:
            entry["vr"] = "OW"
            self._ambiguous.append(_Ambiguous(level, tag, vr, raw))
        if len(raw) > INLINE_LIMIT or tag in PIXEL_TAGS:
            entry["BulkDataURI"] = f"{self._bulk_base}{level.path}{key}"
        elif raw:
            entry["InlineBinary"] = base64.b64encode(raw).decode("ascii")

    def _nested(self, level: _Level, element: Element, vr: str, end: int) -> int:
        """A sequence, or fragments."""
        tag, written, length, value = element
        if vr != "SQ" and written != "UN":
            stop = skip(self._data, element, end, level.structure, self._max_depth)
            self._binary(
                level, tag, "OB" if tag in PIXEL_TAGS else vr, self._data[value : stop - 8]
            )
            return stop
        if written == "UN" and length != UNDEFINED:
            return self._sequence_in_un(level, element, end)
        structure = level.structure.nested(element)
        items, position = self._items(level, tag, value, length, end, structure)
        _put_sequence(level, tag, items)
        return position

    def _sequence_in_un(self, level: _Level, element: Element, end: int) -> int:
        """A sequence that someone who did not know it wrote as UN; bytes if it is none."""
        tag, _, length, value = element
        stop = value + length
        if stop > end:
            raise Truncated(stop)
        try:
            items, _ = self._items(level, tag, value, length, end, IMPLICIT)
        except (Unprocessable, Truncated):
            self._binary(level, tag, "UN", self._data[value:stop])
        else:
            _put_sequence(level, tag, items)
        return stop

    def _items(
        self, level: _Level, tag: int, position: int, length: int, end: int, structure: Structure
    ) -> tuple[list[JsonAttributes], int]:
        if level.depth >= self._max_depth:
            raise too_deep(self._max_depth, position)
        stop = end if length == UNDEFINED else position + length
        if stop > end:
            raise Truncated(stop)
        items: list[JsonAttributes] = []
        while position < stop:
            item_tag, item_length = structure.item(self._data, position, stop)
            position += 8
            if item_tag == SEQUENCE_DELIMITER:
                return items, position if length == UNDEFINED else stop
            inner = level.inner(
                structure.item_structure(self._data, position, stop),
                f"{level.path}{tag:08X}/{len(items)}/",
            )
            item_stop = stop if item_length == UNDEFINED else position + item_length
            if item_stop > stop:
                raise broken("a length reaches behind what encloses it", position)
            position = self.read(inner, position, item_stop)
            if item_length != UNDEFINED:
                position = item_stop
            items.append(inner.attributes)
        if length == UNDEFINED:
            raise Truncated(position + 8)
        return items, position

    def resolve(self) -> None:
        """Decide ambiguous VRs (PS3.5 A.1, PS3.3 C.11.1.1.1) now that everything is known."""
        for value in self._ambiguous:
            attributes = value.level.attributes
            vr = "OW"
            if value.tag == _LUT_DATA:
                descriptor = attributes.get(_LUT_DESCRIPTOR, {}).get("Value")
                vr = "US" if descriptor and descriptor[0] == 1 else "OW"
            elif value.vr == "US or SS":
                vr = "SS" if value.level.pixel_representation() else "US"
            if vr == "OW":
                continue
            try:
                numbers = CONVERTERS[vr](value.raw, value.level.charset, value.level.order)
            except struct.error:
                continue
            if value.tag in _LUT_DESCRIPTORS:
                _fix_descriptor(numbers)
            key = f"{value.tag:08X}"
            attributes[key] = {"vr": vr, "Value": numbers} if numbers else {"vr": vr}


def _known_vr(level: _Level, tag: int, length: int) -> str:
    """The VR of an element written as UN or without one."""
    if tag >> 16 & 1:
        if tag & 0xFF00 == 0 and tag & 0xF0:
            return "LO"
        creator = level.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        return private_vr(tag, creator) if creator else "UN"
    return standard_vr(tag) if length < 0xFFFF or length == UNDEFINED else "UN"


def _put_sequence(level: _Level, tag: int, items: list[JsonAttributes]) -> None:
    level.attributes[f"{tag:08X}"] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _fix_descriptor(values: list[Any]) -> None:
    """The first value of a LUT descriptor is never negative, whatever its VR says."""
    if values and values[0] < 0:
        values[0] += 65536
