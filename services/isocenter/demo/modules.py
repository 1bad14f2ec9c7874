"""What all demo objects have in common: patient, study, equipment, geometry, pixels."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from isocenter.core.identity import IMPLEMENTATION_CLASS_UID

_NAMESPACE = uuid.UUID("6d0f7a52-5a4f-5c0e-9a5e-d3a0b5b0c1e7")


def uid(name: str) -> str:
    """A UID below 2.25 (PS3.5 B.2) that follows from a name."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


@dataclass(frozen=True, slots=True)
class Study:
    """A study and its patient."""

    code: str  # what its UIDs are derived from
    patient_name: str
    patient_id: str
    birth_date: str
    sex: str
    age: str
    date: str
    time: str
    description: str
    accession_number: str
    character_set: str = "ISO_IR 100"
    referrer: str = "REFERRER^ROSA"
    weight: str = "70"

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return uid(self.code)


@dataclass(frozen=True, slots=True)
class Series:
    """A series of a study."""

    study: Study
    number: int
    modality: str
    sop_class: str
    description: str
    model: str
    body_part: str = ""

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return uid(f"{self.study.code}/{self.number}")

    def instance_uid(self, number: int) -> str:
        """SOP Instance UID of an instance, by Instance Number."""
        return uid(f"{self.study.code}/{self.number}/{number}")


def composite(series: Series, number: int) -> Dataset:
    """Patient, General Study, General Series, General Equipment and SOP Common modules."""
    study = series.study
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    data_set.file_meta.ImplementationVersionName = "ISOCENTER DEMO"
    put(
        data_set,
        SpecificCharacterSet=study.character_set,
        SOPClassUID=series.sop_class,
        SOPInstanceUID=series.instance_uid(number),
        StudyDate=study.date,
        SeriesDate=study.date,
        ContentDate=study.date,
        StudyTime=study.time,
        SeriesTime=study.time,
        ContentTime=study.time,
        AccessionNumber=study.accession_number,
        Modality=series.modality,
        Manufacturer="Isocenter phantoms",
        ManufacturerModelName=series.model,
        SoftwareVersions="1",
        DeviceSerialNumber="1",
        InstitutionName="Isocenter demo",
        ReferringPhysicianName=study.referrer,
        StudyDescription=study.description,
        SeriesDescription=series.description,
        StudyInstanceUID=study.study_uid,
        SeriesInstanceUID=series.series_uid,
        StudyID="1",
        SeriesNumber=series.number,
        InstanceNumber=number,
    )
    _patient(data_set, study)
    if series.body_part:
        data_set.BodyPartExamined = series.body_part
    return data_set


def _patient(data_set: Dataset, study: Study) -> None:
    put(
        data_set,
        PatientName=study.patient_name,
        PatientID=study.patient_id,
        PatientBirthDate=study.birth_date,
        PatientSex=study.sex,
        PatientAge=study.age,
        PatientWeight=study.weight,
        PatientSize="1.7",
    )


def put(data_set: Dataset, **attributes: Any) -> None:  # noqa: ANN401 - values of any VR
    """Set attributes by keyword."""
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)


def item(**attributes: Any) -> Dataset:  # noqa: ANN401 - values of any VR
    """An item of a sequence."""
    made = Dataset()
    put(made, **attributes)
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def slice_geometry(
    data_set: Dataset,
    *,
    frame_of_reference: str,
    shape: tuple[int, int],
    spacing: tuple[float, float, float],
    height: float,
) -> None:
    """Frame of Reference and Image Plane modules of an axial slice, centred on the patient."""
    rows, columns = shape
    left, back, thickness = spacing
    put(
        data_set,
        FrameOfReferenceUID=frame_of_reference,
        PositionReferenceIndicator="",
        PatientPosition="HFS",
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=[
            round(-(columns - 1) / 2 * left, 4),
            round(-(rows - 1) / 2 * back, 4),
            round(height, 4),
        ],
        PixelSpacing=[back, left],
        SliceThickness=thickness,
        SliceLocation=round(height, 4),
    )


def gray_pixels(data_set: Dataset, pixels: NDArray[Any], bits_stored: int) -> None:
    """Image Pixel module of a monochrome image of 16 bits allocated."""
    put(
        data_set,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=pixels.shape[-2],
        Columns=pixels.shape[-1],
        BitsAllocated=16,
        BitsStored=bits_stored,
        HighBit=bits_stored - 1,
        PixelRepresentation=int(pixels.dtype.kind == "i"),
    )
    data_set.add_new("PixelData", "OW", pixels.astype(f"<{pixels.dtype.kind}2").tobytes())


def window(data_set: Dataset, windows: Mapping[str, tuple[float, float]]) -> None:
    """VOI LUT module: explanation -> center, width."""
    centers: Sequence[float] = [center for center, _ in windows.values()]
    put(
        data_set,
        WindowCenter=centers,
        WindowWidth=[width for _, width in windows.values()],
        WindowCenterWidthExplanation=list(windows),
    )


def rescaled(values: NDArray[np.float32], slope: float, intercept: float) -> NDArray[np.int16]:
    """Stored values of which the modality LUT makes `values`."""
    return np.round((values - intercept) / slope).astype(np.int16)
