"""Synthetic DICOM files on disk, and reading them back without interpreting them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pydicom.uid import generate_uid

from support.datasets import ct_image
from support.harness import Reached


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
    for number in range(1, count + 1):
        instance = ct_image(
            rows,
            rows,
            study=series.study,
            series=series.series,
            number=number,
            patient_id=series.patient_id,
        )
        path = folder / f"{number:05d}.dcm"
        instance.save_as(path, enforce_file_format=True)
        series.files[instance.SOPInstanceUID] = path
    return series


def data_set_bytes(path: Path) -> bytes:
    """The data set of a Part 10 file as it stands there, without its File Meta Information."""
    # PS3.10 7.1: preamble, prefix, and (0002,0000), which counts the rest of group 0002.
    start = 128 + 4 + 12 + read_file_meta_info(path).FileMetaInformationGroupLength
    return path.read_bytes()[start:]


def find_instances(isocenter: Reached, study: str) -> list[str]:
    """SOP Instance UIDs that a search of the study answers with."""
    answers = isocenter.search(f"/studies/{study}/instances?limit=10000")
    return [answer["00080018"]["Value"][0] for answer in answers]


def count_instances(isocenter: Reached, study: str) -> int:
    """How many instances a search says that the study has."""
    studies = isocenter.search(f"/studies?StudyInstanceUID={study}")
    return sum(one["00201208"]["Value"][0] for one in studies)
