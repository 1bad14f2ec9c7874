"""Pixel data that comes as bulk data (PS3.18 10.5.2): its element, its transfer syntax, and the
attributes that describe it, filled in where they are missing and refused where they contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isocenter.core.dictionary import PIXEL_TAGS, SEQUENCE_DELIMITER, standard_vr
from isocenter.core.elements import EXPLICIT, head_of_item
from isocenter.core.errors import Unprocessable, Unsupported
from isocenter.core.frames import pixel_layout
from isocenter.core.json_encoder import Bulk, Piece, padding
from isocenter.core.matching import JsonAttributes
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
    Codec,
)
from isocenter.web import image_media
from isocenter.web.image_media import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    HIGH_BIT,
    NUMBER_OF_FRAMES,
    PHOTOMETRIC,
    PIXEL_REPRESENTATION,
    ROWS,
    SAMPLES,
    Described,
)
from isocenter.web.negotiation import OCTETS
from isocenter.web.spool import Source

PIXELS = tuple(f"{tag:08X}" for tag in PIXEL_TAGS)
PIXEL_DATA = "7FE00010"
TRANSFER_SYNTAX_UID = "00020010"
AVAILABLE_TRANSFER_SYNTAX_UID = "00083002"
_LOSSY, _RATIO, _METHOD = "00282110", "00282112", "00282114"
_MOST = 0xFFFFFFFE  # bytes of a value or fragment (PS3.5 7.1.1)
_REQUIRED = (
    ROWS, COLUMNS, SAMPLES, PHOTOMETRIC, BITS_ALLOCATED, BITS_STORED, HIGH_BIT,
    PIXEL_REPRESENTATION,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BulkPart:
    """A part of the request that is not metadata."""

    media: str
    transfer_syntax: str  # parameter of its media type; empty: not given
    source: Source


@dataclass(frozen=True, slots=True)
class PixelElement:
    """The value of a pixel data element, and what it makes of the data set."""

    bulk: Bulk
    transfer_syntax: str


def first(attributes: JsonAttributes, tag: str) -> object:
    """The first value of an element; None if there is none, or what is there is malformed."""
    entry = attributes.get(tag)
    values = entry.get("Value") if isinstance(entry, dict) else None
    return values[0] if isinstance(values, list) and values else None


def put(attributes: JsonAttributes, tag: str, value: int | str) -> None:
    """Give an element one value."""
    attributes[tag] = {"vr": standard_vr(int(tag, 16)), "Value": [value]}


def contradicts(tag: str) -> Unprocessable:
    """An attribute says something else than the bulk data."""
    return Unprocessable(
        f"attribute {tag} contradicts the bulk data", fix="correct it, or leave it out"
    )


def pixel_element(attributes: JsonAttributes, tag: str, frames: Sequence[BulkPart]) -> PixelElement:
    """Of parts that are the frames of an image in order, or all of it. Completes `attributes`.
    Raises `Unprocessable`, `Unsupported`."""
    media = {frame.media for frame in frames}
    if len(media) > 1:
        raise Unprocessable(
            "pixel data comes in several media types", fix="send all frames in one of them"
        )
    named = _named(frames)
    if media == {OCTETS}:
        return _native(attributes, tag, frames, named)
    if tag != PIXEL_DATA:
        raise Unprocessable(
            "float pixel data is never compressed", fix="send it as application/octet-stream"
        )
    return _compressed(attributes, frames, named)


def _named(frames: Sequence[BulkPart]) -> str:
    """The transfer syntax that the parts' media types name."""
    named = {frame.transfer_syntax for frame in frames if frame.transfer_syntax}
    if len(named) > 1:
        raise Unprocessable(
            "frames of one image name several transfer syntaxes", fix="name one of them"
        )
    return named.pop() if named else ""


def _whole(attributes: JsonAttributes, tag: str) -> int | None:
    """The first value as an integer, which IS may also have as a text."""
    value = first(attributes, tag)
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:10])
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise Unprocessable(f"attribute {tag} is no integer", fix="see PS3.3 C.7.6.3")


def _check_described(attributes: JsonAttributes) -> None:
    for tag in _REQUIRED:
        if first(attributes, tag) is None:
            raise Unprocessable(
                f"attribute {tag}, that describes the pixel data, is missing",
                fix="send it: this media type does not say it",
            )


# --- native --------------------------------------------------------------------------------------


def _native(
    attributes: JsonAttributes, tag: str, frames: Sequence[BulkPart], named: str
) -> PixelElement:
    """Uncompressed little endian octets (PS3.18 8.7.3.3.1)."""
    said = named or first(attributes, TRANSFER_SYNTAX_UID)
    syntax = TRANSFER_SYNTAXES.get(said) if isinstance(said, str) else None
    if said and (syntax is None or syntax.codec is not Codec.NATIVE or syntax.encapsulated):
        raise Unsupported(
            "application/octet-stream is uncompressed pixel data, another transfer syntax is named",
            fix="send compressed pixel data in the media type of its codestream",
        )
    size = sum(frame.source.size for frame in frames)
    expected = _expected(attributes, int(tag, 16))
    if size not in (expected, expected + expected % 2):
        raise Unprocessable(
            f"pixel data has {size} bytes, its attributes say {expected}",
            fix="send all frames, uncompressed, with the attributes that describe them",
        )
    if size > _MOST:
        raise Unprocessable(
            f"native pixel data of {size} bytes does not fit one element",
            fix="send it compressed",
        )
    pieces: list[Piece] = [frame.source.where for frame in frames]
    vr = standard_vr(int(tag, 16))
    if tag == PIXEL_DATA:
        _check_described(attributes)
        vr = "OW" if (_whole(attributes, BITS_ALLOCATED) or 0) > 8 else "OB"
    bulk = Bulk(vr, [*pieces, padding(vr, size)])
    return PixelElement(bulk, EXPLICIT_VR_LITTLE_ENDIAN)


def _expected(attributes: JsonAttributes, tag: int) -> int:
    """Bytes that native pixel data has, without padding."""
    numbers = {
        one: {"Value": [value]}
        for one in (ROWS, COLUMNS, SAMPLES, BITS_ALLOCATED, NUMBER_OF_FRAMES)
        if (value := _whole(attributes, one)) is not None
    }
    photometric = {PHOTOMETRIC: {"Value": [str(first(attributes, PHOTOMETRIC))]}}
    layout = pixel_layout({**numbers, **photometric}, tag)
    if not layout.frame_bits:
        raise Unprocessable(
            "Rows, Columns or Bits Allocated are missing, that describe uncompressed pixel data",
            fix="send the attributes of the Image Pixel module (PS3.3 C.7.6.3)",
        )
    return (layout.frame_bits * layout.count + 7) // 8


# --- compressed ----------------------------------------------------------------------------------


def _compressed(attributes: JsonAttributes, frames: Sequence[BulkPart], named: str) -> PixelElement:
    described = [image_media.read(frame.media, frame.source) for frame in frames]
    common = image_media.common(described)
    uid = _chosen(attributes, common, named)
    _fill(attributes, common)
    _count(attributes, len(frames), video=TRANSFER_SYNTAXES[uid].video)
    pieces: list[Piece] = [head_of_item(EXPLICIT, 0)]  # an empty Basic Offset Table (PS3.5 A.4)
    compressed = 0
    for frame, one in zip(frames, described, strict=True):
        where = frame.source.where
        length = where.length - one.start if one.length < 0 else one.length
        if not 0 < length <= min(_MOST, where.length - one.start):
            raise Unprocessable(
                "a codestream is cut off, or does not fit one fragment of 4 GiB",
                fix="send it whole, or in shorter pieces",
            )
        codestream = where._replace(offset=where.offset + one.start, length=length)
        pad = padding("OB", length)
        pieces += (head_of_item(EXPLICIT, length + len(pad)), codestream, pad)
        compressed += length
    _tell_losses(attributes, common, compressed)
    pieces.append(_delimiter())
    return PixelElement(Bulk("OB", pieces, encapsulated=True), uid)


def _delimiter() -> bytes:
    tag = SEQUENCE_DELIMITER.to_bytes(4, "big")
    return bytes((tag[1], tag[0], tag[3], tag[2])) + bytes(4)


def _chosen(attributes: JsonAttributes, described: Described, named: str) -> str:
    """The transfer syntax: what the part names, or the metadata, where the codestream may have
    it. Available Transfer Syntax UID tells of another copy, if it does not fit this one."""
    possible = described.transfer_syntaxes
    said = named or first(attributes, TRANSFER_SYNTAX_UID)
    if said and said not in possible:
        raise Unprocessable(
            "the transfer syntax that is named is not that of the codestream",
            fix=f"name {possible[0]}, or none",
        )
    available = first(attributes, AVAILABLE_TRANSFER_SYNTAX_UID)
    return str(said or (available if available in possible else possible[0]))


def _count(attributes: JsonAttributes, frames: int, *, video: bool) -> None:
    """Number of Frames (0028,0008)."""
    given = _whole(attributes, NUMBER_OF_FRAMES)
    if not video:
        if given is None and frames > 1:
            put(attributes, NUMBER_OF_FRAMES, frames)
        elif (given or 1) != frames:
            raise contradicts(NUMBER_OF_FRAMES)
    elif frames > 1:
        raise Unprocessable("a video comes in several parts", fix="send it as one")
    elif given is None:
        raise Unprocessable(
            f"attribute {NUMBER_OF_FRAMES} is missing", fix="send it: MPEG-2 does not say it"
        )


def _fill(attributes: JsonAttributes, described: Described) -> None:
    for tag, allowed in described.allowed.items():
        number = isinstance(allowed[0], int)
        given = _whole(attributes, tag) if number else first(attributes, tag)
        if given is None:
            put(attributes, tag, allowed[0])
        elif given not in allowed:
            raise contradicts(tag)
    stored = _whole(attributes, BITS_STORED)
    if stored is not None and first(attributes, HIGH_BIT) is None:
        put(attributes, HIGH_BIT, stored - 1)
    _check_described(attributes)
    if _whole(attributes, HIGH_BIT) != (stored or 0) - 1:
        raise contradicts(HIGH_BIT)  # PS3.5 8.1.1
    samples, bits = _whole(attributes, SAMPLES) or 0, _whole(attributes, BITS_ALLOCATED) or 0
    if described.segments and described.segments != samples * (bits // 8):
        raise contradicts(BITS_ALLOCATED)


def _tell_losses(attributes: JsonAttributes, described: Described, compressed: int) -> None:
    """PS3.3 C.7.6.1.1.5: what was once compressed with losses says so for ever."""
    if not described.method:
        return
    if first(attributes, _LOSSY) not in (None, "01"):
        raise contradicts(_LOSSY)
    put(attributes, _LOSSY, "01")
    if first(attributes, _METHOD) is None and first(attributes, _RATIO) is None:
        put(attributes, _METHOD, described.method)
        ratio = _expected(attributes, int(PIXEL_DATA, 16)) / compressed
        attributes[_RATIO] = {"vr": "DS", "Value": [f"{ratio:.6g}"]}
