"""The pixel format of a data set (PS3.3 C.7.6.3, C.7.6.5, C.11.1, C.11.2) from its attributes."""

from __future__ import annotations

import struct
from collections.abc import Callable

from isocenter.core.apis import PixelFormat
from isocenter.core.frames import number
from isocenter.core.matching import JsonAttributes

Find = Callable[[str], bytes | None]

_LUT_DESCRIPTORS = ("00281101", "00281102", "00281103")
_LUT_DATA = ("00281201", "00281202", "00281203")
# Where the functional groups of enhanced images keep them (PS3.3 C.7.6.16.2.9, .10).
_SHARED, _PER_FRAME = "52009229", "52009230"
_TRANSFORMATION, _VOI = "00289145", "00289132"


def _first(attributes: JsonAttributes, tag: str) -> object:
    values = attributes.get(tag, {}).get("Value")
    return values[0] if values else None


def _real(attributes: JsonAttributes, tag: str) -> float | None:
    value = _first(attributes, tag)
    return float(value) if isinstance(value, int | float) else None


def _group(attributes: JsonAttributes, macro: str) -> JsonAttributes:
    """A functional group macro: shared, else that of the first frame, else the data set."""
    for where in (_SHARED, _PER_FRAME):
        item = _first(attributes, where)
        found = _first(item, macro) if isinstance(item, dict) else None
        if isinstance(found, dict):
            return found
    return attributes


def pixel_format(attributes: JsonAttributes, find: Find, little_endian: bool) -> PixelFormat | None:
    """The pixel format, None if rows, columns or bits are missing.

    `find` gives the raw value of an element by its path (palettes may be bulk data).
    """
    rows, columns = number(attributes, "00280010"), number(attributes, "00280011")
    bits = number(attributes, "00280100")
    if not (rows and columns and bits):
        return None
    voi = _group(attributes, _VOI)
    transformation = _group(attributes, _TRANSFORMATION)
    photometric = str(_first(attributes, "00280004") or "MONOCHROME2")
    palette = None
    if photometric == "PALETTE COLOR":
        palette = _palette(attributes, find, little_endian)
    slope = _real(transformation, "00281053")
    return PixelFormat(
        rows=rows,
        columns=columns,
        samples_per_pixel=number(attributes, "00280002", 1),
        bits_allocated=bits,
        bits_stored=number(attributes, "00280101", bits),
        pixel_representation=number(attributes, "00280103"),
        photometric_interpretation=photometric,
        planar_configuration=number(attributes, "00280006"),
        window_center=_real(voi, "00281050"),
        window_width=_real(voi, "00281051"),
        rescale_slope=1.0 if slope is None else slope,
        rescale_intercept=_real(transformation, "00281052") or 0.0,
        palette=palette,
        palette_first=0 if palette is None else _mapped(attributes),
        voi_lut_function=str(_first(voi, "00281056") or "LINEAR"),
    )


def _mapped(attributes: JsonAttributes) -> int:
    """The first stored pixel value mapped by the palette; signed if pixels are."""
    values = attributes.get("00281101", {}).get("Value") or [0, 0, 0]
    first = int(values[1]) if len(values) > 1 else 0
    signed = number(attributes, "00280103") == 1
    return first - 65536 if signed and first > 32767 else first


def _palette(
    attributes: JsonAttributes, find: Find, little_endian: bool
) -> tuple[bytes, bytes, bytes] | None:
    """Look-up tables of 8 bits per entry (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6), None if they are
    absent or segmented."""
    tables = []
    for descriptor_tag, data_tag in zip(_LUT_DESCRIPTORS, _LUT_DATA, strict=True):
        descriptor = attributes.get(descriptor_tag, {}).get("Value")
        data = find(data_tag)
        if not descriptor or len(descriptor) != 3 or data is None:
            return None
        entries = int(descriptor[0]) or 65536
        tables.append(_eight_bits(data, entries, little_endian))
    red, green, blue = tables
    return red, green, blue


def _eight_bits(data: bytes, entries: int, little_endian: bool) -> bytes:
    if len(data) < 2 * entries:
        return data[:entries].ljust(entries, b"\0")  # entries of one byte each
    order = "<" if little_endian else ">"
    values = struct.unpack(f"{order}{entries}H", data[: 2 * entries])
    # Some writers put 8-bit values into 16-bit entries without scaling them.
    shift = 8 if max(values) > 255 else 0
    return bytes(value >> shift for value in values)
