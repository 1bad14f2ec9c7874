"""Pixel data that comes in an image or video media type (PS3.18 8.7.3.3.2): its transfer syntax,
and the Image Pixel attributes that its codestream says (PS3.3 C.7.6.3).

One table from media type to the function that reads the beginning of one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from isocenter.core import codestream
from isocenter.core.errors import Unprocessable, Unsupported
from isocenter.web.spool import Source
from isocenter.web.video_media import Video, read_mp4, read_mpeg2

HEAD = 1024 * 1024  # bytes in which headers of a frame are looked for; profiles may precede them
_UID = "1.2.840.10008.1.2."

ROWS, COLUMNS = "00280010", "00280011"
SAMPLES, PHOTOMETRIC, PLANAR = "00280002", "00280004", "00280006"
BITS_ALLOCATED, BITS_STORED, HIGH_BIT = "00280100", "00280101", "00280102"
PIXEL_REPRESENTATION, NUMBER_OF_FRAMES = "00280103", "00280008"

Allowed = Mapping[str, tuple[int | str, ...]]


@dataclass(frozen=True, slots=True)
class Described:
    """What one frame, or a video, says about itself."""

    transfer_syntaxes: tuple[str, ...]  # that it may have: the first unless another is named
    allowed: Allowed  # by tag: the first value is meant where metadata leave the attribute out
    method: str = ""  # Lossy Image Compression Method (0028,2114); empty: nothing is lost
    start: int = 0  # of the codestream, bytes: file formats around it are not kept
    length: int = -1  # of the codestream; -1: all that follows
    segments: int = 0  # of RLE: bytes of a pixel


def _uids(*suffixes: str) -> tuple[str, ...]:
    return tuple(_UID + suffix for suffix in suffixes)


# By the marker of the frame header (T.81 table B.1): SOF0, SOF1 and so on. A decoder of process 4
# also decodes process 1.
_JPEG_PROCESSES: Mapping[int, tuple[str, ...]] = {
    0xC0: _uids("4.50", "4.51"),
    0xC1: _uids("4.51"),
    0xC2: _uids("4.55", "4.53"),
}
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_FIRST_ORDER = 1
_RPCL = 2
_MONOCHROME = ("MONOCHROME2", "MONOCHROME1", "PALETTE COLOR")


def read(media: str, source: Source) -> Described:
    """What a frame or video in this media type is. Raises `Unsupported` for a media type that no
    pixel data has, `Unprocessable` for data that is something else."""
    reader = _READERS.get(media)
    if reader is None:
        raise Unsupported(
            "pixel data has a media type that cannot be stored",
            fix=f"send it as application/octet-stream or as one of {', '.join(sorted(_READERS))}",
        )
    return reader(source)


# --- JPEG and JPEG-LS ----------------------------------------------------------------------------


def _jpeg(source: Source) -> Described:
    data = source.read(0, HEAD)
    head = codestream.jpeg(data)
    if head.process == _JPEG_LS:
        raise codestream.broken("it is JPEG-LS, whose media type is image/jls")
    if head.process == _LOSSLESS:
        first_order = codestream.jpeg_selector(data) == _FIRST_ORDER
        lossless = _uids(*(["4.70"] if first_order else []), "4.57")
        return Described(lossless, _pixels(head, _jpeg_colours(head)))
    syntaxes = _JPEG_PROCESSES.get(head.process, ())
    if not syntaxes:
        raise codestream.broken(f"no transfer syntax has its process, SOF{head.process & 0x0F}")
    return Described(syntaxes, _pixels(head, _jpeg_colours(head)), "ISO_10918_1")


def _jpeg_colours(head: codestream.Codestream) -> tuple[str, ...]:
    """What Photometric Interpretation may be, by the segments that tell, else by the identifiers
    of the components, as JFIF readers do."""
    ycbcr = ("YBR_FULL_422", "YBR_FULL") if head.subsampled else ("YBR_FULL", "YBR_FULL_422")
    if head.subsampled or head.adobe_transform == 1 or head.jfif:
        return ycbcr
    if head.adobe_transform == 0 or head.process == _LOSSLESS:
        return ("RGB", *ycbcr)
    return ("RGB", *ycbcr) if head.identifiers == b"RGB" else (*ycbcr, "RGB")


def _jpeg_ls(source: Source) -> Described:
    data = source.read(0, HEAD)
    head = codestream.jpeg(data)
    if head.process != _JPEG_LS:
        raise codestream.broken("it is no JPEG-LS")
    lossy = codestream.jpeg_selector(data) != 0
    return Described(
        _uids("4.81") if lossy else _uids("4.80", "4.81"),
        _pixels(head, ("RGB", "YBR_FULL")),
        "ISO_14495_1" if lossy else "",
    )


# --- JPEG 2000 family ----------------------------------------------------------------------------


def _jpeg_2000(source: Source) -> Described:
    return _wavelets(source, _uids("4.90"), _uids("4.91"), "ISO_15444_1", high_throughput=False)


def _jpeg_2000_part_2(source: Source) -> Described:
    return _wavelets(source, _uids("4.92"), _uids("4.93"), "ISO_15444_1", high_throughput=False)


def _htj2k(source: Source) -> Described:
    coding = codestream.jpeg_2000_coding(source.read(0, HEAD))
    lossless = _uids("4.201", *(["4.202"] if coding.progression == _RPCL else []))
    return _wavelets(source, lossless, _uids("4.203"), "ISO_15444_15", high_throughput=True)


def _wavelets(
    source: Source,
    lossless: tuple[str, ...],
    other: tuple[str, ...],
    method: str,
    *,
    high_throughput: bool,
) -> Described:
    data = source.read(0, HEAD)
    head, coding = codestream.jpeg_2000(data), codestream.jpeg_2000_coding(data)
    if coding.high_throughput != high_throughput:
        raise codestream.broken("JPEG 2000 is image/jp2, High-Throughput JPEG 2000 is image/jphc")
    if head.subsampled:
        raise codestream.broken("its components differ in size or depth")
    colours: tuple[str, ...] = ("RGB", "YBR_FULL")
    if coding.multi_component:
        colours = ("YBR_RCT",) if coding.reversible else ("YBR_ICT",)
    start = codestream.jpeg_2000_start(data)
    return Described(
        (*lossless, *other) if coding.reversible else other,
        {
            **_pixels(head, colours),
            PIXEL_REPRESENTATION: (int(head.signed),),
        },
        "" if coding.reversible else method,
        start,
        _box_length(data, start),
    )


def _box_length(data: bytes, start: int) -> int:
    """Of the codestream in the box that holds it in the JP2 file format (T.800 I.5.4)."""
    if start < 8:
        return -1
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    if length == 1 or data[start - 4 : start] != b"jp2c":
        raise codestream.broken("send it without the JP2 file format (PS3.5 A.4.4)")
    return length - 8 if length else -1


def _pixels(head: codestream.Codestream, colours: tuple[str, ...]) -> Allowed:
    if head.components not in (1, 3):
        raise codestream.broken(f"no image has {head.components} components")
    if not head.rows or not head.columns or max(head.rows, head.columns) > 0xFFFF:
        raise codestream.broken(f"no image has {head.rows} x {head.columns} pixels")
    allocated = tuple(bits for bits in (8, 16, 32) if bits >= head.precision)
    if not allocated:
        raise codestream.broken(f"no image has samples of {head.precision} bits")
    return {
        ROWS: (head.rows,),
        COLUMNS: (head.columns,),
        SAMPLES: (head.components,),
        PHOTOMETRIC: _MONOCHROME if head.components == 1 else colours,
        BITS_ALLOCATED: allocated,
        BITS_STORED: tuple(range(head.precision, 0, -1)),
        # The JPEG family up to JPEG-LS does not say whether its samples are signed.
        PIXEL_REPRESENTATION: (0, 1),
        **({} if head.components == 1 else {PLANAR: (0, 1)}),
    }


# --- what says little of itself ------------------------------------------------------------------


def _rle(source: Source) -> Described:
    """PS3.5 G.5: the header tells the number of segments, one for each byte of a pixel."""
    segments = int.from_bytes(source.read(0, 4), "little")
    if source.size < 64 or not 1 <= segments <= 15:
        raise codestream.broken("it does not begin with an RLE header")
    return Described(_uids("5"), {}, segments=segments)


def _jpeg_xl(source: Source) -> Described:
    if not source.read(0, 8).startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        raise codestream.broken("it is no JPEG XL")
    return Described(_uids("4.112", "4.110", "4.111"), {})


def _video(reader: Callable[[Source], Video]) -> Callable[[Source], Described]:
    def described(source: Source) -> Described:
        video = reader(source)
        allocated = 8 if video.bits == 8 else 16
        return Described(
            video.transfer_syntaxes,
            {
                ROWS: (video.rows,),
                COLUMNS: (video.columns,),
                SAMPLES: (3,),
                PHOTOMETRIC: ("YBR_PARTIAL_420",),
                BITS_ALLOCATED: (allocated,),
                BITS_STORED: (video.bits,),
                PIXEL_REPRESENTATION: (0,),
                PLANAR: (0,),
                **({NUMBER_OF_FRAMES: (video.frames,)} if video.frames else {}),
            },
            video.method,
        )

    return described


_Reader = Callable[[Source], Described]
_READERS: Mapping[str, _Reader] = {
    "image/jpeg": _jpeg,
    "image/jls": _jpeg_ls,
    "image/x-jls": _jpeg_ls,  # PS3.18 before 2016
    "image/jp2": _jpeg_2000,
    "image/jpx": _jpeg_2000_part_2,
    "image/jphc": _htj2k,
    "image/jxl": _jpeg_xl,
    "image/dicom-rle": _rle,
    "image/x-dicom-rle": _rle,
    "video/mpeg": _video(read_mpeg2),
    "video/mpeg2": _video(read_mpeg2),
    "video/mp4": _video(read_mp4),
}


def common(frames: list[Described]) -> Described:
    """What holds for all frames of an image. Raises `Unprocessable` if nothing does."""
    first = frames[0]
    syntaxes = tuple(
        uid
        for uid in dict.fromkeys(uid for frame in frames for uid in frame.transfer_syntaxes)
        if all(uid in frame.transfer_syntaxes for frame in frames)
    )
    alike = all((one.allowed, one.segments) == (first.allowed, first.segments) for one in frames)
    if not alike or not syntaxes:
        raise Unprocessable(
            "the frames of an image differ in size, depth, colours or compression",
            fix="send frames that are compressed alike",
        )
    method = next((frame.method for frame in frames if frame.method), "")
    return replace(first, transfer_syntaxes=syntaxes, method=method)
