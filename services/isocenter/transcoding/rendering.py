"""Drawing a frame: modality LUT, VOI LUT, colour, region and size, an image file (PS3.4 N.2,
PS3.3 C.11, PS3.18 8.3.5.1).

The object's own window unless another is asked for, the range of the frame where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from isocenter.core.apis import PixelFormat, Rendering
from isocenter.core.errors import Invalid, Unprocessable, Unsupported
from isocenter.transcoding.codecs import decode, decoded_format, sign_extended

Gray = NDArray[np.float32]
Image = NDArray[np.uint8]
Edges = NDArray[np.float64]
Window = Callable[[Gray, float, float], Gray]


def render(
    frame: bytes,
    transfer_syntax: str,
    pixels: PixelFormat,
    how: Rendering,
    *,
    max_bytes: int,
    max_viewport: int,
) -> bytes:
    """One frame as an image file of 8 bits. Raises `Unsupported` for other media types and
    photometric interpretations, `Unprocessable`, `Invalid` for a viewport or region out of
    range."""
    encode = _ENCODERS.get(how.media_type)
    if encode is None:
        raise Unsupported(
            f"frames are not rendered as {how.media_type[:64]!r}",
            fix=f"ask for {' or '.join(_ENCODERS)}",
        )
    if max(how.columns, how.rows) > max_viewport or min(how.columns, how.rows) < 0:
        raise Invalid(
            f"a viewport of {how.columns} x {how.rows} pixels",
            fix=f"ask for at most {max_viewport} x {max_viewport}",
        )
    native = decode(frame, transfer_syntax, pixels, max_bytes)
    samples = _samples(native, decoded_format(transfer_syntax, pixels))
    image = _fitted(_drawn(samples, transfer_syntax, pixels, how), how, max_viewport)
    try:
        # A view of one row or column may have strides that numpy takes, and the codecs do not.
        return encode(image.copy(), how.quality)
    except (RuntimeError, ValueError) as error:
        # imagecodecs derives the errors of its codecs from RuntimeError.
        raise Unsupported(
            f"a picture of {image.shape[1]} x {image.shape[0]} pixels is too large for"
            f" {how.media_type}",
            fix="ask for a smaller viewport, or for image/png",
        ) from error


# --- samples -------------------------------------------------------------------------------------


def _samples(native: bytes, pixels: PixelFormat) -> NDArray[Any]:
    """Sample values as numbers, shaped (rows, columns, samples)."""
    rows, columns, count = pixels.rows, pixels.columns, pixels.samples_per_pixel
    bits = pixels.bits_allocated
    if bits == 1:
        flat = np.unpackbits(np.frombuffer(native, np.uint8), bitorder="little")
        return flat[: rows * columns].reshape(rows, columns, 1)
    if pixels.photometric_interpretation == "YBR_FULL_422" and len(native) == rows * columns * 2:
        return _upsampled(native, pixels)
    samples: NDArray[Any] = np.frombuffer(native, f"<u{bits // 8}")
    if pixels.bits_stored < bits:
        # Overlays and other leftovers may stand above bits stored.
        samples = samples & ((1 << pixels.bits_stored) - 1)
    if pixels.pixel_representation == 1:
        samples = sign_extended(samples, pixels.bits_stored, bits // 8)
    if pixels.planar_configuration == 1 and count > 1:
        return samples.reshape(count, rows, columns).transpose(1, 2, 0)
    return samples.reshape(rows, columns, count)


def _upsampled(native: bytes, pixels: PixelFormat) -> NDArray[np.uint8]:
    """Native YBR_FULL_422: Y Y Cb Cr for every two pixels (PS3.3 C.7.6.3.1.2)."""
    pairs = np.frombuffer(native, np.uint8).reshape(pixels.rows, pixels.columns // 2, 4)
    samples = np.empty((pixels.rows, pixels.columns, 3), np.uint8)
    samples[:, :, 0] = pairs[:, :, :2].reshape(pixels.rows, pixels.columns)
    samples[:, :, 1:] = np.repeat(pairs[:, :, 2:], 2, axis=1)
    return samples


# --- grayscale and colour ------------------------------------------------------------------------


def _drawn(
    samples: NDArray[Any], transfer_syntax: str, pixels: PixelFormat, how: Rendering
) -> Image:
    """The frame as 8-bit gray (rows, columns) or RGB (rows, columns, 3)."""
    photometric = decoded_format(transfer_syntax, pixels).photometric_interpretation
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        gray = _windowed(samples[:, :, 0], pixels, how)
        return 255 - gray if photometric == "MONOCHROME1" else gray
    if photometric == "PALETTE COLOR":
        return _palette(samples[:, :, 0], pixels)
    if samples.shape[2] >= 3 and photometric in _TO_RGB:
        shift = pixels.bits_stored - 8
        eight = (samples >> shift if shift > 0 else samples)[:, :, :3].astype(np.uint8)
        return _TO_RGB[photometric](eight)
    raise Unsupported(
        f"photometric interpretation {photometric[:16]!r} with {samples.shape[2]} samples is not"
        " drawn here",
        fix="retrieve the frame itself",
    )


def _windowed(values: NDArray[Any], pixels: PixelFormat, how: Rendering) -> Image:
    gray: Gray = values.astype(np.float32)
    if pixels.rescale_slope != 1.0 or pixels.rescale_intercept != 0.0:
        gray = gray * np.float32(pixels.rescale_slope) + np.float32(pixels.rescale_intercept)
    center, width, function = pixels.window_center, pixels.window_width, pixels.voi_lut_function
    if how.window_center is not None and how.window_width is not None:
        center, width = how.window_center, how.window_width
        function = how.window_function or function
    if center is None or width is None or width <= 0:
        low, high = float(gray.min()), float(gray.max())
        center, width, function = (low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT"
    window = _WINDOWS.get(function, _linear)
    share = np.clip(window(gray, center, width), 0.0, 1.0)
    return (share * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _linear(values: Gray, center: float, width: float) -> Gray:
    """PS3.3 C.11.2.1.2.1."""
    if width <= 1:
        return (values > center - 0.5).astype(np.float32)
    return (values - np.float32(center - 0.5)) / np.float32(width - 1) + np.float32(0.5)


def _linear_exact(values: Gray, center: float, width: float) -> Gray:
    """PS3.3 C.11.2.1.3.2."""
    return (values - np.float32(center)) / np.float32(width) + np.float32(0.5)


def _sigmoid(values: Gray, center: float, width: float) -> Gray:
    """PS3.3 C.11.2.1.3.1."""
    exponent = np.clip(-4 * (values - np.float32(center)) / np.float32(width), -80, 80)
    share: Gray = 1 / (1 + np.exp(exponent, dtype=np.float32))
    return share


_WINDOWS: Mapping[str, Window] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}


def _palette(values: NDArray[Any], pixels: PixelFormat) -> Image:
    """PS3.3 C.7.6.3.1.5: values below the first mapped take the first entry, those above the
    last take the last."""
    if not pixels.palette or not all(pixels.palette):
        raise Unprocessable(
            "PALETTE COLOR without its three look-up tables, or with segmented ones",
            fix="retrieve the frame itself",
        )
    place = values.astype(np.int64) - pixels.palette_first
    tables = [np.frombuffer(table, np.uint8) for table in pixels.palette]
    return np.stack([table[np.clip(place, 0, len(table) - 1)] for table in tables], axis=2)


def _ybr_full(samples: Image) -> Image:
    """PS3.3 C.7.6.3.1.2, full range, ITU-R BT.601."""
    y, cb, cr = (samples[:, :, n].astype(np.float32) for n in range(3))
    cb -= 128
    cr -= 128
    rgb = np.stack((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), axis=2)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


_TO_RGB: Mapping[str, Callable[[Image], Image]] = {
    "RGB": np.ascontiguousarray,
    "YBR_FULL": _ybr_full,
    "YBR_FULL_422": _ybr_full,
}


# --- region and size -----------------------------------------------------------------------------


def _fitted(image: Image, how: Rendering, max_viewport: int) -> Image:
    """The source region, flipped, as large as fits into the viewport with its aspect ratio."""
    left, width = _within(how.source.x, how.source.width, image.shape[1])
    top, height = _within(how.source.y, how.source.height, image.shape[0])
    columns, rows = _size(width, height, how, max_viewport)
    image = _resampled(image, top, height, rows)
    image = _resampled(image.swapaxes(0, 1), left, width, columns).swapaxes(0, 1)
    if how.flip_horizontal:
        image = image[:, ::-1]
    return image[::-1] if how.flip_vertical else image


def _within(start: float, extent: float, edge: int) -> tuple[float, float]:
    """Where a region begins and how far it reaches along one axis; what lies beyond the edge of
    the image is no part of it."""
    end = min(start + extent, edge) if extent else edge
    if not 0 <= start <= end - _ROUNDING:
        raise Invalid(
            f"a region from {start:g} to {end:g} of {edge} pixels",
            fix="ask for a part of the image",
        )
    return start, end - start


def _size(width: float, height: float, how: Rendering, max_viewport: int) -> tuple[int, int]:
    if not (how.columns or how.rows):
        return max(1, round(width)), max(1, round(height))
    columns, rows = how.columns or max_viewport, how.rows or max_viewport
    ratio = min(columns / width, rows / height)
    return (
        min(max(1, round(width * ratio)), columns),
        min(max(1, round(height * ratio)), rows),
    )


def _resampled(image: Image, start: float, extent: float, size: int) -> Image:
    """`size` rows, each the mean of the part of the image that it covers. So an image that is made
    larger shows its pixels, and nothing that is not there."""
    if start == int(start) and extent == size:
        return image[int(start) : int(start) + size]
    edges = start + extent * np.arange(size + 1) / size
    work = _averaged if extent > size + _ROUNDING else _interpolated
    made = np.empty((size, *image.shape[1:]), np.uint8)
    step = max(1, _STRIP // max(len(image), size))
    for at in range(0, image.shape[1], step):
        work(image[:, at : at + step], edges, extent / size, made[:, at : at + step])
    return made


def _averaged(image: Image, edges: Edges, length: float, made: Image) -> None:
    """Rows that cover a row of the image or more."""
    whole = np.minimum(edges.astype(np.intp), len(image) - 1)
    part = _along((edges - whole).astype(np.float32), image)
    sums = np.add.reduceat(image[: whole[-1]], whole[:-1], dtype=np.uint32)
    covered = sums + np.diff(part * image[whole], axis=0)
    made[:] = covered / np.float32(length) + np.float32(0.5)


def _interpolated(image: Image, edges: Edges, length: float, made: Image) -> None:
    """Rows that cover a row of the image or less, so parts of two at most."""
    first = edges[:-1].astype(np.intp)
    second = np.minimum(first + 1, len(image) - 1)
    share = np.clip((second - edges[:-1]) / length, 0, 1)
    weight = _along((share * 256 + 0.5).astype(np.uint16), image)
    made[:] = (image[first] * weight + image[second] * (256 - weight) + 128) >> 8


def _along(values: NDArray[Any], image: Image) -> NDArray[Any]:
    """Shaped so that each belongs to a row."""
    return values.reshape(-1, *[1] * (image.ndim - 1))


# --- file ----------------------------------------------------------------------------------------


def _png(image: Image, quality: int) -> bytes:
    del quality  # lossless
    return bytes(imagecodecs.png_encode(image, level=3))


def _jpeg(image: Image, quality: int) -> bytes:
    level = min(max(quality, 1), 100)
    return bytes(imagecodecs.jpeg8_encode(image, level=level))


def _webp(image: Image, quality: int) -> bytes:
    level = min(max(quality, 1), 100)
    rgb = np.repeat(image[:, :, np.newaxis], 3, axis=2) if image.ndim == 2 else image
    return bytes(imagecodecs.webp_encode(rgb, level=level))


def _gif(image: Image, quality: int) -> bytes:
    """Gray as it is; colours as they are where there are no more than 256, else the nearest of a
    cube."""
    del quality
    if image.ndim == 2:
        return _gif_file(image, None)
    red, green, blue = (image[:, :, sample].astype(np.uint32) for sample in range(3))
    colours, places = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    if len(colours) > _GIF_COLOURS:
        levels = [_nearest(image[:, :, sample], count) for sample, count in enumerate(_CUBE)]
        places = np.ravel_multi_index(levels, _CUBE)
        steps = [np.arange(count) * 255 // (count - 1) for count in _CUBE]
        table = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    else:
        table = np.stack((colours >> 16, colours >> 8 & 255, colours & 255), axis=1)
    colormap = np.zeros((_GIF_COLOURS, 3), np.uint8)
    colormap[: len(table)] = table
    indices = places.reshape(image.shape[:2]).astype(np.uint8)
    return _gif_file(indices, colormap)


def _gif_file(indices: Image, colormap: Image | None) -> bytes:
    # Noise needs codes of 12 bits for its 8: the codec's own guess is too short.
    room = 2 * indices.size + 4096
    return bytes(imagecodecs.gif_encode(indices, colormap=colormap, out=room))


def _nearest(samples: Image, count: int) -> NDArray[Any]:
    """Of `count` levels from 0 to 255, the number of the nearest."""
    return (samples.astype(np.uint16) * (count - 1) + 127) // 255


_ROUNDING = 1e-6  # pixels, far above what sums of edges can be wrong by
_STRIP = 1024 * 1024  # samples that are resampled at once
_GIF_COLOURS = 256
_CUBE = (6, 7, 6)  # levels of red, green and blue: 252 colours

_ENCODERS: Mapping[str, Callable[[Image, int], bytes]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
}
