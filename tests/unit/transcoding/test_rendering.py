"""Rendering, judged by the values of the pixels that come out."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import pixel_array

from isocenter.core.apis import PixelFormat, Region, Rendering
from isocenter.core.errors import Invalid, Unprocessable, Unsupported
from isocenter.transcoding.rendering import render
from support.pixel_files import frames, path, pixel_format

NATIVE = "1.2.840.10008.1.2.1"
PNG = Rendering("image/png")
GRAY = PixelFormat(1, 5, 1, 16, 16, 0, "MONOCHROME2", 0)


DECODERS = {
    "image/png": imagecodecs.png_decode,
    "image/jpeg": imagecodecs.jpeg8_decode,
    "image/gif": imagecodecs.gif_decode,
    "image/webp": imagecodecs.webp_decode,
}


def drawn(
    frame: bytes, pixels: PixelFormat, how: Rendering = PNG, syntax: str = NATIVE
) -> np.ndarray:
    image = render(frame, syntax, pixels, how, max_bytes=2**26, max_viewport=4096)
    return DECODERS[how.media_type](image)


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


def test_a_viewport_larger_than_the_image_is_filled_without_distortion():
    found = drawn(gray(0, 1, 2, 3, 4), GRAY, replace(PNG, columns=20, rows=20))
    assert found.tolist() == [[0] * 4 + [64] * 4 + [128] * 4 + [191] * 4 + [255] * 4] * 4


EXACT = PixelFormat(
    24, 36, 1, 8, 8, 0, "MONOCHROME2", 0, 127.5, 255.0, voi_lut_function="LINEAR_EXACT"
)  # fmt: skip
NOISE = np.random.default_rng(7).integers(0, 256, (24, 36), np.uint8)


def covering(pixels: int, start: float, extent: float, size: int) -> np.ndarray:
    """How much each of `size` places takes of each pixel, worked out one by one."""
    step = extent / size
    return np.array(
        [
            [
                max(0.0, min(start + (n + 1) * step, at + 1) - max(start + n * step, at)) / step
                for at in range(pixels)
            ]
            for n in range(size)
        ]
    )


@pytest.mark.parametrize(
    ("region", "viewport", "size"),
    [
        (Region(), (0, 0), (36, 24)),
        (Region(), (18, 18), (18, 12)),
        (Region(), (100, 7), (10, 7)),
        (Region(), (90, 90), (90, 60)),
        (Region(), (50, 0), (50, 33)),
        (Region(), (0, 16), (24, 16)),
        (Region(4, 6, 12, 8), (0, 0), (12, 8)),
        (Region(4, 6, 12, 8), (6, 6), (6, 4)),
        (Region(4.25, 6.5, 9.5, 7.25), (0, 0), (10, 7)),
        (Region(4.25, 6.5, 9.5, 7.25), (40, 40), (40, 31)),
        (Region(30, 20), (12, 12), (12, 8)),
        (Region(30, 20, 100, 100), (12, 12), (12, 8)),
        (Region(0, 0, 0.5, 0.5), (3, 3), (3, 3)),
        (Region(35.5, 23.5, 0.5, 0.5), (3, 3), (3, 3)),
    ],
)
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_a_region_is_cut_out_flipped_and_scaled(
    region: Region, viewport: tuple[int, int], size: tuple[int, int], flips: tuple[bool, bool]
):
    how = replace(
        PNG, source=region, columns=viewport[0], rows=viewport[1],
        flip_horizontal=flips[0], flip_vertical=flips[1],
    )  # fmt: skip
    found = drawn(NOISE.tobytes(), EXACT, how)
    width = min(region.width or 36, 36 - region.x)
    height = min(region.height or 24, 24 - region.y)
    expected = (
        covering(24, region.y, height, size[1]) @ NOISE @ covering(36, region.x, width, size[0]).T
    )
    expected = expected[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1.6


def test_colours_are_scaled_sample_by_sample():
    colours = np.random.default_rng(8).integers(0, 256, (24, 36, 3), np.uint8)
    pixels = PixelFormat(24, 36, 3, 8, 8, 0, "RGB", 0)
    found = drawn(colours.tobytes(), pixels, replace(PNG, columns=18, rows=12))
    expected = colours.reshape(12, 2, 18, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    "region",
    [
        Region(36),
        Region(0, 24),
        Region(-1),
        Region(0, 0, -2),
        Region(1e9, 0, 1, 1),
        Region(0, 0, 1e-308, 1e-308),
    ],
)
def test_a_region_outside_of_the_image_is_invalid(region: Region):
    with pytest.raises(Invalid, match="region"):
        drawn(NOISE.tobytes(), EXACT, replace(PNG, source=region))


def test_a_region_may_be_a_point():
    how = replace(PNG, source=Region(20, 10, 2e-6, 2e-6), columns=4096, rows=4096)
    found = drawn(NOISE.tobytes(), EXACT, how)
    assert np.unique(found).tolist() == [NOISE[10, 20]]


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("region", [Region(3, 0, 1, 0), Region(0, 3, 0, 1), Region(3, 3, 0.5, 0.5)])
@pytest.mark.parametrize("flip", [False, True])
def test_a_row_a_column_and_a_pixel_are_pictures(kind: str, region: Region, flip: bool):
    how = Rendering(kind, source=region, flip_horizontal=flip, flip_vertical=flip)
    found = drawn(NOISE.tobytes(), EXACT, how)
    assert found.shape[:2] == (round(region.height or 24) or 1, round(region.width or 36) or 1)


EDGES = st.floats(0, 60) | st.floats()


@settings(max_examples=200, deadline=None)
@given(
    st.builds(Region, EDGES, EDGES, EDGES, EDGES),
    st.integers(0, 200),
    st.integers(0, 200),
    st.booleans(),
    st.booleans(),
)
def test_any_region_and_viewport_is_drawn_or_invalid(
    region: Region, columns: int, rows: int, across: bool, down: bool
):
    how = Rendering("image/png", 90, None, None, columns, rows, "", region, across, down)
    try:
        found = drawn(NOISE.tobytes(), EXACT, how)
    except Invalid:
        return
    if columns or rows:
        height, width = found.shape
        assert height <= (rows or 4096)
        assert width <= (columns or 4096)
        assert height == rows or width == columns or 4096 in found.shape
    assert NOISE.min() <= found.min() <= found.max() <= NOISE.max()


def test_one_bound_of_the_viewport_never_makes_the_other_edge_too_long():
    tall = replace(EXACT, rows=864, columns=1)
    found = drawn(NOISE.tobytes(), tall, replace(PNG, columns=4000))
    assert found.shape == (4096, 5)


@pytest.mark.parametrize(
    ("function", "share"),
    [
        ("LINEAR", lambda x: (x - (500 - 0.5)) / (200 - 1) + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 500) / 200 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 500) / 200))),
    ],
)
@pytest.mark.parametrize("own", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_requested_window_function_is_used(function: str, share, own: str):
    values = np.linspace(300, 700, 401).astype("<u2")
    pixels = replace(GRAY, columns=401, voi_lut_function=own)
    how = replace(PNG, window_center=500.0, window_width=200.0, window_function=function)
    expected = 255 * np.clip(share(values.astype(float)), 0, 1)
    assert np.abs(drawn(values.tobytes(), pixels, how)[0] - expected).max() <= 0.51


def test_a_window_of_width_one_is_a_threshold():
    how = replace(PNG, window_center=2.0, window_width=1.0, window_function="LINEAR")
    assert drawn(gray(0, 1, 2, 3, 4), GRAY, how).tolist() == [[0, 0, 255, 255, 255]]


@pytest.mark.parametrize("kind", ["image/gif", "image/webp", "image/jpeg"])
def test_other_files_hold_the_same_picture(kind: str):
    ramp = np.arange(64 * 64, dtype="<u2")
    pixels = replace(GRAY, rows=64, columns=64)
    exact = drawn(ramp.tobytes(), pixels)
    found = drawn(ramp.tobytes(), pixels, replace(PNG, media_type=kind, quality=100))
    if kind == "image/gif":
        np.testing.assert_array_equal(found, np.repeat(exact[:, :, None], 3, axis=2))
    else:
        other = found if found.ndim == 2 else found[:, :, 0]
        assert np.abs(exact.astype(int) - other).max() <= 4


def test_a_gif_has_the_colours_of_the_image_or_near_ones():
    pixels = PixelFormat(24, 36, 3, 8, 8, 0, "RGB", 0)
    few = np.random.default_rng(9).integers(0, 6, (24, 36, 3), np.uint8) * 50
    gif = Rendering("image/gif")
    np.testing.assert_array_equal(drawn(few.tobytes(), pixels, gif), few)
    many = np.random.default_rng(9).integers(0, 256, (24, 36, 3), np.uint8)
    found = drawn(many.tobytes(), pixels, gif)
    assert np.abs(found.astype(int) - many).max() <= 26  # half a step of five


def test_a_gif_of_noise_is_whole():
    noise = np.random.default_rng(3).integers(0, 256, (200, 300), np.uint8)
    found = drawn(noise.tobytes(), replace(EXACT, rows=200, columns=300), Rendering("image/gif"))
    np.testing.assert_array_equal(found[:, :, 0], noise)


def test_what_is_too_large_for_a_kind_of_file_is_unsupported():
    wide = replace(EXACT, rows=1, columns=20_000)
    with pytest.raises(Unsupported, match="too large for image/webp"):
        drawn(bytes(20_000), wide, Rendering("image/webp"))


def test_jpeg_is_close_to_png():
    image = pydicom.dcmread(path("CT_small.dcm"))
    pixels = pixel_format(image, rescale_intercept=-1024.0)
    exact = drawn(image.PixelData, pixels)
    lossy = drawn(image.PixelData, pixels, Rendering("image/jpeg", quality=95))
    assert np.abs(exact.astype(int) - lossy).mean() < 2
    assert exact.std() > 20


def test_what_cannot_be_drawn_says_so():
    with pytest.raises(Unsupported, match="image/bmp"):
        drawn(gray(*range(5)), GRAY, Rendering("image/bmp"))
    with pytest.raises(Invalid, match="viewport"):
        drawn(gray(*range(5)), GRAY, replace(PNG, columns=5000))
    with pytest.raises(Unsupported, match="photometric"):
        drawn(gray(*range(5)), replace(GRAY, photometric_interpretation="HSV"))
