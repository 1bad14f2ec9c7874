"""The phantoms: a torso in Hounsfield units or as tracer uptake, and a head in MR contrast."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin

import numpy as np

from isocenter.demo.painting import Array, Grid, Point, Volume, grain, noise

_FAT, _MUSCLE, _LUNG, _AIR = -95.0, 55.0, -840.0, -1000.0
_BLOOD, _LIVER, _SPLEEN, _KIDNEY, _MARROW, _CORTEX = 150.0, 110.0, 120.0, 165.0, 220.0, 750.0
_TOP, _BOTTOM = 150.0, -150.0  # of the torso, mm

# Organs of the abdomen: middle, radii, Hounsfield units, tracer uptake (standardised).
_ABDOMEN: tuple[tuple[Point, Point, float, float], ...] = (
    ((-58, -18, -72), (82, 72, 58), _LIVER, 2.3),
    ((-14, -48, -62), (62, 42, 34), _LIVER, 2.3),
    ((98, 38, -68), (30, 44, 44), _SPLEEN, 1.9),
    ((58, -36, -82), (44, 36, 40), 40.0, 1.2),
    ((54, -52, -74), (30, 18, 24), _AIR, 0.1),
    ((-52, 58, -122), (27, 24, 46), _KIDNEY, 5.5),
    ((60, 56, -114), (27, 24, 48), _KIDNEY, 5.5),
    ((-50, 56, -122), (10, 10, 20), 20.0, 9.0),
    ((56, 54, -114), (10, 10, 20), 20.0, 9.0),
    ((-44, -52, -104), (16, 16, 26), 12.0, 0.6),
    ((12, -8, -104), (46, 12, 12), 85.0, 1.5),
)
_LESIONS: tuple[tuple[Point, float], ...] = (
    ((-70, 12, 48), 11.0),
    ((-34, 4, 22), 7.0),
    ((-74, -30, -66), 10.0),
)
_HEART: tuple[Point, Point] = ((22, -38, 4), (58, 48, 46))


def torso(grid: Grid, seed: int) -> Array:
    """Chest and upper abdomen, about 300 mm high, in Hounsfield units."""
    rng = np.random.default_rng(seed)
    body = Volume(grid, _AIR)
    _walls(body)
    _lungs(body, rng)
    _mediastinum(body)
    for center, radii, value, _ in _ABDOMEN:
        body.ellipsoid(center, radii, value, soft=0.06)
    for center, radius in _LESIONS:
        body.ellipsoid(center, (radius, radius, radius), 45, soft=0.2)
    _spine(body)
    for points in _ribs():
        body.tube(points, (4.6,) * len(points), _CORTEX * 0.75)
        body.tube(points, (2.6,) * len(points), _MARROW)
    body.ellipsoid((0, -98, 40), (16, 6, 78), _CORTEX * 0.6, soft=0.2, power=3)
    body.values += grain(rng, grid.shape) * 11
    return np.clip(body.values, -1024, 3071)


def uptake(grid: Grid, seed: int) -> Array:
    """The same torso as standardised uptake values of a glucose tracer."""
    rng = np.random.default_rng(seed)
    body = Volume(grid, 0.02)
    body.ellipsoid((0, 0, 0), (172, 112, 600), 0.45, soft=0.05, power=2.4)
    for side in (-1, 1):
        body.ellipsoid((side * 74, 0, 48), (62, 84, 118), 0.35, soft=0.15, power=2.3)
    center, radii = _HEART
    body.ellipsoid(center, radii, 5.0, soft=0.25)
    body.ellipsoid(center, (36, 28, 28), 1.6, soft=0.3)
    for middle, size, _, value in _ABDOMEN:
        body.ellipsoid(middle, size, value, soft=0.25)
    for z in np.arange(_BOTTOM, _TOP, 24):
        body.ellipsoid((0, 64, float(z)), (22, 18, 10), 1.3, soft=0.4)
    for middle, radius in _LESIONS:
        body.ellipsoid(middle, (radius + 3,) * 3, 9.0, soft=0.6)
    counts = noise(rng, grid.shape, 1)
    return np.clip(body.values * (1 + 0.09 * counts) + 0.02 * np.abs(counts), 0, None)


def _walls(body: Volume) -> None:
    body.ellipsoid((0, 0, 0), (176, 116, 600), _FAT, soft=0.015, power=2.4)
    body.ellipsoid((0, 2, 0), (162, 102, 600), _MUSCLE, soft=0.02, power=2.5)
    body.ellipsoid((0, -6, -130), (142, 84, 78), _FAT, soft=0.05, power=2.6)
    for side in (-1, 1):
        body.ellipsoid((side * 46, 88, 0), (38, 18, 600), _MUSCLE, soft=0.2)
        body.ellipsoid((side * 22, 84, 0), (14, 14, 600), _FAT, soft=0.4)
        body.ellipsoid((side * 66, -92, 74), (58, 20, 54), _MUSCLE, soft=0.2)


def _lungs(body: Volume, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        body.ellipsoid((side * 76, 2, 44), (64, 88, 112), _LUNG, soft=0.04, power=2.4)
    for side in (-1, 1):
        # The domes of the diaphragm.
        body.ellipsoid((side * 76, 6, -96), (78, 92, 62), _MUSCLE, soft=0.04)
        for _ in range(26):
            _vessel(body, rng, (side * 26.0, 4.0, 30.0), side)


def _vessel(body: Volume, rng: np.random.Generator, start: Point, side: int) -> None:
    """A branch of the pulmonary tree: outwards from the hilum, thinner and thinner."""
    heading = np.array([side * rng.uniform(0.35, 1), rng.uniform(-0.9, 0.9), rng.uniform(-1, 1)])
    heading /= np.linalg.norm(heading)
    place = np.array(start) + rng.normal(0, 5, 3)
    radius = rng.uniform(2.6, 5.2)
    for _ in range(58):
        place = place + heading * 1.7
        heading = heading + rng.normal(0, 0.09, 3)
        heading /= np.linalg.norm(heading)
        radius *= 0.972
        inside = ((abs(place[0]) - 76) / 62) ** 2 + ((place[1] - 2) / 85) ** 2
        if inside + ((place[2] - 44) / 108) ** 2 > 1 or place[2] < -36:
            break
        body.tube([(place[0], place[1], place[2])], [max(radius, 1.1)], 60)


def _mediastinum(body: Volume) -> None:
    body.ellipsoid((0, 4, 60), (36, 66, 100), _FAT + 60, soft=0.1, power=2.6)
    center, radii = _HEART
    body.ellipsoid(center, tuple(r + 5 for r in radii), _FAT, soft=0.06)  # type: ignore[arg-type]
    body.ellipsoid(center, radii, 95, soft=0.06)
    for middle, size in (
        ((40, -44, -4), (24, 20, 24)),
        ((4, -56, 4), (24, 16, 26)),
        ((22, -8, 18), (28, 15, 20)),
        ((-18, -30, 16), (18, 20, 22)),
    ):
        body.ellipsoid(middle, size, _BLOOD + 25, soft=0.2)
    down = [(22.0, 44.0, float(z)) for z in np.arange(_BOTTOM - 10, 82, 4)]
    arch = [
        (22 - 14 * sin(t), 44 - 36 * (1 - cos(t)), 82 + 18 * sin(t)) for t in np.arange(0, pi, 0.12)
    ]
    up = [(2.0, -28.0, float(z)) for z in np.arange(30, 84, 4)]
    for path, radius in ((down, 12.5), (arch, 13.0), (up, 15.0)):
        body.tube(path, [radius] * len(path), _BLOOD + 40)
    cava = [(-26.0, -14.0 + 30 * (z < -20), float(z)) for z in np.arange(_BOTTOM - 10, 140, 4)]
    body.tube(cava, [11.0] * len(cava), _BLOOD)
    trachea = [(0.0, 6.0, float(z)) for z in np.arange(48, _TOP + 20, 3)]
    body.tube(trachea, [11.0] * len(trachea), 40)
    body.tube(trachea, [9.0] * len(trachea), _AIR)
    for side in (-1, 1):
        bronchus = [(side * t * 0.9, 6.0, 48 - t * 0.55) for t in np.arange(0, 44, 2.5)]
        body.tube(bronchus, [7.0] * len(bronchus), _AIR)


def _spine(body: Volume) -> None:
    for z in np.arange(_BOTTOM - 12, _TOP + 12, 24):
        height = float(z)
        body.ellipsoid((0, 64, height), (24, 19, 10.5), _CORTEX * 0.7, soft=0.15, power=3)
        body.ellipsoid((0, 64, height), (21, 16, 8.5), _MARROW, soft=0.2, power=3)
        body.ellipsoid((0, 64, height + 12), (22, 17, 3.5), 85, soft=0.3, power=3)
        body.ellipsoid((0, 102, height - 6), (4, 17, 8), _CORTEX * 0.7, soft=0.3)
        for side in (-1, 1):
            body.ellipsoid((side * 15, 86, height), (5, 12, 6), _CORTEX * 0.7, soft=0.3)
            body.ellipsoid((side * 28, 90, height), (22, 5, 5), _CORTEX * 0.6, soft=0.3)
    body.ellipsoid((0, 88, 0), (10, 8, 600), 30, soft=0.2)


def _ribs() -> Iterator[list[Point]]:
    """Half rings from the spine, sloping down to the front."""
    for number in range(10):
        top = 148 - number * 25
        width = 128 + 16 * min(1.0, number / 4)
        reach = 0.96 if number < 7 else 0.96 - 0.11 * (number - 6)
        for side in (-1, 1):
            yield [
                (side * (width * sin(t)), 4 + 88 * cos(t), top - 13 * t - 9 * t * sin(t / 2))
                for t in np.arange(0.2, reach * pi, 0.022)
            ]


def head(grid: Grid, seed: int) -> tuple[Array, Array]:
    """A head in T1 and in T2 contrast, arbitrary units up to about 1,000."""
    rng = np.random.default_rng(seed)
    x, y, z = (grid.axis(number) for number in range(3))
    x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
    folds = np.abs(noise(rng, grid.shape, 3))
    shell = np.sqrt((x / 79) ** 2 + ((y + 2) / 97) ** 2 + ((z + 6) / 88) ** 2)
    brain = np.sqrt((x / 66) ** 2 + ((y + 2) / 83) ** 2 + (z / 72) ** 2)
    fissure = np.abs(x) < 1.3
    outside = brain > 0.64 + 0.05 * np.sin(5 * np.arctan2(y, x) + z / 20)
    furrow = (brain > 0.7) & ((folds < 0.16) | (fissure & (brain > 0.5)))
    layers = (
        # inside of, T1, T2
        (shell < 1.07, 760, 430),  # scalp
        (shell < 0.985, 90, 60),  # skull
        (shell < 0.965, 330, 300),  # marrow
        (shell < 0.93, 90, 60),
        (brain < 1.045, 150, 900),  # cerebrospinal fluid
        (brain < 1.0, 430, 560),  # grey matter
        ((brain < 0.94) & ((folds > 0.62) | ~outside), 640, 390),  # white matter
        (furrow & (brain < 1.0), 190, 860),
    )
    contrasts = []
    for number in (0, 1):
        volume = Volume(grid, 0)
        for where, *values in layers:
            volume.values[np.broadcast_to(where, grid.shape)] = values[number]
        for center, radii, *contrast in _HEAD:
            volume.ellipsoid(center, radii, contrast[number], soft=0.15)
        real, imaginary = grain(rng, grid.shape) * 13, grain(rng, grid.shape) * 13
        magnitude = np.hypot(volume.values + real, imaginary)
        shading = 1 + 0.12 * (y / 100) + 0.07 * (x / 80)
        contrasts.append((magnitude * shading).astype(np.float32))
    return contrasts[0], contrasts[1]


# Middle, radii, T1, T2.
_HEAD: tuple[tuple[Point, Point, float, float], ...] = (
    ((-9, -18, 16), (7, 24, 9), 130, 930),  # lateral ventricles
    ((9, -18, 16), (7, 24, 9), 130, 930),
    ((-14, 20, 12), (8, 22, 9), 130, 930),
    ((14, 20, 12), (8, 22, 9), 130, 930),
    ((-15, -26, 10), (7, 13, 11), 470, 500),  # caudate
    ((15, -26, 10), (7, 13, 11), 470, 500),
    ((-12, 4, 2), (10, 15, 10), 480, 480),  # thalamus
    ((12, 4, 2), (10, 15, 10), 480, 480),
    ((-27, -10, 0), (8, 18, 10), 460, 470),  # putamen
    ((27, -10, 0), (8, 18, 10), 460, 470),
    ((0, 2, 0), (2.4, 14, 11), 130, 930),  # third ventricle
    ((0, -14, 31), (3, 40, 4), 690, 340),  # corpus callosum
    ((0, 14, -34), (14, 15, 34), 600, 420),  # brain stem
    ((-25, 46, -44), (28, 26, 22), 470, 520),  # cerebellum
    ((25, 46, -44), (28, 26, 22), 470, 520),
    ((0, 30, -38), (5, 6, 9), 130, 930),  # fourth ventricle
    ((-32, -78, -40), (13, 13, 13), 140, 960),  # eyes
    ((32, -78, -40), (13, 13, 13), 140, 960),
    ((0, -86, -58), (13, 14, 20), 40, 40),  # nasal cavity
    ((-30, -66, -66), (15, 16, 14), 30, 30),  # maxillary sinuses
    ((30, -66, -66), (15, 16, 14), 30, 30),
    ((-36, 34, 34), (6, 7, 6), 300, 880),  # something to find
)
