"""What is negotiated holds through every role: character sets, dates and times, time zones, and
retrieval without bulk data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    CompositeInstanceRetrieveWithoutBulkDataGet,
    StudyRootQueryRetrieveInformationModelFind,
)

from support.clients import dcmtk, run
from support.files import find_instances
from support.getting import got
from support.harness import Isocenter, wait_until

FIND = StudyRootQueryRetrieveInformationModelFind
WITHOUT_BULK_DATA = CompositeInstanceRetrieveWithoutBulkDataGet


def renamed(path: str, **changes: str) -> FileDataset:
    """A file of pydicom's as an instance of a study of its own."""
    data_set = dcmread(path)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(data_set, keyword, generate_uid())
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    return data_set


def stored(isocenter: Isocenter, *data_sets: FileDataset) -> None:
    """Stored as they are, and findable."""
    ae = AE("TESTER")
    for data_set in data_sets:
        ae.add_requested_context(data_set.SOPClassUID, data_set.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", isocenter.dicom_port, ae_title="ISOCENTER")
    assert association.is_established
    assert [association.send_c_store(one).Status for one in data_sets] == [0] * len(data_sets)
    association.release()
    for data_set in data_sets:
        study = data_set.StudyInstanceUID
        wait_until(lambda study=study: find_instances(isocenter, study), what="it is findable")


# --- character sets ------------------------------------------------------------------------------

NOT_DCMDUMP_S = "ISO 2022 IR 87"  # glibc, which converts for it, does not have this one
CHARSET_FILES = sorted(
    path for path in get_charset_files("*.dcm") if "StudyInstanceUID" in dcmread(path)
)


@dataclass(frozen=True)
class Answer:
    """What findscu wrote of one answer."""

    data_set: Dataset
    dump: str  # dcmdump's, in UTF-8


def findscu(isocenter: Isocenter, folder: Path, **keys: object) -> list[Answer]:
    """The answers to a query whose keys are in a character set."""
    asked = Dataset()
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    asked.QueryRetrieveLevel = "STUDY"
    folder.mkdir()
    asked.save_as(folder / "keys.dcm", implicit_vr=False, little_endian=True)
    answers = folder / "answers"
    answers.mkdir()
    outcome = dcmtk("findscu", isocenter, "-S", "-X", "-od", answers, folder / "keys.dcm")
    assert outcome.code == 0, outcome.text
    return [
        Answer(dcmread(path, force=True), run("dcmdump", "+U8", path).text)
        for path in sorted(answers.iterdir())
    ]


@pytest.fixture(scope="module")
def names(isocenter: Isocenter) -> list[FileDataset]:
    """One study of each character set."""
    data_sets = [renamed(path) for path in CHARSET_FILES]
    stored(isocenter, *data_sets)
    return data_sets


def test_findscu_finds_and_reads_names_in_the_character_set_that_it_asks_in(
    isocenter: Isocenter, names: list[FileDataset], tmp_path: Path
) -> None:
    assert len(names) >= 14
    for number, held in enumerate(names):
        [answer] = findscu(
            isocenter,
            tmp_path / str(number),
            SpecificCharacterSet=held.SpecificCharacterSet,
            PatientName=held.PatientName,
            StudyInstanceUID=held.StudyInstanceUID,
        )
        assert answer.data_set.SpecificCharacterSet == held.SpecificCharacterSet
        assert str(answer.data_set.PatientName) == str(held.PatientName)
        if NOT_DCMDUMP_S not in held.SpecificCharacterSet:
            assert str(held.PatientName) in answer.dump


@pytest.mark.parametrize("asked", [None, "ISO_IR 100", "ISO_IR 166", "ISO_IR 192"])
def test_a_name_that_the_asked_character_set_lacks_comes_in_utf_8(
    isocenter: Isocenter, names: list[FileDataset], tmp_path: Path, asked: str | None
) -> None:
    held = next(one for one in names if "山田" in str(one.PatientName))
    keys = {"SpecificCharacterSet": asked} if asked else {}
    uid = held.StudyInstanceUID
    [answer] = findscu(isocenter, tmp_path / "q", **keys, PatientName="", StudyInstanceUID=uid)
    assert answer.data_set.SpecificCharacterSet == "ISO_IR 192"
    assert str(answer.data_set.PatientName) == str(held.PatientName)


def test_a_name_is_found_whatever_the_character_set_of_the_key(
    isocenter: Isocenter, names: list[FileDataset], tmp_path: Path
) -> None:
    held = next(one for one in names if "山田" in str(one.PatientName))
    for number, charset in enumerate(["ISO_IR 192", "GB18030", ["", "ISO 2022 IR 87"]]):
        [answer] = findscu(
            isocenter,
            tmp_path / str(number),
            SpecificCharacterSet=charset,
            PatientName="山田*",
            StudyInstanceUID=held.StudyInstanceUID,
        )
        assert answer.data_set.StudyInstanceUID == held.StudyInstanceUID
        assert str(answer.data_set.PatientName) == str(held.PatientName)


# --- extended negotiation ------------------------------------------------------------------------


def found(isocenter: Isocenter, information: bytes, **keys: object) -> list[Dataset]:
    """What a pynetdicom SCU finds that proposes this for Study Root queries."""
    ae = AE("TESTER")
    ae.add_requested_context(FIND)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = FIND
    item.service_class_application_information = information
    association = ae.associate(
        "127.0.0.1", isocenter.dicom_port, ae_title="ISOCENTER", ext_neg=[item]
    )
    assert association.is_established
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    *answers, (status, _) = association.send_c_find(asked, FIND)
    association.release()
    assert status.Status == 0
    return [identifier for _, identifier in answers]


def test_queries_keep_to_what_was_negotiated(isocenter: Isocenter) -> None:
    held = renamed(
        get_testdata_file("CT_small.dcm", download=False),
        PatientName="Swayne^Mary",
        StudyDate="20060706",
        StudyTime="013000",
        TimezoneOffsetFromUTC="+0200",
    )
    stored(isocenter, held)
    one = {"StudyInstanceUID": held.StudyInstanceUID}
    window = {**one, "StudyDate": "20060705-20060707", "StudyTime": "1000-1800"}
    assert not found(isocenter, b"\1\0", **window)
    assert found(isocenter, b"\0\1", **window)
    assert not found(isocenter, b"\1\0\0", **one, PatientName="Swain")
    assert found(isocenter, b"\0\0\1", **one, PatientName="Swain")
    there = {**one, "StudyDate": "20060705", "StudyTime": "", "TimezoneOffsetFromUTC": "-0500"}
    assert not found(isocenter, b"\1\0\0\0", **there)
    [answer] = found(isocenter, b"\0\0\0\1", **there)
    assert (answer.StudyDate, answer.StudyTime) == ("20060705", "183000")
    assert answer.TimezoneOffsetFromUTC == "-0500"


# --- without bulk data ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"],
)
def test_instances_come_without_bulk_data(isocenter: Isocenter, name: str) -> None:
    held = renamed(get_testdata_file(name, download=False))
    stored(isocenter, held)
    asked = Dataset()
    asked.QueryRetrieveLevel = "IMAGE"
    asked.SOPInstanceUID = held.SOPInstanceUID
    received, status = got(
        isocenter, WITHOUT_BULK_DATA, asked, held.SOPClassUID, ExplicitVRLittleEndian
    )
    assert status == 0
    [one] = received
    assert "PixelData" not in one
    assert (one.SOPClassUID, one.SOPInstanceUID) == (held.SOPClassUID, held.SOPInstanceUID)
    assert (one.Rows, one.Columns) == (held.Rows, held.Columns)
    assert str(one.PatientName) == str(held.PatientName)


def test_one_of_these_files_is_deflated() -> None:
    path = get_testdata_file("image_dfl.dcm", download=False)
    assert dcmread(path).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
