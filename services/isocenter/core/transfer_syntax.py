"""Every transfer syntax of the standard (PS3.5 section 10, PS3.6 table A-1) that a data set can be
kept in, as data.

Left out: those that are no encoding of a data set in a file (RFC 2557 MIME, XML, Papyrus 3, the
real-time SMPTE ST 2110 streams).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from isocenter.core.errors import Unsupported


class Codec(Enum):
    """Families of pixel data encodings."""

    NATIVE = "native"
    RLE = "rle"
    JPEG = "jpeg"
    JPEG_LOSSLESS = "jpeg-lossless"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"
    HTJ2K = "htj2k"
    JPEG_XL = "jpeg-xl"
    DEFLATED_FRAME = "deflated-frame"
    JPIP = "jpip"  # pixels are elsewhere: the data set holds a URL
    MPEG2 = "mpeg2"
    H264 = "h264"
    H265 = "h265"


VIDEO = frozenset({Codec.MPEG2, Codec.H264, Codec.H265})

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set is encoded."""

    uid: str
    name: str
    codec: Codec = Codec.NATIVE
    implicit_vr: bool = False
    little_endian: bool = True
    encapsulated: bool = False
    deflated: bool = False
    lossy: bool = False  # the codec may lose information

    @property
    def video(self) -> bool:
        """Whether one codestream holds all frames."""
        return self.codec in VIDEO


def _encapsulated(
    suffix: str, name: str, codec: Codec, *, lossy: bool = False, deflated: bool = False
) -> TransferSyntax:
    referenced = codec is Codec.JPIP
    return TransferSyntax(
        f"1.2.840.10008.1.2.{suffix}",
        name,
        codec,
        encapsulated=not referenced,
        deflated=deflated,
        lossy=lossy,
    )


_NATIVE = (
    TransferSyntax(IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", implicit_vr=True),
    TransferSyntax(EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian"),
    TransferSyntax(EXPLICIT_VR_BIG_ENDIAN, "Explicit VR Big Endian", little_endian=False),
    TransferSyntax(
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, "Deflated Explicit VR Little Endian", deflated=True
    ),
)

_JPEG_LOSSY = (
    ("4.50", "JPEG Baseline (Process 1)"),
    ("4.51", "JPEG Extended (Process 2 and 4)"),
    ("4.52", "JPEG Extended (Process 3 and 5)"),
    ("4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)"),
    ("4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)"),
    ("4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 and 12)"),
    ("4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 and 13)"),
    ("4.59", "JPEG Extended, Hierarchical (Process 16 and 18)"),
    ("4.60", "JPEG Extended, Hierarchical (Process 17 and 19)"),
    ("4.61", "JPEG Spectral Selection, Hierarchical (Process 20 and 22)"),
    ("4.62", "JPEG Spectral Selection, Hierarchical (Process 21 and 23)"),
    ("4.63", "JPEG Full Progression, Hierarchical (Process 24 and 26)"),
    ("4.64", "JPEG Full Progression, Hierarchical (Process 25 and 27)"),
)

_JPEG_LOSSLESS = (
    ("4.57", "JPEG Lossless, Non-Hierarchical (Process 14)"),
    ("4.58", "JPEG Lossless, Non-Hierarchical (Process 15)"),
    ("4.65", "JPEG Lossless, Hierarchical (Process 28)"),
    ("4.66", "JPEG Lossless, Hierarchical (Process 29)"),
    ("4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14, SV1)"),
)

_LATER_CODECS = (
    ("1.98", "Encapsulated Uncompressed Explicit VR Little Endian", Codec.NATIVE, False),
    ("4.80", "JPEG-LS Lossless Image Compression", Codec.JPEG_LS, False),
    ("4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", Codec.JPEG_LS, True),
    ("4.90", "JPEG 2000 Image Compression (Lossless Only)", Codec.JPEG_2000, False),
    ("4.91", "JPEG 2000 Image Compression", Codec.JPEG_2000, True),
    ("4.92", "JPEG 2000 Part 2 Multi-component (Lossless Only)", Codec.JPEG_2000, False),
    ("4.93", "JPEG 2000 Part 2 Multi-component", Codec.JPEG_2000, True),
    ("4.110", "JPEG XL Lossless", Codec.JPEG_XL, False),
    ("4.111", "JPEG XL JPEG Recompression", Codec.JPEG_XL, True),
    ("4.112", "JPEG XL", Codec.JPEG_XL, True),
    ("4.201", "High-Throughput JPEG 2000 (Lossless Only)", Codec.HTJ2K, False),
    ("4.202", "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)", Codec.HTJ2K, False),
    ("4.203", "High-Throughput JPEG 2000", Codec.HTJ2K, True),
    ("5", "RLE Lossless", Codec.RLE, False),
    ("8.1", "Deflated Image Frame Compression", Codec.DEFLATED_FRAME, False),
)

_JPIP = (
    ("4.94", "JPIP Referenced", False),
    ("4.95", "JPIP Referenced Deflate", True),
    ("4.204", "JPIP HTJ2K Referenced", False),
    ("4.205", "JPIP HTJ2K Referenced Deflate", True),
)

# Each of the first two kinds also exists as Fragmentable, with .1 behind its UID.
_VIDEO = (
    ("4.100", "MPEG2 Main Profile / Main Level", Codec.MPEG2),
    ("4.101", "MPEG2 Main Profile / High Level", Codec.MPEG2),
    ("4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", Codec.H264),
    ("4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", Codec.H264),
    ("4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", Codec.H264),
    ("4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", Codec.H264),
    ("4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", Codec.H264),
    ("4.107", "HEVC/H.265 Main Profile / Level 5.1", Codec.H265),
    ("4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", Codec.H265),
)

TRANSFER_SYNTAXES: Mapping[str, TransferSyntax] = {
    syntax.uid: syntax
    for syntax in (
        *_NATIVE,
        *(_encapsulated(s, n, Codec.JPEG, lossy=True) for s, n in _JPEG_LOSSY),
        *(_encapsulated(s, n, Codec.JPEG_LOSSLESS) for s, n in _JPEG_LOSSLESS),
        *(_encapsulated(s, n, codec, lossy=lossy) for s, n, codec, lossy in _LATER_CODECS),
        *(_encapsulated(s, n, Codec.JPIP, lossy=True, deflated=d) for s, n, d in _JPIP),
        *(_encapsulated(s, n, codec, lossy=True) for s, n, codec in _VIDEO),
        *(
            _encapsulated(f"{s}.1", f"Fragmentable {n}", codec, lossy=True)
            for s, n, codec in _VIDEO
            if codec is not Codec.H265
        ),
    )
}


def lookup(uid: str) -> TransferSyntax:
    """Raises `Unsupported` for one that is not known."""
    syntax = TRANSFER_SYNTAXES.get(uid)
    if syntax is None:
        raise Unsupported(
            f"transfer syntax {uid[:64]!r} is not known",
            fix="send the object in a transfer syntax of PS3.6 table A-1",
        )
    return syntax
