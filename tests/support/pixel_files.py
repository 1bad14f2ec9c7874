"""pydicom's own test files that have pixel data, as frames and pixel formats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from isocenter.core.apis import PixelFormat

FOLDER = Path(pydicom.data.__file__).parent / "test_files"


def path(name: str) -> Path:
    """A file that ships inside the package."""
    return next(FOLDER.rglob(name))


def pixel_format(image: Dataset, **changed: object) -> PixelFormat:
    """The pixel format of an image, with interleaved samples unless told."""
    return PixelFormat(
        rows=image.Rows,
        columns=image.Columns,
        samples_per_pixel=image.SamplesPerPixel,
        bits_allocated=image.BitsAllocated,
        bits_stored=image.BitsStored,
        pixel_representation=image.PixelRepresentation,
        photometric_interpretation=image.PhotometricInterpretation,
        planar_configuration=image.get("PlanarConfiguration", 0),
        **changed,
    )


def frames(image: Dataset) -> list[bytes]:
    """The frames as stored."""
    count = int(image.get("NumberOfFrames", 1) or 1)
    if image.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(image.PixelData, number_of_frames=count))
    size = image.Rows * image.Columns * image.SamplesPerPixel * image.BitsAllocated // 8
    return [image.PixelData[n * size : (n + 1) * size] for n in range(count)]


def samples(decoded: bytes, pixels: PixelFormat) -> np.ndarray:
    """Native bytes as rows x columns x samples."""
    kind = "i" if pixels.pixel_representation else "u"
    values = np.frombuffer(decoded, f"<{kind}{pixels.bits_allocated // 8}")
    if pixels.planar_configuration and pixels.samples_per_pixel > 1:
        planes = values.reshape(pixels.samples_per_pixel, pixels.rows, pixels.columns)
        return planes.transpose(1, 2, 0)
    return values.reshape(pixels.rows, pixels.columns, pixels.samples_per_pixel)


@dataclass(frozen=True)
class Stored:
    """A file without its File Meta Information."""

    transfer_syntax: str
    sop_class: str
    instance: str
    data_set: bytes


def stored(file: Path) -> Stored:
    """Split a Part 10 file."""
    raw = file.read_bytes()
    meta = pydicom.filereader.read_file_meta_info(file)
    start = 128 + 4 + 12 + meta.FileMetaInformationGroupLength
    return Stored(
        str(meta.TransferSyntaxUID),
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        raw[start:],
    )


async def chunked(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    """Bytes as they come from a network."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
