"""Decoders against independent ones: pydicom's plugins (gdcm, openjpeg, CharLS) and dcmtk."""

from __future__ import annotations

import subprocess
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from isocenter.core.apis import PixelFormat
from isocenter.core.errors import OutOfResources, Unprocessable, Unsupported
from isocenter.transcoding.codecs import decode, decoded_format, frame_bytes
from support.pixel_files import FOLDER, frames, path, pixel_format, samples

LIMIT = 64 * 1024 * 1024

# Files whose pixel data nobody can decode, or not frame by frame, with the reason.
LEFT_OUT = {
    "ExplVR_BigEndNoMeta.dcm": "no File Meta Information",
    "ExplVR_LitEndNoMeta.dcm": "no File Meta Information",
    "JPEG2000-embedded-sequence-delimiter.dcm": "the codestream is damaged on purpose",
    "JPEG-lossy.dcm": "12 bits: compared with dcmtk",
    "JPGExtended.dcm": "12 bits: compared with dcmtk",
    "MR_truncated.dcm": "cut off on purpose",
    "SC_rgb_small_odd_big_endian.dcm": "8 bits in OW: the data set is needed",
    "SC_ybr_full_422_uncompressed.dcm": "native subsampling: compared when rendered",
    "badVR.dcm": "Number of Frames is no number",
    "liver_1frame.dcm": "single bits",
    "liver_expb_1frame.dcm": "single bits",
    "liver_nonbyte_aligned.dcm": "single bits",
    "meta_missing_tsyntax.dcm": "no transfer syntax",
    "nested_priv_SQ.dcm": "Pixel Data without Rows",
    "no_meta.dcm": "no File Meta Information",
    "rtstruct.dcm": "no File Meta Information",
}


def _image_files() -> list[str]:
    return [
        file.name
        for file in sorted(FOLDER.rglob("*.dcm"))
        if file.name not in LEFT_OUT and "PixelData" in pydicom.dcmread(file)
    ]


@pytest.mark.parametrize("name", _image_files())
def test_decoded_frames_equal_those_of_an_independent_decoder(name: str):
    image = pydicom.dcmread(path(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pixel_array(image)
    pixels = pixel_format(image)
    syntax = str(image.file_meta.TransferSyntaxUID)
    decoded = [decode(frame, syntax, pixels, LIMIT) for frame in frames(image)]
    assert {len(frame) for frame in decoded} == {frame_bytes(pixels)}
    ours = np.stack([samples(frame, pixels) for frame in decoded])
    native_ybr = not image.file_meta.TransferSyntaxUID.is_encapsulated or syntax.endswith(".5")
    if native_ybr and pixels.photometric_interpretation.startswith("YBR"):
        expected = pixel_array(image, raw=True)
    np.testing.assert_array_equal(ours.reshape(expected.shape), expected)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_of_twelve_bits_decodes_as_with_dcmtk(name: str, tmp_path: Path):
    native = tmp_path / "native.dcm"
    subprocess.run(["dcmdjpeg", path(name), native], check=True, capture_output=True)
    image = pydicom.dcmread(path(name))
    pixels = pixel_format(image)
    ours = decode(frames(image)[0], str(image.file_meta.TransferSyntaxUID), pixels, LIMIT)
    theirs = np.frombuffer(pydicom.dcmread(native).PixelData, "<i2").astype(int)
    # Both are within the accuracy of the inverse DCT (ITU-T T.83), not equal to the bit.
    assert np.abs(np.frombuffer(ours, "<i2").astype(int) - theirs).max() <= 1


def _gray(bits: int, *, signed: bool = False, allocated: int = 16) -> PixelFormat:
    return PixelFormat(40, 52, 1, allocated, bits, int(signed), "MONOCHROME2", 0)


def _ramp(bits: int) -> np.ndarray:
    ramp = np.linspace(0, 2**bits - 1, 40 * 52).reshape(40, 52)
    return ramp.astype(np.uint16 if bits > 8 else np.uint8)


LOSSLESS = {
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_encode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode,
    "1.2.840.10008.1.2.4.90": lambda image: imagecodecs.jpeg2k_encode(
        image, level=0, codecformat="J2K"
    ),
    "1.2.840.10008.1.2.4.110": lambda image: imagecodecs.jpegxl_encode(image, lossless=True),
    "1.2.840.10008.1.2.4.201": imagecodecs.htj2k_encode,
    "1.2.840.10008.1.2.8.1": lambda image: zlib.compress(image.tobytes(), wbits=-15),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_codecs_return_the_samples_that_were_encoded(syntax: str, bits: int):
    image = _ramp(bits)
    pixels = _gray(bits, allocated=bits)
    decoded = decode(bytes(LOSSLESS[syntax](image)), syntax, pixels, LIMIT)
    assert decoded == image.astype(f"<u{bits // 8}").tobytes()


def test_eight_bit_codestreams_fill_sixteen_bit_cells():
    image = _ramp(8)
    frame = bytes(imagecodecs.jpegls_encode(image))
    decoded = decode(frame, "1.2.840.10008.1.2.4.80", _gray(8), LIMIT)
    assert decoded == image.astype("<u2").tobytes()


def test_signed_samples_of_twelve_bits_are_sign_extended():
    values = (np.arange(40 * 52).reshape(40, 52) % 4096 - 2048).astype(np.int16)
    frame = bytes(imagecodecs.jpegls_encode((values & 0xFFF).astype(np.uint16)))
    decoded = decode(frame, "1.2.840.10008.1.2.4.80", _gray(12, signed=True), LIMIT)
    np.testing.assert_array_equal(np.frombuffer(decoded, "<i2").reshape(40, 52), values)


@pytest.mark.parametrize(("size", "native"), [(16, b"\x01\x02"), (32, b"\x01\x02\x03\x04")])
def test_big_endian_cells_are_swapped(size: int, native: bytes):
    pixels = PixelFormat(1, 1, 1, size, size, 0, "MONOCHROME2", 0)
    assert decode(native[::-1], "1.2.840.10008.1.2.2", pixels, LIMIT) == native


def test_planar_configuration_is_the_order_that_is_asked_for():
    image = pydicom.dcmread(path("SC_rgb_rle.dcm"))
    interleaved = pixel_format(image, window_center=None)
    planar = replace(interleaved, planar_configuration=1)
    interleaved = replace(interleaved, planar_configuration=0)
    frame = frames(image)[0]
    first, second = (decode(frame, "1.2.840.10008.1.2.5", p, LIMIT) for p in (interleaved, planar))
    assert first != second
    np.testing.assert_array_equal(samples(first, interleaved), samples(second, planar))


def test_colours_of_jpeg_come_out_as_rgb_and_the_format_says_so():
    pixels = PixelFormat(16, 16, 3, 8, 8, 0, "YBR_FULL_422", 0)
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 250
    frame = bytes(imagecodecs.jpeg8_encode(red, level=95))
    syntax = "1.2.840.10008.1.2.4.50"
    decoded = samples(decode(frame, syntax, pixels, LIMIT), pixels)
    assert np.abs(decoded.astype(int) - red).max() < 6
    assert decoded_format(syntax, pixels).photometric_interpretation == "RGB"


def test_a_codestream_that_claims_a_larger_image_is_refused_before_it_is_decoded():
    bomb = bytearray(imagecodecs.jpeg2k_encode(_ramp(16), level=0, codecformat="J2K"))
    bomb[8:12] = (60_000).to_bytes(4, "big")
    with pytest.raises(Unprocessable, match="60000 pixels"):
        decode(bytes(bomb), "1.2.840.10008.1.2.4.90", _gray(16), LIMIT)


def test_a_frame_larger_than_the_limit_is_refused():
    with pytest.raises(OutOfResources, match="max_frame"):
        decode(
            b"", "1.2.840.10008.1.2.4.90", replace(_gray(16), rows=60_000, columns=60_000), LIMIT
        )


def test_deflated_frames_stop_inflating_at_the_size_of_a_frame():
    bomb = zlib.compress(bytes(50_000_000), wbits=-15)
    assert len(decode(bomb, "1.2.840.10008.1.2.8.1", _gray(16), LIMIT)) == 40 * 52 * 2


@pytest.mark.parametrize(
    ("change", "value"),
    [("rows", 0), ("columns", 70_000), ("samples_per_pixel", 9), ("bits_allocated", 12)],
)
def test_impossible_attributes_are_unprocessable(change: str, value: int):
    with pytest.raises(Unprocessable, match="Image Pixel module"):
        decode(b"", "1.2.840.10008.1.2.1", replace(_gray(12), **{change: value}), LIMIT)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.94", "1.2.3"])
def test_syntaxes_without_a_decoder_are_unsupported(syntax: str):
    with pytest.raises(Unsupported):
        decode(b"", syntax, _gray(16), LIMIT)


DAMAGED = [
    "SC_rgb_jpeg_gdcm.dcm",
    "MR_small_RLE.dcm",
    "JPGExtended.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
]


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_codestreams_give_an_error_or_a_frame_of_the_right_size(name: str):
    image = pydicom.dcmread(path(name))
    pixels = pixel_format(image)
    syntax = str(image.file_meta.TransferSyntaxUID)
    frame = frames(image)[0]
    random = np.random.default_rng(1)
    damaged = [b"", b"\xff\xd8", frame[:10], frame[: len(frame) // 3], random.bytes(500)]
    for _ in range(6):
        copy = bytearray(frame)
        for place in random.integers(0, len(copy), 5):
            copy[place] ^= 0x55
        damaged.append(bytes(copy))
    refused = 0
    for data in damaged:
        try:
            assert len(decode(data, syntax, pixels, LIMIT)) == frame_bytes(pixels)
        except Unprocessable:
            refused += 1
    assert refused >= 3
