"""Rendering, judged by the values of the pixels that come out."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from isocenter.core.apis import PixelFormat, Rendering
from isocenter.core.errors import Invalid, Unprocessable, Unsupported
from isocenter.transcoding.rendering import render
from support.pixel_files import frames, path, pixel_format

NATIVE = "1.2.840.10008.1.2.1"
PNG = Rendering("image/png")
GRAY = PixelFormat(1, 5, 1, 16, 16, 0, "MONOCHROME2", 0)


def drawn(
    frame: bytes, pixels: PixelFormat, how: Rendering = PNG, syntax: str = NATIVE
) -> np.ndarray:
    image = render(frame, syntax, pixels, how, max_bytes=2**26, max_viewport=4096)
    if how.media_type == "image/png":
        return imagecodecs.png_decode(image)
    return imagecodecs.jpeg8_decode(image)


def gray(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


def test_without_a_window_the_range_of_the_frame_is_shown():
    assert drawn(gray(100, 200, 300, 400, 500), GRAY).tolist() == [[0, 64, 128, 191, 255]]


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        ("LINEAR", [0, 0, 128, 255, 255]),
        ("LINEAR_EXACT", [0, 0, 128, 255, 255]),
        ("SIGMOID", [5, 27, 128, 228, 250]),
    ],
)
def test_the_window_function_of_the_object_is_used(function: str, shown: list[int]):
    pixels = replace(GRAY, window_center=500, window_width=200, voi_lut_function=function)
    found = drawn(gray(300, 394, 500, 606, 700), pixels)
    assert np.abs(found.astype(int) - [shown]).max() <= 1


def test_rescale_comes_before_the_window():
    pixels = replace(
        GRAY, rescale_slope=2, rescale_intercept=-1000, window_center=40, window_width=400
    )
    found = drawn(gray(420, 470, 520, 570, 620), pixels)
    assert np.abs(found.astype(int) - [[0, 64, 128, 192, 255]]).max() <= 1


def test_a_requested_window_replaces_the_one_of_the_object():
    pixels = replace(GRAY, window_center=0, window_width=10)
    how = replace(PNG, window_center=250.0, window_width=500.0)
    assert 120 < drawn(gray(0, 100, 250, 400, 500), pixels, how)[0, 2] < 135


def test_monochrome1_is_white_where_values_are_low():
    inverted = replace(GRAY, photometric_interpretation="MONOCHROME1")
    assert drawn(gray(0, 1, 2, 3, 4), inverted).tolist() == [[255, 191, 127, 64, 0]]


def test_bits_above_bits_stored_are_not_part_of_the_value():
    pixels = replace(GRAY, bits_stored=12)
    plain, with_overlay = gray(0, 10, 20, 30, 40), gray(0, 10 | 0x1000, 20, 30 | 0x4000, 40)
    np.testing.assert_array_equal(drawn(with_overlay, pixels), drawn(plain, pixels))


def test_signed_values_of_twelve_bits_are_negative():
    pixels = replace(GRAY, bits_stored=12, pixel_representation=1)
    assert drawn(gray(-2 & 0xFFF, -1 & 0xFFF, 0, 1, 2), pixels).tolist() == [[0, 64, 128, 191, 255]]


def test_a_palette_gives_colours_and_holds_its_ends():
    pixels = replace(
        GRAY,
        photometric_interpretation="PALETTE COLOR",
        palette=(b"\x00\x80\xff", b"\x01\x02\x03", b"\x07\x08\x09"),
        palette_first=10,
    )
    found = drawn(gray(0, 10, 11, 12, 99), pixels)
    assert found[0].tolist() == [[0, 1, 7], [0, 1, 7], [128, 2, 8], [255, 3, 9], [255, 3, 9]]


def test_a_palette_without_tables_is_unprocessable():
    with pytest.raises(Unprocessable, match="look-up tables"):
        drawn(gray(*range(5)), replace(GRAY, photometric_interpretation="PALETTE COLOR"))


def test_native_ybr_becomes_rgb():
    pixels = PixelFormat(1, 2, 3, 8, 8, 0, "YBR_FULL", 0)
    found = drawn(bytes([76, 85, 255, 29, 255, 107]), pixels)
    assert np.abs(found[0].astype(int) - [[254, 0, 0], [0, 0, 254]]).max() <= 2


def test_subsampled_native_ybr_is_upsampled():
    image = pydicom.dcmread(path("SC_ybr_full_422_uncompressed.dcm"))
    found = drawn(image.PixelData, pixel_format(image))
    assert np.abs(found.astype(int) - pixel_array(image)).max() <= 1


@pytest.mark.parametrize(
    "name", ["SC_rgb_dcmtk_+eb+cy+s2.dcm", "SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm"]
)
def test_the_colour_bars_are_red_first_in_every_encoding(name: str):
    image = pydicom.dcmread(path(name))
    syntax = str(image.file_meta.TransferSyntaxUID)
    found = drawn(frames(image)[0], pixel_format(image), PNG, syntax)
    red, green, blue = (int(value) for value in found[5, 50])
    assert red > 240
    assert max(green, blue) < 15


def test_single_bits_are_black_and_white():
    pixels = PixelFormat(2, 8, 1, 1, 1, 0, "MONOCHROME2", 0)
    found = drawn(bytes([0b00000011, 0b10000000]), pixels)
    assert found.tolist() == [[255, 255, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 255]]


def test_a_thumbnail_is_the_average_and_keeps_the_aspect_ratio():
    pixels = replace(GRAY, rows=40, columns=80, window_center=128, window_width=256)
    pixels = replace(pixels, voi_lut_function="LINEAR_EXACT")
    board = np.indices((40, 80)).sum(axis=0) % 2 * 255
    found = drawn(board.astype("<u2").tobytes(), pixels, replace(PNG, columns=20, rows=20))
    assert found.shape == (10, 20)
    assert np.abs(found.astype(int) - 128).max() <= 1


def test_a_viewport_larger_than_the_image_does_not_enlarge_it():
    found = drawn(gray(*range(5)), GRAY, replace(PNG, columns=500, rows=500))
    assert found.shape == (1, 5)


def test_jpeg_is_close_to_png():
    image = pydicom.dcmread(path("CT_small.dcm"))
    pixels = pixel_format(image, rescale_intercept=-1024.0)
    exact = drawn(image.PixelData, pixels)
    lossy = drawn(image.PixelData, pixels, Rendering("image/jpeg", quality=95))
    assert np.abs(exact.astype(int) - lossy).mean() < 2
    assert exact.std() > 20


def test_what_cannot_be_drawn_says_so():
    with pytest.raises(Unsupported, match="image/gif"):
        drawn(gray(*range(5)), GRAY, Rendering("image/gif"))
    with pytest.raises(Invalid, match="viewport"):
        drawn(gray(*range(5)), GRAY, replace(PNG, columns=5000))
    with pytest.raises(Unsupported, match="photometric"):
        drawn(gray(*range(5)), replace(GRAY, photometric_interpretation="HSV"))
