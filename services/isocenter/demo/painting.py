"""Painting phantoms: ellipsoids, tubes, smooth noise and interpolation, in millimetres."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = tuple[float, float, float]  # x to the patient's left, y to the back, z to the head


@dataclass(frozen=True, slots=True)
class Grid:
    """Where voxels are: arrays are indexed [z, y, x], the origin is in the middle."""

    shape: tuple[int, int, int]
    spacing: Point  # x, y, z

    def axis(self, number: int) -> Array:
        """Coordinates of the voxel centres along x (0), y (1) or z (2), mm."""
        count = self.shape[2 - number]
        places = (np.arange(count, dtype=np.float32) - (count - 1) / 2) * self.spacing[number]
        return places.astype(np.float32)


class Volume:
    """A scalar field to paint on."""

    def __init__(self, grid: Grid, background: float) -> None:
        self.grid = grid
        self.values: Array = np.full(grid.shape, background, np.float32)
        self._axes = tuple(grid.axis(number) for number in range(3))

    def ellipsoid(
        self, center: Point, radii: Point, value: float, soft: float = 0.08, power: float = 2
    ) -> None:
        """A blob whose edge takes the share `soft` of its radius; `power` above 2 is boxier."""
        spans = []
        for axis, middle, radius in zip(self._axes, center, radii, strict=True):
            low, high = np.searchsorted(axis, (middle - radius, middle + radius))
            if low == high:
                return
            spans.append(slice(int(low), int(high)))
        x, y, z = (
            np.abs((axis[span] - middle) / radius) ** power
            for axis, span, middle, radius in zip(self._axes, spans, center, radii, strict=True)
        )
        # Near its edge 1 - d**p is p * (1 - d): no roots of whole volumes are needed.
        cover = (1 - z)[:, None, None] - y[None, :, None] - x[None, None, :]
        cover = np.clip(cover.astype(np.float32) / np.float32(power * soft), 0, 1)
        place = self.values[spans[2], spans[1], spans[0]]
        place += cover * (np.float32(value) - place)

    def tube(self, points: Iterable[Point], radii: Iterable[float], value: float) -> None:
        """Balls along a path; the points must lie closer than the radii."""
        for point, radius in zip(points, radii, strict=False):
            self.ellipsoid(point, (radius, radius, radius), value, soft=0.3)


def smoothed(values: Array, radius: int, axes: Iterable[int]) -> Array:
    """Two box filters along each axis: nearly a Gaussian."""
    for axis in axes:
        for _ in range(2):
            padded = np.concatenate(
                (np.take(values, range(-radius - 1, 0), axis), values,
                 np.take(values, range(radius), axis)), axis,
            )  # fmt: skip
            total = np.cumsum(padded, axis=axis, dtype=np.float64)
            size = values.shape[axis]
            upper = np.take(total, range(2 * radius + 1, 2 * radius + 1 + size), axis)
            lower = np.take(total, range(size), axis)
            values = ((upper - lower) / (2 * radius + 1)).astype(np.float32)
    return values


def noise(rng: np.random.Generator, shape: tuple[int, ...], radius: int) -> Array:
    """Smooth noise of unit variance."""
    white = rng.standard_normal(shape, dtype=np.float32)
    soft = smoothed(white, radius, range(len(shape))) if radius else white
    scaled: Array = soft / soft.std()
    return scaled


def grain(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """The noise of a detector: unit variance, a little smooth along the last two axes."""
    values = rng.standard_normal(shape, dtype=np.float32)
    values[..., 1:] += values[..., :-1]
    values[..., 1:, :] += values[..., :-1, :]
    values *= np.float32(0.5)
    return values


def enlarged(image: Array, factor: int) -> Array:
    """Bilinear interpolation to `factor` times the size of a 2D image."""
    for axis in (0, 1):
        size = image.shape[axis]
        places = (np.arange(size * factor) + 0.5) / factor - 0.5
        low = np.clip(np.floor(places).astype(int), 0, size - 1)
        high = np.clip(low + 1, 0, size - 1)
        share = np.clip(places - low, 0, 1).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image
