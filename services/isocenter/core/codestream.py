"""What a codestream says about itself, read before any decoder allocates memory for it.

JPEG and JPEG-LS: the frame and scan headers (ITU-T T.81 B.2.2 and B.2.3, T.87 C.2.2 and C.2.3).
JPEG 2000 and HTJ2K: the SIZ, COD and CAP marker segments (T.800 A.5.1 and A.6.1, T.814 A.3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from isocenter.core.errors import Unprocessable

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
EOI = b"\xff\xd9"  # ends every JPEG and JPEG-LS codestream
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOD_SOT = (0x93, 0x90)
_COD, _CAP = 0x52, 0x50
_HIGH_THROUGHPUT = 1 << 17  # Pcap15: capabilities of T.814 (Part 15)
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
    process: int = 0  # JPEG family: the marker of the frame header, 0xC0 for SOF0
    identifiers: bytes = b""  # JPEG family: of the components
    subsampled: bool = False  # components have different sizes


@dataclass(frozen=True, slots=True)
class WaveletCoding:
    """How a JPEG 2000 or HTJ2K codestream is coded."""

    reversible: bool  # the 5-3 wavelet: nothing is lost, if nothing is cut off
    multi_component: bool  # the first three components are transformed together (RCT, ICT)
    progression: int  # 0 LRCP, 1 RLCP, 2 RPCL, 3 PCRL, 4 CPRL
    high_throughput: bool


def jpeg(data: bytes) -> Codestream:
    """The frame header of a JPEG or JPEG-LS codestream. Raises `Unprocessable`."""
    jfif = False
    adobe: int | None = None
    for marker, segment in _segments(data):
        if marker in _FRAME_HEADERS:
            return _frame_header(marker, segment, adobe, jfif)
        if marker == _SOS:
            break
        if marker == _APP0 and segment.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
            adobe = segment[11]
    raise broken("it ends before its frame header")


def jpeg_selector(data: bytes) -> int:
    """Of the first scan header: the predictor of lossless JPEG (its Ss), NEAR of JPEG-LS, which
    stands in the same place. Raises `Unprocessable`."""
    for marker, segment in _segments(data):
        if marker == _SOS and segment and len(segment) >= 4 + 2 * segment[0]:
            return segment[1 + 2 * segment[0]]
    raise broken("it ends before its scan header")


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The marker segments of a JPEG or JPEG-LS codestream, up to the first scan header, as far as
    they are there."""
    position = data.find(b"\xff\xd8")
    # Some encoders leave a few bytes before SOI; anything more is no codestream.
    if not 0 <= position <= 16:
        raise broken("no SOI marker at its beginning")
    position += 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise broken(f"no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        if marker == _EOI or length < 2 or len(segment) != length - 2:
            return
        yield marker, segment
        if marker == _SOS:
            return
        position += 2 + length


def _frame_header(marker: int, segment: bytes, adobe: int | None, jfif: bool) -> Codestream:
    if len(segment) < 6:
        raise broken("its frame header is too short")
    precision, rows, columns, components = struct.unpack_from(">BHHB", segment)
    sampling = segment[7 : 6 + 3 * components : 3]
    return Codestream(
        rows,
        columns,
        components,
        precision,
        adobe_transform=adobe,
        jfif=jfif,
        process=marker,
        identifiers=segment[6 : 6 + 3 * components : 3],
        subsampled=len(set(sampling)) > 1,
    )


def jpeg_2000(data: bytes) -> Codestream:
    """The SIZ marker segment of a JPEG 2000 or HTJ2K codestream. Raises `Unprocessable`."""
    start = jpeg_2000_start(data)
    if len(data) < start + 43:
        raise broken("it ends within its SIZ segment")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    depth = data[start + 42]
    sizes = data[start + 42 : start + 42 + 3 * components]
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        subsampled=len({sizes[n : n + 3] for n in range(0, len(sizes), 3)}) > 1,
    )


def jpeg_2000_start(data: bytes) -> int:
    """Where the codestream begins: not at 0 in the JP2 file format, which PS3.5 A.4.4 forbids, but
    such objects exist. Raises `Unprocessable`."""
    start = data.find(_SOC_SIZ) if data.startswith(_JP2_SIGNATURE) else 0
    if start < 0 or data[start : start + 4] != _SOC_SIZ:
        raise broken("no SOC and SIZ markers at its beginning")
    return start


def jpeg_2000_coding(data: bytes) -> WaveletCoding:
    """The main header's COD and CAP marker segments. Raises `Unprocessable`."""
    position = jpeg_2000_start(data) + 2
    high_throughput = False
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        if marker in _SOD_SOT or length < 2 or len(segment) != length - 2:
            break
        if marker == _CAP and len(segment) >= 4:
            high_throughput = bool(int.from_bytes(segment[:4], "big") & _HIGH_THROUGHPUT)
        if marker == _COD and len(segment) >= 10:
            return WaveletCoding(
                reversible=segment[9] == 1,
                multi_component=segment[4] == 1,
                progression=segment[1],
                high_throughput=high_throughput,
            )
        position += 2 + length
    raise broken("it ends before its COD segment")


def broken(what: str) -> Unprocessable:
    """A codestream cannot be read."""
    return Unprocessable(
        f"the codestream of a frame cannot be read: {what}",
        fix="send the object again, or in another transfer syntax",
    )
