"""Identifiers: read as pydicom writes them, and written as pydicom reads them."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from isocenter.core.errors import Mismatch, Unprocessable
from isocenter.core.matching import Key, Level
from isocenter.core.transfer_syntax import lookup
from isocenter.gateway.contexts import MESSAGE_TRANSFER_SYNTAXES, PATIENT_ROOT, STUDY_ROOT
from isocenter.gateway.extended import Matching
from isocenter.gateway.identifiers import read, write

LEVELS = PATIENT_ROOT.levels
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def encoded(data_set: Dataset, syntax: str) -> bytes:
    known = lookup(syntax)
    buffer = DicomBytesIO()
    buffer.is_little_endian = known.little_endian
    buffer.is_implicit_VR = known.implicit_vr
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def decoded(data: bytes, syntax: str) -> Dataset:
    known = lookup(syntax)
    return read_dataset(BytesIO(data), known.implicit_vr, known.little_endian)


def query(**attributes) -> Dataset:
    data_set = Dataset()
    for keyword, value in {"QueryRetrieveLevel": "STUDY", **attributes}.items():
        setattr(data_set, keyword, value)
    return data_set


@pytest.mark.parametrize("syntax", MESSAGE_TRANSFER_SYNTAXES)
def test_keys_come_as_they_stand_in_every_transfer_syntax(syntax):
    item = Dataset()
    item.ScheduledProcedureStepID = "SPS1"
    asked = query(
        PatientName="DOE^J*",
        StudyDate="20200101-20201231",
        ModalitiesInStudy=["CT", "MR"],
        StudyInstanceUID="",
        Rows=512,
        RequestAttributesSequence=[item],
    )
    identifier = read(encoded(asked, syntax), syntax, LEVELS)
    assert identifier.level is Level.STUDY
    assert set(identifier.keys) == {
        Key("00100010", "PN", ("DOE^J*",)),
        Key("00080020", "DA", ("20200101-20201231",)),
        Key("00080061", "CS", ("CT", "MR")),
        Key("0020000D", "UI"),
        Key("00280010", "US", ("512",)),
        Key("00400275", "SQ", (), (Key("00400009", "SH", ("SPS1",)),)),
    }
    assert identifier.search(Matching(), identifier.moments(Matching())).include == tuple(
        key.tag for key in identifier.keys
    )


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Äneas^Rüdiger"),
        ("ISO_IR 144", "Юлия"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_keys_are_decoded_from_the_requesters_character_set(character_set, name):
    asked = query(SpecificCharacterSet=character_set, PatientName=name)
    identifier = read(encoded(asked, IMPLICIT), IMPLICIT, LEVELS)
    assert identifier.values("00100010") == (name,)


@pytest.mark.filterwarnings("ignore:.*KLINGON")
def test_an_unknown_character_set_leaves_ascii_keys_usable():
    raw = encoded(query(PatientID="4711"), EXPLICIT)
    unknown = b"\x08\x00\x05\x00CS\x08\x00KLINGON " + raw
    identifier = read(unknown, EXPLICIT, LEVELS)
    assert identifier.values("00100020") == ("4711",)


@pytest.mark.parametrize("level", ["", "VISIT", "STUDY\\SERIES", "PATIENT"])
def test_a_level_that_is_not_of_the_model_is_refused(level):
    raw = encoded(query(QueryRetrieveLevel=level.split("\\")), IMPLICIT)
    with pytest.raises(Mismatch, match=r"\(0008,0052\) must be one of STUDY, SERIES, IMAGE"):
        read(raw, IMPLICIT, STUDY_ROOT.levels)


def test_a_missing_level_is_refused():
    with pytest.raises(Mismatch):
        read(b"", IMPLICIT, LEVELS)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x00\x52\x00\xff\xff\xff\x7fSTUDY ",
        b"\x08\x00\x52\x00\x06\x00\x00\x00STU",
        b"\x08\x00",
        b"\x40\x00\x75\x02\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 1000,
    ],
)
def test_a_broken_identifier_is_unprocessable(data):
    with pytest.raises(Unprocessable):
        read(data, IMPLICIT, LEVELS)


def test_keys_that_cannot_be_answered_at_the_level_are_noticed():
    supported = read(encoded(query(PatientID="1", StudyDate=""), IMPLICIT), IMPLICIT, LEVELS)
    below = read(encoded(query(SeriesDescription="x"), IMPLICIT), IMPLICIT, LEVELS)
    unknown = read(encoded(query(KVP=""), IMPLICIT), IMPLICIT, LEVELS)
    assert (supported.unsupported, below.unsupported, unknown.unsupported) == (False, True, True)


@pytest.mark.parametrize("syntax", MESSAGE_TRANSFER_SYNTAXES)
def test_answers_hold_every_key_that_was_asked_for(syntax):
    item = Dataset()
    item.ScheduledProcedureStepID = ""
    asked = query(
        PatientName="", PatientID="", KVP="", Rows=None, NumberOfStudyRelatedInstances="",
        PatientWeight="", RequestAttributesSequence=[item],
    )  # fmt: skip
    identifier = read(encoded(asked, syntax), syntax, LEVELS)
    found = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^J", "Ideographic": "山田"}]},
        "00280010": {"vr": "US", "Value": [512]},
        "00201208": {"vr": "IS", "Value": [12]},
        "00101030": {"vr": "DS", "Value": [71.12345678901234567]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["SPS1"]}}]},
        "00080020": {"vr": "DA", "Value": ["20200101"]},
    }
    answer = decoded(write(identifier.answer(found, "ISOCENTER"), syntax), syntax)
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert str(answer.PatientName) == "Doe^J=山田"
    assert (answer.Rows, answer.NumberOfStudyRelatedInstances) == (512, 12)
    assert answer.PatientID is None or answer.PatientID == ""
    assert answer["KVP"].is_empty
    assert len(answer.PatientWeight.original_string) <= 16
    assert answer.RequestAttributesSequence[0].ScheduledProcedureStepID == "SPS1"
    assert answer.QueryRetrieveLevel == "STUDY"
    assert (answer.RetrieveAETitle, answer.InstanceAvailability) == ("ISOCENTER", "ONLINE")
    assert "StudyDate" not in answer


def test_ascii_answers_need_no_character_set():
    assert "SpecificCharacterSet" not in decoded(
        write({"00100020": {"vr": "LO", "Value": ["4711"]}}, EXPLICIT), EXPLICIT
    )


def test_a_number_that_does_not_fit_its_vr_is_answered_empty():
    answer = write({"00280010": {"vr": "US", "Value": [70000]}}, EXPLICIT)
    assert decoded(answer, EXPLICIT)["Rows"].is_empty


def test_a_list_too_long_for_its_vr_is_written_as_unknown():
    uids = [f"1.2.826.0.1.3680043.8.498.{number:039}" for number in range(2000)]
    data = write({"00080058": {"vr": "UI", "Value": uids}}, EXPLICIT)
    assert data[4:6] == b"UN"
    value = decoded(data, EXPLICIT)["FailedSOPInstanceUIDList"].value
    assert bytes(value).rstrip(b"\0") == "\\".join(uids).encode()


@pytest.mark.filterwarnings("ignore:.*ISO_IR 999")
@pytest.mark.parametrize("syntax", MESSAGE_TRANSFER_SYNTAXES)
@pytest.mark.parametrize(
    ("asked", "name", "answered"),
    [
        ("ISO_IR 100", "Müller^Jörg", "ISO_IR 100"),
        ("ISO_IR 144", "Люкceмбypг", "ISO_IR 144"),  # noqa: RUF001
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", ["", "ISO 2022 IR 87"]),
        ("GB18030", "王^小东", "GB18030"),
        ("ISO_IR 100", "王^小东", "ISO_IR 192"),
        ("ISO_IR 999", "Müller", "ISO_IR 192"),
        (None, "Müller", "ISO_IR 192"),
        ("ISO_IR 100", "Doe^Jane", None),
    ],
)
def test_answers_are_in_the_character_set_of_the_request(syntax, asked, name, answered):
    keys = query(PatientName="")
    if asked is not None:
        keys.SpecificCharacterSet = asked
    identifier = read(encoded(keys, syntax), syntax, LEVELS)
    groups = zip(("Alphabetic", "Ideographic"), name.split("="), strict=False)
    found = {"00100010": {"vr": "PN", "Value": [dict(groups)]}}
    written = write(identifier.answer(found, "ISOCENTER"), syntax, identifier.charset)
    answer = decoded(written, syntax)
    assert answer.get("SpecificCharacterSet") == answered
    assert str(answer.PatientName) == name


# PS3.4 tables C.6-1 to C.6-5: required keys, and the optional ones that they name.
KEYS = {
    "PATIENT": """PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime
        PatientSex OtherPatientIDs OtherPatientNames EthnicGroup PatientComments
        NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries
        NumberOfPatientRelatedInstances""",
    "STUDY": """StudyDate StudyTime AccessionNumber StudyID StudyInstanceUID ModalitiesInStudy
        SOPClassesInStudy ReferringPhysicianName StudyDescription NameOfPhysiciansReadingStudy
        AdmittingDiagnosesDescription PatientAge PatientSize PatientWeight Occupation
        AdditionalPatientHistory NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
        TimezoneOffsetFromUTC""",
    "SERIES": """Modality SeriesNumber SeriesInstanceUID NumberOfSeriesRelatedInstances
        SeriesDescription BodyPartExamined Laterality SeriesDate SeriesTime ProtocolName
        OperatorsName PerformingPhysicianName PerformedProcedureStepStartDate
        PerformedProcedureStepStartTime""",
    "IMAGE": """InstanceNumber SOPInstanceUID SOPClassUID Rows Columns NumberOfFrames ImageType
        ContentDate ContentTime AcquisitionDateTime""",
}


def test_the_keys_that_workstations_ask_for_are_answered_at_their_level_and_below():
    asked: list[str] = []
    for level, keywords in KEYS.items():
        asked += keywords.split()
        keys = query(QueryRetrieveLevel=level, **dict.fromkeys(asked))
        identifier = read(encoded(keys, EXPLICIT), EXPLICIT, LEVELS)
        assert not identifier.unsupported
        answer = decoded(write(identifier.answer({}, "PACS"), EXPLICIT), EXPLICIT)
        assert (answer.RetrieveAETitle, answer.InstanceAvailability) == ("PACS", "ONLINE")
        assert set(asked) <= set(answer.dir())


@pytest.mark.parametrize(
    ("level", "keyword"),
    [
        ("PATIENT", "ReferencedPatientSequence"),
        ("PATIENT", "StudyDate"),
        ("STUDY", "OtherStudyNumbers"),
        ("STUDY", "ProcedureCodeSequence"),
        ("STUDY", "NumberOfSeriesRelatedInstances"),
        ("IMAGE", "AvailableTransferSyntaxUID"),
        ("IMAGE", "ConceptNameCodeSequence"),
    ],
)
def test_optional_keys_that_are_not_kept_are_told(level, keyword):
    value = [Dataset()] if keyword.endswith("Sequence") else ""
    keys = query(QueryRetrieveLevel=level, **{keyword: value})
    identifier = read(encoded(keys, EXPLICIT), EXPLICIT, LEVELS)
    assert identifier.unsupported
    assert keyword in decoded(write(identifier.answer({}, "PACS"), EXPLICIT), EXPLICIT)
