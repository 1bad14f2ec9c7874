"""Decoders: one table from transfer syntax to the function that makes a frame native.

A decoded frame has exactly rows x columns x samples x bits allocated / 8 bytes, little endian,
whatever the codestream says; samples follow each other by pixel where planar configuration is 0
(PS3.3 C.7.6.3.1.3). Signed samples are sign-extended to bits allocated. Colours: what the JPEG
family stores as YCbCr comes out as RGB, everything else keeps its photometric interpretation
(`decoded_format`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from isocenter.core import codestream
from isocenter.core.apis import PixelFormat
from isocenter.core.codestream import Codestream
from isocenter.core.errors import OutOfResources, Unprocessable, Unsupported
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    TRANSFER_SYNTAXES,
    Codec,
    TransferSyntax,
    lookup,
)

T = TypeVar("T")
Samples = NDArray[Any]
Decoder = Callable[[bytes, PixelFormat], Samples | bytes]

# Samples per pixel by photometric interpretation where the two must agree are not checked here:
# PS3.3 C.7.6.3.1.2 names only these as YCbCr that the JPEG family transforms to RGB.
_YCBCR = frozenset({"YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422"})
_MULTI_COMPONENT = frozenset({"YBR_RCT", "YBR_ICT"})
_DTYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype("u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
_MAX_EDGE = 65_535


def frame_bytes(pixels: PixelFormat) -> int:
    """Size of a decoded frame; single-bit frames are padded to a byte. Native
    YBR_FULL_422 has two thirds of it."""
    bits = pixels.rows * pixels.columns * pixels.samples_per_pixel * pixels.bits_allocated
    return (bits + 7) // 8


def decoded_format(transfer_syntax: str, pixels: PixelFormat) -> PixelFormat:
    """The pixel format of what `decode` makes of a frame.

    `decode` reads planar configuration as a wish, so only colours change.
    """
    codec = lookup(transfer_syntax).codec
    photometric = pixels.photometric_interpretation
    if pixels.samples_per_pixel == 3 and (
        (codec is Codec.JPEG and photometric in _YCBCR)
        or (codec in (Codec.JPEG_2000, Codec.HTJ2K) and photometric in _MULTI_COMPONENT)
        or (codec is Codec.JPEG_XL and photometric == "XYB")
    ):
        return replace(pixels, photometric_interpretation="RGB")
    return pixels


def decode(frame: bytes, transfer_syntax: str, pixels: PixelFormat, max_bytes: int) -> bytes:
    """One frame as native little endian bytes.

    Big endian native frames of 8 bits are taken as OB: they stay as they are. Raises
    `Unsupported`, `Unprocessable`, `OutOfResources` (larger than `max_bytes`).
    """
    syntax = lookup(transfer_syntax)
    decoder = DECODERS.get(transfer_syntax)
    if decoder is None:
        raise Unsupported(
            f"frames in {syntax.name} cannot be decoded here",
            fix="retrieve the object in the transfer syntax it is stored in",
        )
    check_format(pixels, max_bytes)
    decoded = decoder(frame, pixels)
    data = decoded if isinstance(decoded, bytes) else _native(decoded, syntax, pixels)
    expected = frame_bytes(pixels)
    if syntax.codec is Codec.NATIVE and pixels.photometric_interpretation == "YBR_FULL_422":
        expected = expected * 2 // 3  # two pixels share their Cb and Cr (PS3.3 C.7.6.3.1.2)
    if len(data) < expected:
        raise Unprocessable(
            f"a frame is {len(data)} bytes when decoded, {expected} are needed",
            fix="send the object again: its pixel data is cut off",
        )
    return data if len(data) == expected else data[:expected]


def check_format(pixels: PixelFormat, max_bytes: int) -> None:
    """Raises `Unprocessable` for impossible attributes, `OutOfResources` for a frame that would
    be larger than `max_bytes`."""
    if not (
        0 < pixels.rows <= _MAX_EDGE
        and 0 < pixels.columns <= _MAX_EDGE
        and pixels.samples_per_pixel in (1, 2, 3, 4)
        and pixels.bits_allocated in (1, 8, 16, 32, 64)
        and 0 < pixels.bits_stored <= pixels.bits_allocated
    ):
        raise Unprocessable(
            f"no image has {pixels.rows} rows, {pixels.columns} columns, "
            f"{pixels.samples_per_pixel} samples of {pixels.bits_stored} bits in "
            f"{pixels.bits_allocated}",
            fix="correct the attributes of the Image Pixel module (PS3.3 C.7.6.3)",
        )
    if frame_bytes(pixels) > max_bytes:
        raise OutOfResources(
            f"a frame would be {frame_bytes(pixels)} bytes, the limit is {max_bytes}",
            fix="raise max_frame in the section transcoding",
        )


# --- native --------------------------------------------------------------------------------------


def _little_endian(frame: bytes, pixels: PixelFormat) -> bytes:
    del pixels
    return frame


def _big_endian(frame: bytes, pixels: PixelFormat) -> bytes:
    return swap(frame, pixels.bits_allocated // 8)


def swap(data: bytes, size: int) -> bytes:
    """The bytes of each cell of `size` bytes in reverse order. Raises `Unprocessable`."""
    if size < 2:
        return data
    if len(data) % size:
        raise Unprocessable(
            f"{len(data)} bytes are no whole number of cells of {size} bytes",
            fix="send the object again: its pixel data is cut off",
        )
    cells: Samples = np.frombuffer(data, _DTYPES[size])
    return cells.byteswap().tobytes()


def _deflated(frame: bytes, pixels: PixelFormat) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(frame, frame_bytes(pixels) + 1)
    except zlib.error as error:
        raise codestream.broken("it is no deflated data") from error


# --- compressed ----------------------------------------------------------------------------------


def _rle(frame: bytes, pixels: PixelFormat) -> bytes:
    """PS3.5 annex G: one segment per byte of a composite pixel, most significant first."""
    cell = pixels.bits_allocated // 8
    segments = cell * pixels.samples_per_pixel
    plane = pixels.rows * pixels.columns
    if cell == 0:
        raise Unsupported(
            "RLE of single-bit pixels cannot be decoded", fix="retrieve the object as stored"
        )
    if len(frame) < 64 or int.from_bytes(frame[:4], "little") != segments:
        raise codestream.broken(f"the RLE header does not name {segments} segments")
    offsets = [int.from_bytes(frame[4 * n : 4 * n + 4], "little") for n in range(1, segments + 1)]
    offsets.append(len(frame))
    planes = np.empty((pixels.samples_per_pixel, plane, cell), np.uint8)
    for number in range(segments):
        start, stop = offsets[number], offsets[number + 1]
        if not 64 <= start <= stop:
            raise codestream.broken(f"RLE segment {number + 1} has an impossible offset")
        sample, byte = divmod(number, cell)
        planes[sample, :, cell - 1 - byte] = _rle_segment(frame[start:stop], plane)
    if pixels.planar_configuration == 0:
        planes = planes.transpose(1, 0, 2)
    return planes.tobytes()


def _rle_segment(segment: bytes, size: int) -> Samples:
    out = bytearray(size)
    # The codec asks for a whole frame: this one has one segment of one byte a pixel.
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    done = _call("RLE", partial(imagecodecs.dicomrle_decode, header + segment, np.uint8, out=out))
    if len(done) != size:
        raise codestream.broken(f"an RLE segment holds {len(done)} bytes, {size} are needed")
    return np.frombuffer(out, np.uint8)


def _jpeg(frame: bytes, pixels: PixelFormat) -> Samples:
    head = codestream.jpeg(frame)
    _check(head, pixels)
    if head.components != 3:
        return _call("JPEG", partial(imagecodecs.jpeg8_decode, frame))
    # What the codestream says about its colours is nearer to the truth than the attribute:
    # YCbCr streams labelled RGB are common, the other way round an Adobe segment tells.
    if head.adobe_transform is not None:
        ycbcr = head.adobe_transform == 1
    else:
        ycbcr = head.jfif or pixels.photometric_interpretation in _YCBCR
    space = "YCBCR" if ycbcr else "RGB"
    return _call(
        "JPEG",
        partial(imagecodecs.jpeg8_decode, frame, colorspace=space, outcolorspace="RGB"),
    )


def _jpeg_lossless(frame: bytes, pixels: PixelFormat) -> Samples:
    _check(codestream.jpeg(frame), pixels)
    return _call("JPEG lossless", partial(imagecodecs.jpegsof3_decode, frame))


def _jpeg_ls(frame: bytes, pixels: PixelFormat) -> Samples:
    _check(codestream.jpeg(frame), pixels)
    # Of a codestream that is cut off, the codec looks for the end for many seconds: here it is.
    ended = frame + codestream.EOI
    return _call("JPEG-LS", partial(imagecodecs.jpegls_decode, ended))


def _jpeg_2000(frame: bytes, pixels: PixelFormat) -> Samples:
    _check(codestream.jpeg_2000(frame), pixels)
    return _call("JPEG 2000", partial(imagecodecs.jpeg2k_decode, frame, verbose=0))


def _htj2k(frame: bytes, pixels: PixelFormat) -> Samples:
    _check(codestream.jpeg_2000(frame), pixels)
    return _call("HTJ2K", partial(imagecodecs.htj2k_decode, frame))


def _jpeg_xl(frame: bytes, pixels: PixelFormat) -> Samples:
    del pixels
    return _call("JPEG XL", partial(imagecodecs.jpegxl_decode, frame))


def _check(head: Codestream, pixels: PixelFormat) -> None:
    """Before decoding: a small codestream must not claim a large image."""
    found = (head.rows, head.columns, head.components)
    wanted = (pixels.rows, pixels.columns, pixels.samples_per_pixel)
    if found != wanted:
        raise codestream.broken(
            f"it holds {found[0]} x {found[1]} pixels of {found[2]} components, "
            f"the attributes say {wanted[0]} x {wanted[1]} of {wanted[2]}"
        )
    if head.precision > pixels.bits_allocated:
        raise codestream.broken(
            f"its samples have {head.precision} bits, bits allocated is {pixels.bits_allocated}"
        )


def _call(name: str, decoder: Callable[[], T]) -> T:
    """What a decoder of imagecodecs gives, its errors as ours."""
    try:
        return decoder()
    except MemoryError as error:
        raise OutOfResources(
            f"no memory to decode a frame in {name}", fix="lower threads in section transcoding"
        ) from error
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        # imagecodecs derives the errors of its codecs from RuntimeError.
        raise codestream.broken(f"{name} data is damaged or cut off ({error})") from error


def _native(samples: Samples, syntax: TransferSyntax, pixels: PixelFormat) -> bytes:
    """Decoded samples in the cells and the order that the pixel format asks for."""
    shape = (pixels.rows, pixels.columns, pixels.samples_per_pixel)
    if samples.size != shape[0] * shape[1] * shape[2]:
        raise codestream.broken(f"{syntax.name} gave {samples.shape}, not {shape}")
    samples = samples.reshape(shape)
    cell = pixels.bits_allocated // 8
    if cell not in _DTYPES or samples.dtype.itemsize > cell:
        raise codestream.broken(
            f"its samples have {samples.dtype.itemsize * 8} bits, bits allocated is "
            f"{pixels.bits_allocated}"
        )
    if pixels.pixel_representation == 1:
        samples = sign_extended(samples, pixels.bits_stored, cell)
    if pixels.planar_configuration == 1 and pixels.samples_per_pixel > 1:
        samples = samples.transpose(2, 0, 1)
    return samples.astype(_DTYPES[cell], copy=False).tobytes()


def sign_extended(samples: Samples, bits: int, cell: int) -> Samples:
    """Two's complement samples of `bits` bits in cells of `cell` bytes, as signed integers."""
    signed = np.dtype(f"<i{cell}")
    spare = cell * 8 - bits
    widened = samples.astype(signed)
    return (widened << spare) >> spare if spare else widened


_BY_CODEC: Mapping[Codec, Decoder] = {
    Codec.NATIVE: _little_endian,
    Codec.RLE: _rle,
    Codec.JPEG: _jpeg,
    Codec.JPEG_LOSSLESS: _jpeg_lossless,
    Codec.JPEG_LS: _jpeg_ls,
    Codec.JPEG_2000: _jpeg_2000,
    Codec.HTJ2K: _htj2k,
    Codec.JPEG_XL: _jpeg_xl,
    Codec.DEFLATED_FRAME: _deflated,
}

# Retired processes that no decoder has: arithmetic coding, hierarchical; and JPEG 2000 part 2.
_NO_DECODER = frozenset(
    f"1.2.840.10008.1.2.4.{number}"
    for number in (52, 54, 56, 58, 59, 60, 61, 62, 63, 64, 65, 66, 92, 93)
)

DECODERS: Mapping[str, Decoder] = {
    **{
        uid: _BY_CODEC[syntax.codec]
        for uid, syntax in TRANSFER_SYNTAXES.items()
        if syntax.codec in _BY_CODEC and uid not in _NO_DECODER
    },
    EXPLICIT_VR_BIG_ENDIAN: _big_endian,
}
