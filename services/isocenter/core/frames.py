"""Where the frames of an object are: a table small enough to be kept beside the metadata.

Offsets are bytes from the beginning of the Part 10 file, frames are numbered from 1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from isocenter.core.errors import Corrupted
from isocenter.core.matching import JsonAttributes

_FRAGMENT = struct.Struct("<QQ")
_INDEX = struct.Struct("<I")
_NATIVE = struct.Struct("<cQQI")
_ENCAPSULATED = struct.Struct("<cI")

# PS3.3 C.7.6.3.1.2: two pixels share their colour differences, so a pixel has two samples.
_SUBSAMPLED = frozenset(("YBR_FULL_422", "YBR_PARTIAL_422"))
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """Native pixel data (PS3.5 8.1): frames of equal size, one after another."""

    offset: int  # of the first frame
    frame_bits: int  # of one frame; frames of single-bit pixels need not begin at a byte
    count: int

    def ranges(self, number: int) -> list[tuple[int, int]]:
        """Offset and length of the bytes that hold a frame."""
        begin = (number - 1) * self.frame_bits
        first, last = begin // 8, (begin + self.frame_bits + 7) // 8
        return [(self.offset + first, last - first)]

    def cut(self, number: int, data: bytes) -> bytes:
        """The frame out of the bytes of its range: single-bit pixels are moved so that the first
        one is the lowest bit of the first byte (PS3.5 8.1.1)."""
        if self.frame_bits % 8 == 0:
            return data
        shift = (number - 1) * self.frame_bits % 8
        bits = int.from_bytes(data, "little") >> shift & (1 << self.frame_bits) - 1
        return bits.to_bytes((self.frame_bits + 7) // 8, "little")


@dataclass(frozen=True, slots=True)
class EncapsulatedFrames:
    """Encapsulated pixel data (PS3.5 A.4): the fragments of each frame."""

    fragments: bytes  # per fragment: offset and length, 8 bytes little endian each
    ends: bytes  # per frame: number of fragments up to its end, 4 bytes little endian

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.ends) // _INDEX.size

    def ranges(self, number: int) -> list[tuple[int, int]]:
        """Offset and length of each fragment of a frame."""
        first = 0 if number == 1 else _INDEX.unpack_from(self.ends, (number - 2) * 4)[0]
        last = _INDEX.unpack_from(self.ends, (number - 1) * 4)[0]
        part = self.fragments[first * _FRAGMENT.size : last * _FRAGMENT.size]
        return list(_FRAGMENT.iter_unpack(part))

    def cut(self, number: int, data: bytes) -> bytes:
        """The frame out of its fragments: as it is."""
        del number
        return data


FrameTable = NativeFrames | EncapsulatedFrames


def encode_table(table: FrameTable | None) -> bytes:
    """A compact form; `decode_table` reads it back."""
    match table:
        case NativeFrames():
            return _NATIVE.pack(b"N", table.offset, table.frame_bits, table.count)
        case EncapsulatedFrames():
            return _ENCAPSULATED.pack(b"E", table.count) + table.ends + table.fragments
        case None:
            return b""


def decode_table(data: bytes) -> FrameTable | None:
    """Raises `Corrupted`."""
    kind = data[:1]
    if not kind:
        return None
    if kind == b"N" and len(data) == _NATIVE.size:
        return NativeFrames(*_NATIVE.unpack(data)[1:])
    if kind == b"E" and len(data) >= _ENCAPSULATED.size:
        split = _ENCAPSULATED.size + _ENCAPSULATED.unpack_from(data)[1] * _INDEX.size
        table = EncapsulatedFrames(data[split:], data[_ENCAPSULATED.size : split])
        last = table.ends[-_INDEX.size :]
        if last and _INDEX.unpack(last)[0] * _FRAGMENT.size == len(table.fragments):
            return table
    raise Corrupted("a frame table cannot be read back", fix="rebuild the metadata packs")


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """What the attributes say about frames."""

    count: int  # Number of Frames (0028,0008), at least 1
    frame_bits: int  # of a native frame; 0 if the attributes do not say


def number(attributes: JsonAttributes, tag: str, default: int = 0) -> int:
    """The first value of an element if it is an integer."""
    values = attributes.get(tag, {}).get("Value")
    first = values[0] if values else None
    return first if isinstance(first, int) else default


def pixel_layout(attributes: JsonAttributes, pixel_tag: int) -> PixelLayout:
    """The layout that a data set with this pixel data element says it has."""
    samples = number(attributes, "00280002", 1)
    photometric = attributes.get("00280004", {}).get("Value", [""])[0]
    if photometric in _SUBSAMPLED and samples == 3:
        samples = 2
    bits = _FLOAT_BITS.get(pixel_tag) or number(attributes, "00280100")
    pixels = number(attributes, "00280010") * number(attributes, "00280011")
    return PixelLayout(
        count=max(1, number(attributes, "00280008", 1)),
        frame_bits=max(0, pixels * samples * bits),
    )
