"""The headers of videos, written by the tables of their standards: no picture is in them."""

from __future__ import annotations

import struct


def mpeg2(
    columns: int = 1920, rows: int = 1080, *, profile_and_level: int = 0x44, chroma: int = 1
) -> bytes:
    """A sequence header and its extension (ITU-T H.262 6.2.2.1 and 6.2.2.3), behind a pack header
    as in a program stream."""
    sizes = (columns & 0xFFF) << 12 | rows & 0xFFF
    header = b"\x00\x00\x01\xb3" + sizes.to_bytes(3, "big") + bytes(5)
    extension = (
        1 << 28
        | profile_and_level << 20
        | chroma << 17
        | (columns >> 12) << 15
        | (rows >> 12) << 13
        | 1
    )
    extended = b"\x00\x00\x01\xb5" + extension.to_bytes(4, "big") + bytes(2)
    return b"\x00\x00\x01\xba" + bytes(10) + header + extended + b"\x00\x00\x01\x00" + bytes(20)


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", len(data) + 8, kind) + data


def _full(kind: bytes, *content: bytes) -> bytes:
    return _box(kind, bytes(4), *content)


def mp4(
    columns: int = 640,
    rows: int = 480,
    *,
    entry: bytes = b"avc1",
    profile: int = 100,
    level: int = 41,
    frames: int = 25,
    movie_last: bool = False,
) -> bytes:
    """A file with an audio and a video track (ISO/IEC 14496-12 and -15)."""
    if entry.startswith(b"avc"):
        config = _box(b"avcC", bytes([1, profile, 0, level, 0xFF, 0xE0, 0]), bytes(20))
    else:
        config = _box(b"hvcC", bytes([1, profile]), bytes(10), bytes([level]), bytes(10))
    visual = bytes(6) + b"\0\1" + bytes(16) + struct.pack(">HH", columns, rows) + bytes(50)
    sample = _box(entry, visual, config)
    tables = (
        _full(b"stsd", struct.pack(">I", 1), sample),
        _full(b"stsz", struct.pack(">II", 0, frames), bytes(4 * frames)),
    )
    video = _box(b"trak", _box(b"mdia", _full(b"mdhd", bytes(20)), _minf(*tables)))
    sound = _full(b"stsd", struct.pack(">I", 1), _box(b"mp4a", bytes(28)))
    audio = _box(b"trak", _box(b"mdia", _minf(sound)))
    movie = _box(b"moov", _full(b"mvhd", bytes(96)), audio, video)
    # A box with a length of 64 bits, as long videos have.
    samples = struct.pack(">I4sQ", 1, b"mdat", 16 + 1000) + b"\xaa" * 1000
    parts = (samples, movie) if movie_last else (movie, samples)
    return _box(b"ftyp", b"isom", bytes(4)) + b"".join(parts)


def _minf(*tables: bytes) -> bytes:
    return _box(b"minf", _box(b"stbl", *tables))
