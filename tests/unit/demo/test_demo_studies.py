"""Demo studies: valid, the same every time, complete, and with something to see."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from isocenter.core.identity import is_uid
from isocenter.demo import generate
from isocenter.demo.documents import pdf
from isocenter.demo.projections import cine
from isocenter.demo.studies import HEAD_MR, HEART_US
from isocenter.demo.volumes import mr

KINDS = {"CT", "MR", "US", "DX", "PT", "DOC", "SR"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    generate(folder)
    return folder


@pytest.fixture(scope="module")
def series(folder: Path) -> Mapping[tuple[str, int], list[Dataset]]:
    found: dict[tuple[str, int], list[Dataset]] = defaultdict(list)
    for file in sorted(folder.rglob("*.dcm")):
        image = pydicom.dcmread(file)
        found[image.PatientID, int(image.SeriesNumber)].append(image)
    return found


def _validate(file: Path) -> str:
    if shutil.which("dciodvfy") is None:
        pytest.fail("dciodvfy is not on PATH: install the package dicom3tools")
    done = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_one_object_of_each_series_has_no_error_by_dciodvfy(folder: Path):
    seen = set()
    for directory in sorted({file.parent for file in folder.rglob("*.dcm")}):
        found = _validate(max(directory.iterdir()))
        assert not re.findall(r"^Error.*$", found, re.MULTILINE), directory.name
        seen.add(directory.name.split("-")[0])
    assert seen == KINDS


def test_the_whole_set_is_small_enough_to_be_loaded_in_moments(folder: Path):
    assert sum(file.stat().st_size for file in folder.rglob("*.dcm")) < 80_000_000


def test_the_same_attributes_and_pixels_come_out_every_time(series):
    again = list(mr(HEAD_MR))
    before = [*series["DEMO-2", 1], *series["DEMO-2", 2]]
    assert [_digest(image) for image in again] == [_digest(image) for image in before]
    assert _digest(cine(HEART_US)) == _digest(series["DEMO-3", 1][0])


def _digest(image: Dataset) -> str:
    return hashlib.sha256(image.to_json().encode()).hexdigest()


def test_uids_are_valid_below_2_25_and_unique(series):
    instances = [image.SOPInstanceUID for images in series.values() for image in images]
    assert len(set(instances)) == len(instances)
    assert all(is_uid(uid) and uid.startswith("2.25.") for uid in instances)


def test_patients_are_obviously_synthetic_and_one_has_ideographs(series):
    names = {images[0].PatientName for images in series.values()}
    assert all(str(name).startswith("PHANTOM^") for name in names)
    assert {name.ideographic for name in names} >= {"幻影^太郎"}


@pytest.mark.parametrize("key", [("DEMO-1", 1), ("DEMO-2", 1), ("DEMO-5", 1), ("DEMO-5", 2)])
def test_slices_of_a_volume_are_evenly_spaced_in_one_frame_of_reference(series, key):
    images = sorted(series[key], key=lambda image: image.InstanceNumber)
    heights = np.array([float(image.ImagePositionPatient[2]) for image in images])
    assert len(images) >= 40
    np.testing.assert_allclose(np.diff(heights), float(images[0].SliceThickness), atol=1e-3)
    assert len({image.FrameOfReferenceUID for image in images}) == 1


def test_pet_and_ct_share_study_and_frame_of_reference(series):
    low_dose, pet = series["DEMO-5", 1][0], series["DEMO-5", 2][0]
    assert low_dose.StudyInstanceUID == pet.StudyInstanceUID
    assert low_dose.FrameOfReferenceUID == pet.FrameOfReferenceUID


def test_uptake_by_body_weight_is_highest_in_the_lesions(series):
    hottest = 0.0
    for image in series["DEMO-5", 2]:
        tracer = image.RadiopharmaceuticalInformationSequence[0]
        seconds = 3600
        dose = float(tracer.RadionuclideTotalDose)
        left = dose * 2 ** (-seconds / float(tracer.RadionuclideHalfLife))
        activity = float(image.pixel_array.max()) * float(image.RescaleSlope)
        hottest = max(hottest, activity * float(image.PatientWeight) * 1000 / left)
    assert 8 < hottest < 16


def test_a_slice_of_the_chest_has_air_tissue_and_bone(series):
    image = series["DEMO-1", 1][60]
    units = image.pixel_array.astype(int) * int(image.RescaleSlope) + int(image.RescaleIntercept)
    for low, high, share in ((-900, -700, 0.1), (0, 120, 0.1), (250, 1500, 0.005)):
        assert ((units > low) & (units < high)).mean() > share


def test_the_heart_beats_and_is_in_colour(series):
    frames = series["DEMO-3", 1][0].pixel_array.astype(int)
    assert frames.shape == (40, 480, 640, 3)
    assert np.abs(frames[0] - frames[20]).mean() > 1
    assert (np.ptp(frames[0], axis=2) > 60).sum() > 500


def test_the_report_refers_to_slices_that_are_there(series):
    report = series["DEMO-1", 2][0]
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    referenced = {item.ReferencedSOPInstanceUID for item in evidence.ReferencedSOPSequence}
    assert len(referenced) == 2
    assert referenced <= {image.SOPInstanceUID for image in series["DEMO-1", 1]}


def test_the_cross_reference_table_of_the_pdf_points_at_its_objects(series):
    document = bytes(series["DEMO-4", 2][0].EncapsulatedDocument)
    assert document.startswith(pdf(())[:8])
    start = int(document.split(b"startxref\n")[1].split()[0])
    entries = re.findall(rb"(\d{10}) 00000 n", document[start:])
    for number, entry in enumerate(entries, 1):
        assert document[int(entry) :].startswith(b"%d 0 obj" % number)
    assert len(entries) == 6
