"""What a codestream says about itself, read before any decoder allocates memory for it.

JPEG and JPEG-LS: the frame header (ITU-T T.81 B.2.2, T.87 C.2.2). JPEG 2000 and HTJ2K: the SIZ
marker segment (T.800 A.5.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from isocenter.core.errors import Unprocessable

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
EOI = b"\xff\xd9"  # ends every JPEG and JPEG-LS codestream
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOS = 0xDA
_EOI = 0xD9
_APP0 = 0xE0
_APP14 = 0xEE
# All frame headers: SOF0 to SOF15 without DHT, JPG and DAC, and SOF55 of JPEG-LS.
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True, slots=True)
class Codestream:
    """Dimensions of a codestream, and what says how its colours are meant."""

    rows: int
    columns: int
    components: int
    precision: int  # bits of a sample
    signed: bool = False
    adobe_transform: int | None = None  # APP14: 0 none, 1 YCbCr, 2 YCCK; None: no such segment
    jfif: bool = False


def jpeg(data: bytes) -> Codestream:
    """The frame header of a JPEG or JPEG-LS codestream. Raises `Unprocessable`."""
    position = data.find(b"\xff\xd8")
    # Some encoders leave a few bytes before SOI; anything more is no codestream.
    if not 0 <= position <= 16:
        raise broken("no SOI marker at its beginning")
    position += 2
    jfif = False
    adobe: int | None = None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise broken(f"no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (_SOS, _EOI):
            break
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        if length < 2 or len(segment) != length - 2:
            break
        if marker in _FRAME_HEADERS:
            return _frame_header(segment, adobe, jfif)
        if marker == _APP0 and segment.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
            adobe = segment[11]
        position += 2 + length
    raise broken("it ends before its frame header")


def _frame_header(segment: bytes, adobe: int | None, jfif: bool) -> Codestream:
    if len(segment) < 6:
        raise broken("its frame header is too short")
    precision, rows, columns, components = struct.unpack_from(">BHHB", segment)
    return Codestream(rows, columns, components, precision, adobe_transform=adobe, jfif=jfif)


def jpeg_2000(data: bytes) -> Codestream:
    """The SIZ marker segment of a JPEG 2000 or HTJ2K codestream. Raises `Unprocessable`."""
    start = 0
    if data.startswith(_JP2_SIGNATURE):
        # PS3.5 A.4.4 forbids the JP2 file format, but such objects exist.
        start = data.find(_SOC_SIZ)
    if start < 0 or data[start : start + 4] != _SOC_SIZ:
        raise broken("no SOC and SIZ markers at its beginning")
    if len(data) < start + 43:
        raise broken("it ends within its SIZ segment")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    depth = data[start + 42]
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
    )


def broken(what: str) -> Unprocessable:
    """A codestream cannot be read."""
    return Unprocessable(
        f"the codestream of a frame cannot be read: {what}",
        fix="send the object again, or in another transfer syntax",
    )
