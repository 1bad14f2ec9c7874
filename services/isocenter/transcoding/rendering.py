"""Drawing a frame: modality LUT, VOI LUT, colour, size, PNG or JPEG (PS3.4 N.2, PS3.3 C.11).

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
    """One frame as a PNG or JPEG file of 8 bits. Raises `Unsupported` for other media types and
    photometric interpretations, `Unprocessable`, `Invalid` for a viewport out of range."""
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
    return encode(_shrunk(_drawn(samples, transfer_syntax, pixels, how), how), how.quality)


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


# --- size and file -------------------------------------------------------------------------------


def _shrunk(image: Image, how: Rendering) -> Image:
    """Fitted into the viewport, keeping the aspect ratio; never enlarged."""
    rows, columns = image.shape[:2]
    ratio = min(
        how.columns / columns if how.columns else 1.0, how.rows / rows if how.rows else 1.0, 1.0
    )
    if ratio == 1.0:
        return image
    for axis, size in enumerate((max(1, round(rows * ratio)), max(1, round(columns * ratio)))):
        image = _averaged(image, size, axis)
    return image


def _averaged(image: Image, size: int, axis: int) -> Image:
    """`size` means of runs of (almost) equal length along one axis."""
    starts = np.arange(size) * image.shape[axis] // size
    lengths = np.diff(np.append(starts, image.shape[axis]))
    sums = np.add.reduceat(image, starts, axis=axis, dtype=np.uint32)
    shape = [1] * image.ndim
    shape[axis] = size
    lengths = lengths.reshape(shape)
    means: Image = ((sums + lengths // 2) // lengths).astype(np.uint8)
    return means


def _png(image: Image, quality: int) -> bytes:
    del quality  # lossless
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(image), level=3))


def _jpeg(image: Image, quality: int) -> bytes:
    level = min(max(quality, 1), 100)
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=level))


_ENCODERS: Mapping[str, Callable[[Image, int], bytes]] = {"image/jpeg": _jpeg, "image/png": _png}
