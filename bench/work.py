"""The work: synthetic CT series and one very large object, the same files for every side.

Objects are numbered; a number gives all UIDs, so that a run can be repeated file for file.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

GIB = 2**30
FRAME = 512 * 512 * 2
PLACEHOLDER = 0


@dataclass(frozen=True)
class Series:
    """Files of one series on disk."""

    folder: Path
    patient_id: str
    study: str
    series: str
    instances: tuple[str, ...]
    size: int  # bytes of pixel data in all instances

    @property
    def path(self) -> str:
        """Below the DICOMweb root."""
        return f"studies/{self.study}/series/{self.series}"


def uid(number: int) -> UID:
    """A UID of fixed length (PS3.5 B.2)."""
    return UID(f"2.25.1{number:036d}")


def patient_id(number: int) -> str:
    """Patient ID of the series that starts at this number."""
    return f"BENCH{number:012d}"


def write_series(folder: Path, first: int, count: int, side: int = 512) -> Series:
    """CT slices of side x side x 16 bits, numbered from `first` (which names study and series)."""
    folder.mkdir(parents=True)
    template = _template(first, side)
    noise = np.random.default_rng(first).integers(0, 4096, (side, side), dtype="<u2")
    placeholder = uid(PLACEHOLDER).encode()
    names = [uid(first + 2 + index) for index in range(count)]
    for index, name in enumerate(names):
        header = template.replace(placeholder, name.encode())
        pixels = np.roll(noise, index, axis=0).tobytes()
        (folder / f"{index:04d}.dcm").write_bytes(header + pixels)
    size = count * side * side * 2
    return Series(folder, patient_id(first), uid(first), uid(first + 1), tuple(names), size)


def write_large(path: Path, first: int, size: int) -> Series:
    """One multi-frame object with `size` bytes of pixel data (a multiple of a frame)."""
    path.parent.mkdir(parents=True)
    data = describe(first, 512)
    data.file_meta.MediaStorageSOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    data.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    data.Modality = "OT"
    data.NumberOfFrames = size // FRAME
    name = uid(first + 2)
    header = _header(data, size).replace(uid(PLACEHOLDER).encode(), name.encode())
    frame = np.random.default_rng(first).integers(0, 4096, FRAME // 2, dtype="<u2").tobytes()
    with path.open("wb") as out:
        out.write(header)
        for _ in range(size // FRAME):
            out.write(frame)
    return Series(path.parent, patient_id(first), uid(first), uid(first + 1), (name,), size)


def small_instance(number: int) -> Dataset:
    """A slice of 16 x 16 pixels in a study of its own."""
    data = describe(number, 16)
    name = uid(number + 2)
    data.SOPInstanceUID, data.file_meta.MediaStorageSOPInstanceUID = name, name
    data.PixelData = bytes(512)
    return data


def _template(first: int, side: int) -> bytes:
    return _header(describe(first, side), side * side * 2)


def _header(data: Dataset, size: int) -> bytes:
    """The file up to and with the header of Pixel Data (explicit VR, PS3.5 7.1.2)."""
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue() + b"\xe0\x7f\x10\x00OW\x00\x00" + size.to_bytes(4, "little")


def describe(first: int, side: int) -> Dataset:
    """What a slice says of itself, numbered from `first`; all but its pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = uid(PLACEHOLDER)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, uid(PLACEHOLDER)
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(first), uid(first + 1)
    data.PatientID, data.PatientName = patient_id(first), f"Bench^{first}"
    data.PatientBirthDate, data.PatientSex = "19700101", "O"
    data.StudyDate = data.SeriesDate = data.ContentDate = "20260101"
    data.StudyTime = data.SeriesTime = data.ContentTime = "120000"
    data.AccessionNumber, data.StudyID = f"A{first % 10**12:012d}", "1"
    data.ReferringPhysicianName, data.StudyDescription = "", "Benchmark"
    data.Modality, data.Manufacturer, data.SeriesDescription = "CT", "Isocenter", "Slices"
    data.SeriesNumber, data.InstanceNumber = 1, 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = uid(first + 1), ""
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness, data.KVP = [0.7, 0.7], 1, 120
    data.RescaleIntercept, data.RescaleSlope = -1024, 1
    data.WindowCenter, data.WindowWidth = 40, 400
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    return data
