"""The demo studies, and writing them to a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from isocenter.demo.documents import pdf_report, structured_report
from isocenter.demo.modules import Study
from isocenter.demo.projections import cine, radiograph
from isocenter.demo.volumes import ct, mr, pet_ct

CHEST_CT = Study(
    "ct", "PHANTOM^ANNA", "DEMO-1", "19610412", "F", "064Y",
    "20260105", "091500", "CT chest and abdomen", "DEMO0001",
)  # fmt: skip
HEAD_MR = Study(
    "mr", "PHANTOM^TARO=幻影^太郎=ファントム^タロウ", "DEMO-2", "19750820", "M", "050Y",
    "20260106", "103000", "MR head", "DEMO0002", "ISO_IR 192",
)  # fmt: skip
HEART_US = Study(
    "us", "PHANTOM^JÜRGEN", "DEMO-3", "19580301", "M", "067Y",
    "20260107", "114500", "Echocardiography", "DEMO0003", "ISO_IR 192", "ÜBERWEISER^RÖSCHEN",
)  # fmt: skip
CHEST_DX = Study(
    "dx", "PHANTOM^CARLA", "DEMO-4", "19900615", "F", "035Y",
    "20260108", "080500", "Chest radiograph", "DEMO0004",
)  # fmt: skip
FUSION = Study(
    "pet", "PHANTOM^PETRA", "DEMO-5", "19490927", "F", "076Y",
    "20260109", "133000", "PET/CT FDG", "DEMO0005",
)  # fmt: skip

# Slices of the chest CT that the structured report refers to, by index: through the nodules.
_REPORTED = (57, 65)


def studies() -> Iterator[Dataset]:
    """Every instance, with File Meta Information, study by study."""
    reported = []
    for index, image in enumerate(ct(CHEST_CT)):
        if index in _REPORTED:
            reported.append(image)
        yield image
    yield structured_report(CHEST_CT, 2, reported)
    yield from mr(HEAD_MR)
    yield cine(HEART_US)
    yield radiograph(CHEST_DX)
    yield pdf_report(CHEST_DX, 2)
    yield from pet_ct(FUSION)


def generate(directory: Path) -> None:
    """Write every instance as `{patient ID}/{modality}-{series}/{instance}.dcm`."""
    for image in studies():
        folder = directory / image.PatientID / f"{image.Modality}-{image.SeriesNumber}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save_as(folder / f"{image.InstanceNumber:04d}.dcm", enforce_file_format=True)
