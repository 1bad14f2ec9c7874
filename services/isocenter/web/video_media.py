"""What a video says about itself: MPEG-2 (ITU-T H.262 6.2.2) and what is in an MP4 file (ISO/IEC
14496-12), H.264 or H.265, for the transfer syntaxes of PS3.5 8.2.5 to 8.2.11."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from isocenter.core.codestream import broken
from isocenter.core.errors import Unprocessable, Unsupported
from isocenter.web.spool import Source

_UID = "1.2.840.10008.1.2.4."
_SEARCHED = 1024 * 1024  # bytes in which the first sequence header of MPEG-2 is looked for
_MAX_BOXES = 10_000
_MAX_DESCRIPTION = 64 * 1024  # bytes of a sample description


@dataclass(frozen=True, slots=True)
class Video:
    """The one codestream of a video."""

    transfer_syntaxes: tuple[str, ...]
    method: str  # Lossy Image Compression Method (0028,2114)
    rows: int
    columns: int
    bits: int  # of a sample
    frames: int  # 0: it does not say


def _uids(*suffixes: str) -> tuple[str, ...]:
    """Also those of the same streams in several fragments, of which one is none."""
    return tuple(_UID + suffix for suffix in (*suffixes, *(f"{one}.1" for one in suffixes)))


def _no_syntax(what: str) -> Unsupported:
    return Unsupported(
        f"no transfer syntax holds {what}", fix="see PS3.5 8.2.5 to 8.2.11, and convert the video"
    )


# --- MPEG-2 --------------------------------------------------------------------------------------

_SEQUENCE = b"\x00\x00\x01\xb3"
_EXTENSION = b"\x00\x00\x01\xb5"
_MAIN_PROFILE, _MAIN_LEVEL = (4, 5), (8, 10)  # and what is simpler: T.262 tables 8-2 and 8-3
_HIGH_LEVELS = (4, 6)
_420 = 1


def read_mpeg2(source: Source) -> Video:
    """The first sequence header and its extension. How many pictures there are it does not say.
    Raises `Unprocessable`, `Unsupported`."""
    data = source.read(0, _SEARCHED)
    at = data.find(_SEQUENCE)
    if at < 0 or len(data) < at + 12:
        raise broken("there is no sequence header of MPEG-2 at its beginning")
    sizes = int.from_bytes(data[at + 4 : at + 7], "big")
    extension = data.find(_EXTENSION, at, at + 256)
    if extension < 0 or len(data) < extension + 8 or data[extension + 4] >> 4 != 1:
        raise _no_syntax("MPEG-1")
    bits = int.from_bytes(data[extension + 4 : extension + 8], "big")
    profile, level = bits >> 24 & 7, bits >> 20 & 15
    if profile not in _MAIN_PROFILE or bits >> 17 & 3 != _420:
        raise _no_syntax("MPEG-2 of another profile than Main")
    if level in _MAIN_LEVEL:
        syntaxes = _uids("100", "101")
    elif level in _HIGH_LEVELS:
        syntaxes = _uids("101")
    else:
        raise _no_syntax("MPEG-2 of this level")
    return Video(
        syntaxes,
        "ISO_13818_2",
        rows=(bits >> 13 & 3) << 12 | sizes & 0xFFF,
        columns=(bits >> 15 & 3) << 12 | sizes >> 12,
        bits=8,
        frames=0,
    )


# --- MP4 -----------------------------------------------------------------------------------------

_TRACK = (b"mdia", b"minf", b"stbl")


def read_mp4(source: Source) -> Video:
    """The first video track. Raises `Unprocessable`, `Unsupported`."""
    boxes = _Boxes(source)
    if source.read(4, 4) not in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"styp"):
        raise broken("it is no MP4 file")
    movie = boxes.find(b"moov", 0, source.size)
    for kind, begin, end in boxes.within(*movie):
        if kind != b"trak":
            continue
        place = (begin, end)
        for name in _TRACK:
            place = boxes.find(name, *place)
        entries = source.read(*_span(boxes.find(b"stsd", *place)))
        if entries[12:16] in _ENTRIES:
            sizes = boxes.find(b"stsz", *place)
            return _entry(entries, int.from_bytes(source.read(sizes[0] + 8, 4), "big"))
    raise _no_syntax("an MP4 file without H.264 or H.265 video")


def _span(place: tuple[int, int]) -> tuple[int, int]:
    return place[0], min(place[1] - place[0], _MAX_DESCRIPTION)


class _Boxes:
    """The boxes of a file, of which so many are looked at."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = _MAX_BOXES

    def within(self, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Kind, begin and end of the content of each box. Raises `Unprocessable`."""
        while begin + 8 <= end:
            self._left -= 1
            head = self._source.read(begin, 16)
            if self._left < 0 or len(head) < 8:
                raise broken("its MP4 boxes cannot be read")
            size, length = 8, int.from_bytes(head[:4], "big")
            if length == 1 and len(head) == 16:
                size, length = 16, int.from_bytes(head[8:], "big")
            elif length == 0:
                length = end - begin
            if length < size or begin + length > end:
                raise broken("an MP4 box reaches behind what encloses it")
            yield head[4:8], begin + size, begin + length
            begin += length

    def find(self, wanted: bytes, begin: int, end: int) -> tuple[int, int]:
        """Begin and end of the content of the first box of a kind. Raises `Unprocessable`."""
        for kind, start, stop in self.within(begin, end):
            if kind == wanted:
                return start, stop
        raise broken(f"its MP4 boxes have no {wanted.decode('ascii')}")


# ISO/IEC 14496-15: sample entries, each with the box that holds the decoder's configuration.
_ENTRIES: Mapping[bytes, bytes] = {
    b"avc1": b"avcC", b"avc3": b"avcC", b"hvc1": b"hvcC", b"hev1": b"hvcC",
}  # fmt: skip
_SIZES = 8 + 8 + 24  # of width and height in a sample description, behind its count
_CHILDREN = 8 + 86


def _entry(entries: bytes, frames: int) -> Video:
    kind = entries[12:16]
    config = entries.find(_ENTRIES[kind], _CHILDREN)
    if config < 0 or len(entries) < config + 17:
        raise broken("its sample description has no configuration of the decoder")
    columns, rows = struct.unpack_from(">HH", entries, _SIZES)
    if not rows or not columns:
        raise Unprocessable("the video says that it has no pixels", fix="convert it again")
    record = entries[config + 4 :]
    if kind.startswith(b"avc"):
        return Video(
            _avc(record[1], record[2], record[3]), "ISO_14496_10", rows, columns, 8, frames
        )
    profile, level = record[1] & 0x1F, record[12]
    if profile not in _HEVC or level > _HEVC_5_1:
        raise _no_syntax(f"H.265 of profile {profile} and level {level / 30:.1f}")
    suffix, bits = _HEVC[profile]
    return Video((_UID + suffix,), "ISO_23008_2", rows, columns, bits, frames)


_HEVC_5_1 = 153  # general_level_idc is 30 times the level
_HEVC: Mapping[int, tuple[str, int]] = {1: ("107", 8), 2: ("108", 10)}  # Main, Main 10
_CONSTRAINED = 0x40  # constraint_set1_flag: Baseline that decoders of Main and High decode too
_BASELINE, _MAIN, _HIGH, _STEREO_HIGH = 66, 77, 100, 128


def _avc(profile: int, constraints: int, level: int) -> tuple[str, ...]:
    """By profile_idc and level_idc (H.264 annex A)."""
    if profile == _STEREO_HIGH and level <= 42:
        return _uids("106")
    decodable = profile in (_MAIN, _HIGH) or (profile == _BASELINE and constraints & _CONSTRAINED)
    if decodable and level <= 41:
        return _uids("102", "103", "104")
    if decodable and level == 42:
        return _uids("104", "105")
    raise _no_syntax(f"H.264 of profile {profile} and level {level / 10:.1f}")
