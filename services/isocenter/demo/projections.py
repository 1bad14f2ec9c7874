"""Demo images of one projection: a radiograph, and an ultrasound cine."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
)

from isocenter.demo import anatomy
from isocenter.demo.modules import Series, Study, code, composite, gray_pixels, item, put, window
from isocenter.demo.painting import Array, Grid, enlarged, grain, noise

_DX_GRID = Grid((420, 48, 520), (0.72, 5.0, 0.72))
_DX_FACTOR = 4

_US_SHAPE = (480, 640)
_US_FRAMES = 40
_US_DEPTH = 160.0  # mm
_US_SCALE = 0.37  # mm per pixel
_US_APEX = (28.0, 320.0)  # row, column
_US_HALF_ANGLE = 0.68
_US_QUALITY = 85


def radiograph(study: Study) -> Dataset:
    """A chest from behind: the torso phantom, summed along the beam."""
    series = Series(
        study,
        1,
        "DX",
        DigitalXRayImageStorageForPresentation,
        "Chest PA",
        "Phantom DX",
        "CHEST",
    )
    image = composite(series, 1)
    pixels = _projection()
    put(
        image,
        AcquisitionDate=study.date,
        AcquisitionTime=study.time,
        AcquisitionNumber=1,
        PatientOrientation=["L", "F"],
        ImageLaterality="U",
        ViewPosition="PA",
        ViewCodeSequence=[code("399348003", "SCT", "antero-posterior")],
        AnatomicRegionSequence=[code("51185008", "SCT", "Chest")],
        AcquisitionContextSequence=[],
    )
    image.ViewCodeSequence[0].ViewModifierCodeSequence = []
    _detector(image)
    window(image, {"NORMAL": (2048.0, 4096.0)})
    gray_pixels(image, pixels, 12)
    return image


def _detector(image: Dataset) -> None:
    """DX Image, DX Detector and DX Positioning modules (PS3.3 C.8.11)."""
    pitch = [round(_DX_GRID.spacing[2] / _DX_FACTOR, 4), round(_DX_GRID.spacing[0] / _DX_FACTOR, 4)]
    put(
        image,
        ImageType=["DERIVED", "PRIMARY"],
        PresentationIntentType="FOR PRESENTATION",
        PositionerType="NONE",
        DetectorType="DIRECT",
        DetectorID="1",
        ImagerPixelSpacing=pitch,
        PixelSpacing=pitch,
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=1,
        RescaleIntercept="0",
        RescaleSlope="1",
        RescaleType="US",
        PresentationLUTShape="IDENTITY",
        LossyImageCompression="00",
        BurnedInAnnotation="NO",
        KVP="120",
        DistanceSourceToDetector="1800",
        Exposure="2",
    )


def _projection() -> NDArray[np.uint16]:
    volume = anatomy.torso(_DX_GRID, seed=31)
    attenuation = np.clip(volume / 1000 + 1, 0, None)
    # Bone takes more out of the beam than its density alone.
    attenuation += np.clip(volume - 180, 0, None) / 650
    image = enlarged(attenuation.sum(axis=1)[::-1] * _DX_GRID.spacing[1], _DX_FACTOR)
    rng = np.random.default_rng(32)
    low, high = np.percentile(image, (8, 99.6))
    share = np.clip((image - low) / (high - low), 0, 1.15) ** 0.8
    share += grain(rng, image.shape) * (0.006 + 0.006 * (1 - share))
    pixels: NDArray[np.uint16] = np.round(np.clip(share * 3600 + 120, 0, 4095)).astype(np.uint16)
    return pixels


def cine(study: Study) -> Dataset:
    """A beating heart in four chambers, with a colour Doppler box; JPEG Baseline."""
    series = Series(
        study, 1, "US", UltrasoundMultiFrameImageStorage, "Four chambers", "Phantom US", "HEART"
    )
    image = composite(series, 1)
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    frames = [
        bytes(imagecodecs.jpeg8_encode(frame, level=_US_QUALITY, subsampling="422"))
        for frame in _beating()
    ]
    rows, columns = _US_SHAPE
    size = sum(len(frame) for frame in frames)
    put(
        image,
        ImageType=["ORIGINAL", "PRIMARY", "", "0001"],
        PatientOrientation="",
        AcquisitionDateTime=study.date + study.time,
        FrameTime="33.3",
        FrameIncrementPointer=0x00181063,
        StartTrim=1,
        StopTrim=len(frames),
        RecommendedDisplayFrameRate=30,
        CineRate=30,
        HeartRate=45,
        BurnedInAnnotation="NO",
        UltrasoundColorDataPresent=1,
        LossyImageCompression="01",
        LossyImageCompressionRatio=f"{rows * columns * 3 * len(frames) / size:.4g}",
        LossyImageCompressionMethod="ISO_10918_1",
        SequenceOfUltrasoundRegions=[_region()],
    )
    _colour_frames(image, frames)
    return image


def _colour_frames(image: Dataset, frames: list[bytes]) -> None:
    """Image Pixel and Multi-frame modules."""
    put(
        image,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        Rows=_US_SHAPE[0],
        Columns=_US_SHAPE[1],
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        NumberOfFrames=len(frames),
    )
    image.add_new("PixelData", "OB", encapsulate(frames))
    image["PixelData"].is_undefined_length = True


def _region() -> Dataset:
    """US Region Calibration (PS3.3 C.8.5.5): 2D tissue, centimetres."""
    rows, columns = _US_SHAPE
    return item(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionFlags=0,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=columns - 1,
        RegionLocationMaxY1=rows - 1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=_US_SCALE / 10,
        PhysicalDeltaY=_US_SCALE / 10,
        ReferencePixelX0=int(_US_APEX[1]),
        ReferencePixelY0=int(_US_APEX[0]),
    )


def _beating() -> list[NDArray[np.uint8]]:
    rows, columns = _US_SHAPE
    y = ((np.arange(rows, dtype=np.float32) - _US_APEX[0]) * _US_SCALE)[:, None]
    x = ((np.arange(columns, dtype=np.float32) - _US_APEX[1]) * _US_SCALE)[None, :]
    depth, angle = np.hypot(x, y), np.arctan2(x, y)
    fan = (np.abs(angle) < _US_HALF_ANGLE) & (depth > 8) & (depth < _US_DEPTH)
    # Speckle lives in the beam's own coordinates: fine along it, wide across, wider with depth.
    rng = np.random.default_rng(41)
    beams = np.hypot(noise(rng, (700, 240), 1), noise(rng, (700, 240), 1))
    across = np.clip((angle / _US_HALF_ANGLE + 1) * 119.5, 0, 239).astype(int)
    attenuation = (1.12 - depth / 330) * fan
    frames = []
    for number in range(_US_FRAMES):
        beat = 0.5 - 0.5 * np.cos(2 * np.pi * number / _US_FRAMES)
        echo = _four_chambers(x, y, float(beat))
        along = np.clip(depth * 4.2 + 3 * beat * np.sin(depth / 23), 0, 699).astype(int)
        speckled = echo * (0.35 + 0.6 * beams[along, across]) * attenuation
        gray = np.clip(255 * (speckled / 1.5) ** 0.62, 0, 255)
        frames.append(_coloured(gray.astype(np.float32), x, y, float(beat), fan))
    return frames


def _four_chambers(x: Array, y: Array, beat: float) -> Array:
    """Echogenicity: tissue around two ventricles (near the probe) and two atria."""
    echo = np.full(np.broadcast_shapes(x.shape, y.shape), 0.34, np.float32)

    def blob(middle: tuple[float, float], radii: tuple[float, float], value: float) -> None:
        distance = ((x - middle[0]) / radii[0]) ** 2 + ((y - middle[1]) / radii[1]) ** 2
        cover = np.clip((1 - distance) / 0.16, 0, 1)
        np.copyto(echo, echo + cover * (value - echo))

    squeeze = 1 - 0.24 * beat
    blob((2, 84), (52, 70), 0.62)
    blob((17, 62 + 3 * beat), (19 * squeeze, 36 * (1 - 0.12 * beat)), 0.035)
    blob((-20, 66 + 3 * beat), (13 * squeeze, 30 * (1 - 0.12 * beat)), 0.035)
    blob((16, 124), (20 * (1 + 0.12 * beat), 18 * (1 + 0.1 * beat)), 0.03)
    blob((-21, 124), (18 * (1 + 0.12 * beat), 17 * (1 + 0.1 * beat)), 0.03)
    gap = 9 * (1 - beat)
    for middle in (17.0, -20.0):
        for side in (-1, 1):
            blob(
                (middle + side * (7 + gap * 0.6), 101 + 4 * beat - gap * 0.5),
                (9 - gap * 0.4, 2.0),
                1.0,
            )
    blob((0, 152), (70, 3), 1.1)
    return echo


def _coloured(
    gray: Array, x: Array, y: Array, beat: float, fan: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """RGB with the inflow through the left valve in colour, its box, and a gray wedge."""
    rgb = np.repeat(gray[:, :, None], 3, axis=2)
    flow = np.exp(-(((x - 17) / 8) ** 2) - ((y - 92) / 26) ** 2) * (1 - 1.6 * beat)
    seen = fan & (np.abs(flow) > 0.22) & (gray < 110)
    speed = np.clip(np.abs(flow), 0, 1)[:, :, None]
    towards, away = np.array((255, 120, 30)), np.array((40, 130, 255))
    colour = np.where((flow > 0)[:, :, None], towards, away) * (0.35 + 0.65 * speed)
    rgb = np.where(seen[:, :, None], colour, rgb)
    inside = (np.abs(x - 17) < 27) & (np.abs(y - 92) < 34)
    border = inside & ~((np.abs(x - 17) < 26.3) & (np.abs(y - 92) < 33.3))
    rgb[border] = (210, 210, 210)
    rgb[60:260, 610:622] = np.linspace(255, 0, 200)[:, None, None]
    return np.clip(rgb, 0, 255).astype(np.uint8)
