"""Some frames of an instance by C-GET and C-MOVE (PS3.4 Y): new instances that are valid, hold
these frames and say where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)
from pynetdicom import AE
from pynetdicom.sop_class import (
    CompositeInstanceRootRetrieveGet,
    CompositeInstanceRootRetrieveMove,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from support import getting
from support.clients import storescp
from support.harness import Isocenter, wait_until

GET, MOVE = CompositeInstanceRootRetrieveGet, CompositeInstanceRootRetrieveMove
FRAMES, ROWS, COLUMNS = 7, 9, 5  # a frame is an odd number of bytes


def image(syntax: str) -> FileDataset:
    """A multi-frame image."""
    if syntax == JPEGBaseline8Bit:
        data_set = dcmread(get_testdata_file("examples_ybr_color.dcm"))
    else:
        data_set = dcmread(get_testdata_file("SC_rgb_rle_2frame.dcm"))
        data_set.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
        data_set.Rows, data_set.Columns, data_set.NumberOfFrames = ROWS, COLUMNS, FRAMES
        data_set.FrameTime, data_set.FrameIncrementPointer = 40, 0x00181063
        pixels = np.random.default_rng(7).integers(0, 256, (FRAMES, ROWS, COLUMNS, 3), np.uint8)
        data_set.PixelData = pixels.tobytes() + b"\0"
        data_set["PixelData"].is_undefined_length = False
        data_set["PixelData"].VR = "OB"
        data_set.PlanarConfiguration = 0
        data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if syntax == RLELossless:
            data_set.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        data_set.file_meta.TransferSyntaxUID = syntax
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(data_set, keyword, generate_uid())
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    return data_set


def encoded(data_set: FileDataset, path: Path) -> FileDataset:
    """As a client reads it from a file in its transfer syntax."""
    known = data_set.file_meta.TransferSyntaxUID
    dcmwrite(
        path,
        data_set,
        implicit_vr=known.is_implicit_VR,
        little_endian=known.is_little_endian,
        force_encoding=True,
    )
    return dcmread(path)


def kept(isocenter: Isocenter, data_set: FileDataset) -> None:
    ae = AE("TESTER")
    ae.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", isocenter.dicom_port, ae_title="ISOCENTER")
    assert association.send_c_store(data_set).Status == 0
    association.release()
    path = f"/instances?SOPInstanceUID={data_set.SOPInstanceUID}"
    wait_until(lambda: len(isocenter.search(path)) == 1, what="it is findable")


def asked(data_set: Dataset, **keys: object) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "FRAME"
    identifier.SOPInstanceUID = data_set.SOPInstanceUID
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def got(
    isocenter: Isocenter, data_set: FileDataset, syntax: str, **keys: object
) -> tuple[list[Dataset], int]:
    """What a C-GET brings, and its status."""
    return getting.got(isocenter, GET, asked(data_set, **keys), data_set.SOPClassUID, syntax)


@pytest.mark.parametrize(
    ("syntax", "taken"),
    [
        (ExplicitVRLittleEndian, ExplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ExplicitVRBigEndian, ExplicitVRBigEndian),
        (DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian),
        (RLELossless, RLELossless),
        (RLELossless, ImplicitVRLittleEndian),
        (JPEGBaseline8Bit, JPEGBaseline8Bit),
    ],
)
def test_frames_come_as_a_new_instance(
    isocenter: Isocenter, tmp_path: Path, syntax: str, taken: str
) -> None:
    held = encoded(image(syntax), tmp_path / "held.dcm")
    kept(isocenter, held)
    received, status = got(isocenter, held, taken, CalculatedFrameList=[2, 0xFFFFFFFF, 2])
    assert status == 0
    [new] = received
    frames = range(2, int(held.NumberOfFrames) + 1, 2)
    assert new.NumberOfFrames == len(frames)
    assert (new.pixel_array == held.pixel_array[1::2]).all()
    assert new.SOPInstanceUID != held.SOPInstanceUID
    for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Rows"):
        assert new[keyword].value == held[keyword].value
    [item] = new.FrameExtractionSequence
    assert item.MultiFrameSourceSOPInstanceUID == held.SOPInstanceUID
    assert list(item.CalculatedFrameList) == [2, 0xFFFFFFFF, 2]
    assert float(new.FrameTime) == pytest.approx(2 * float(held.FrameTime))
    [again], _ = got(isocenter, held, taken, CalculatedFrameList=[2, 0xFFFFFFFF, 2])
    assert again == new


def test_a_new_instance_can_be_kept_and_has_frames_itself(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    held = encoded(image(RLELossless), tmp_path / "held.dcm")
    kept(isocenter, held)
    [new], _ = got(isocenter, held, RLELossless, SimpleFrameList=[1, 3, 6])
    kept(isocenter, new)
    [third], status = got(isocenter, new, RLELossless, TimeRange=[0.08, 0.2])
    assert status == 0
    assert (third.pixel_array == held.pixel_array[[2, 5]]).all()
    sources = [one.MultiFrameSourceSOPInstanceUID for one in third.FrameExtractionSequence]
    assert sources == [held.SOPInstanceUID, new.SOPInstanceUID]


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({"SimpleFrameList": [FRAMES + 1]}, 0xAA00),
        ({"TimeRange": [60.0, 61.0]}, 0xAA00),
        ({"SimpleFrameList": [2, 1]}, 0xAA04),
        ({"CalculatedFrameList": [1, 2]}, 0xAA04),
        ({}, 0xAA04),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    isocenter: Isocenter, tmp_path: Path, keys: dict[str, object], status: int
) -> None:
    held = encoded(image(ExplicitVRLittleEndian), tmp_path / "held.dcm")
    kept(isocenter, held)
    assert got(isocenter, held, ExplicitVRLittleEndian, **keys) == ([], status)


@pytest.mark.parametrize(
    ("name", "keys", "status"),
    [
        ("CT_small.dcm", {"SimpleFrameList": [1]}, 0xAA01),
        ("rtdose.dcm", {"SimpleFrameList": [1]}, 0xAA02),
        ("SC_rgb_rle_2frame.dcm", {"TimeRange": [0.0, 1.0]}, 0xAA03),
    ],
)
def test_instances_whose_frames_are_nothing_by_themselves_are_refused(
    isocenter: Isocenter, name: str, keys: dict[str, object], status: int
) -> None:
    held = dcmread(get_testdata_file(name))
    held.StudyInstanceUID, held.SOPInstanceUID = generate_uid(), generate_uid()
    kept(isocenter, held)
    assert got(isocenter, held, held.file_meta.TransferSyntaxUID, **keys) == ([], status)


def test_frames_are_moved(isocenter: Isocenter, tmp_path: Path) -> None:
    held = encoded(image(JPEGBaseline8Bit), tmp_path / "held.dcm")
    kept(isocenter, held)
    ae = AE("TESTER")
    ae.add_requested_context(MOVE)
    with storescp(tmp_path / "moved", "+B", "+xa", port=isocenter.destination_port):
        association = ae.associate("127.0.0.1", isocenter.dicom_port, ae_title="ISOCENTER")
        request = asked(held, SimpleFrameList=[1, 30])
        *_, (status, _) = association.send_c_move(request, "DESTINATION", MOVE)
        association.release()
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0, 1)
    [file] = (tmp_path / "moved").iterdir()
    new = dcmread(file)
    assert new.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert (new.pixel_array == held.pixel_array[[0, 29]]).all()
    study = str(held.StudyInstanceUID)
    record = wait_until(lambda: exported(isocenter, study), what="it is in the audit trail")
    assert record["instances"] == [held.SOPInstanceUID], "what was accessed, not what was made"
    assert (record["destination"], record["detail"]) == ("DESTINATION", "C-MOVE FRAME, 2 frames")


def exported(isocenter: Isocenter, study: str) -> dict[str, Any] | None:
    """The audit record of what went elsewhere."""
    listed = isocenter.cli("audit list", "--json", "--study", study)
    records = map(json.loads, listed.stdout.splitlines())
    return next((one for one in records if one["action"] == "export"), None)
