"""Synthetic DICOM files on disk, and reading them back without interpreting them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from support.harness import Isocenter


@dataclass(frozen=True)
class Series:
    """A series written to a folder."""

    folder: Path
    study: str
    series: str
    patient_id: str
    files: dict[str, Path] = field(default_factory=dict)  # SOP Instance UID -> file

    @property
    def count(self) -> int:
        """How many instances."""
        return len(self.files)


def write_series(
    folder: Path, count: int, *, rows: int = 64, study: str = "", patient_id: str = ""
) -> Series:
    """CT slices of `rows` x `rows` pixels of 16 bits, in Explicit VR Little Endian."""
    folder.mkdir(parents=True, exist_ok=True)
    study = study or generate_uid()
    series = Series(folder, study, generate_uid(), patient_id or f"P{study[-12:]}")
    noise = np.random.default_rng(int(study[-6:]))
    for number in range(1, count + 1):
        instance = ct_slice(series.study, series.series, series.patient_id, number)
        instance.Rows = instance.Columns = rows
        pixels = noise.integers(0, 4096, (rows, rows), dtype=np.uint16)
        instance.PixelData = pixels.tobytes()
        path = folder / f"{number:05d}.dcm"
        instance.save_as(path, enforce_file_format=True)
        series.files[instance.SOPInstanceUID] = path
    return series


def ct_slice(study: str, series: str, patient_id: str, number: int) -> Dataset:
    """A CT image without its pixels."""
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.SOPClassUID = CTImageStorage
    instance.SOPInstanceUID = generate_uid()
    instance.StudyInstanceUID = study
    instance.SeriesInstanceUID = series
    instance.PatientName = "PHANTOM^TEST"
    instance.PatientID = patient_id
    instance.PatientBirthDate = "19700101"
    instance.PatientSex = "O"
    instance.StudyDate = instance.SeriesDate = instance.ContentDate = "20260102"
    instance.StudyTime = instance.SeriesTime = instance.ContentTime = "101112"
    instance.StudyID = "1"
    instance.AccessionNumber = f"A{study[-8:]}"
    instance.StudyDescription = "Phantom"
    instance.ReferringPhysicianName = "REFERRER^ROSA"
    instance.Modality = "CT"
    instance.SeriesNumber = 1
    instance.InstanceNumber = number
    instance.FrameOfReferenceUID = series
    instance.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    instance.ImagePositionPatient = [0, 0, number]
    instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    instance.PixelSpacing = [1, 1]
    instance.SliceThickness = 1
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.BitsAllocated = 16
    instance.BitsStored = 12
    instance.HighBit = 11
    instance.PixelRepresentation = 0
    instance.WindowCenter = 2048
    instance.WindowWidth = 4096
    instance.RescaleIntercept = 0
    instance.RescaleSlope = 1
    return instance


def data_set_bytes(path: Path) -> bytes:
    """The data set of a Part 10 file as it stands there, without its File Meta Information."""
    # PS3.10 7.1: preamble, prefix, and (0002,0000), which counts the rest of group 0002.
    start = 128 + 4 + 12 + read_file_meta_info(path).FileMetaInformationGroupLength
    return path.read_bytes()[start:]


def find_instances(isocenter: Isocenter, study: str) -> list[str]:
    """SOP Instance UIDs that a search of the study answers with."""
    answers = isocenter.search(f"/studies/{study}/instances?limit=10000")
    return [answer["00080018"]["Value"][0] for answer in answers]
