"""The Store Instances Response Module, against the tables of PS3.18 annex I."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR

from isocenter.core.apis import Stored
from isocenter.core.errors import OutOfResources, Unavailable, Unprocessable
from isocenter.core.identity import InstanceName
from isocenter.core.native_model import from_xml
from isocenter.web import stow_answers
from isocenter.web.negotiation import DICOM_XML
from isocenter.web.problems import Problem
from isocenter.web.stow_answers import COERCED, ELEMENTS_DISCARDED, Kept, Outcome, failure
from support.web_fakes import CT, SERIES, STUDY, Web, multipart, part10

ROOT = "http://pacs.test/dicomweb"
ALLOWED = {
    "RetrieveURL": {},
    "FailedSOPSequence": {"ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "FailureReason"},
    "ReferencedSOPSequence": {
        "ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "RetrieveURL", "WarningReason",
    },
    "OtherFailuresSequence": {"FailureReason"},
}  # fmt: skip


def kept(instance: str, study: str = STUDY, warning: int = 0) -> Kept:
    name = InstanceName("main", study, SERIES, instance)
    return Kept(Stored(name, CT, "1.2.840.10008.1.2.1", "0" * 64, 1), warning)


def checked(outcome: Outcome) -> Dataset:
    """The module as pydicom reads it: only attributes of table I.1-1, each with its VR, and those
    of type 1 with a value."""
    attributes: dict[str, Any] = outcome.attributes(ROOT)
    module = Dataset.from_json(attributes)
    for element in module:
        assert element.keyword in ALLOWED
        assert dictionary_VR(element.tag) == element.VR
        for item in element.value if element.VR == "SQ" else ():
            assert {one.keyword for one in item} <= ALLOWED[element.keyword]
            assert all(one.value not in ("", None) for one in item)
            assert element.keyword == "ReferencedSOPSequence" or "FailureReason" in item
    assert "RetrieveURL" in module  # type 2: always there
    return module


def test_what_is_kept_is_referenced_with_its_address() -> None:
    module = checked(Outcome([kept("1.1"), kept("1.2")]))
    assert module.RetrieveURL == f"{ROOT}/studies/{STUDY}"
    assert [item.ReferencedSOPInstanceUID for item in module.ReferencedSOPSequence] == [
        "1.1",
        "1.2",
    ]
    place = f"{ROOT}/studies/{STUDY}/series/{SERIES}/instances/1.1"
    assert module.ReferencedSOPSequence[0].RetrieveURL == place


def test_the_address_of_the_study_is_empty_where_there_is_not_exactly_one() -> None:
    assert not checked(Outcome([kept("1.1"), kept("1.2", "1.9")])).RetrieveURL
    assert not checked(Outcome([], [failure(Unprocessable("x"), CT, "1.1")])).RetrieveURL


def test_a_failure_that_names_no_instance_is_an_other_failure() -> None:
    error = Unprocessable("x")
    failed = [failure(error, CT, "1.1"), failure(error), failure(error, CT, "1.\ufffd")]
    module = checked(Outcome([], failed))
    assert len(module.FailedSOPSequence) == 1
    assert [item.FailureReason for item in module.OtherFailuresSequence] == [0xC000, 0xC000]


@pytest.mark.parametrize(
    ("coerced", "given", "warning"),
    [((), 0, 0), ((0x00100021,), 0, COERCED), ((0x00100021,), ELEMENTS_DISCARDED, 0xB006)],
)
def test_what_is_coerced_is_a_warning(coerced, given, warning) -> None:
    stored = replace(kept("1.1").stored, coerced=coerced)
    outcome = Outcome([stow_answers.kept(stored, given)])
    (item,) = checked(outcome).ReferencedSOPSequence
    assert item.get("WarningReason", 0) == warning
    assert outcome.status == (202 if warning else 200)


def test_the_status_is_that_of_table_10_5_3_1() -> None:
    failed = failure(Unprocessable("x"))
    assert Outcome([kept("1.1")]).status == 200
    assert Outcome([kept("1.1", warning=ELEMENTS_DISCARDED)]).status == 202
    assert Outcome([kept("1.1")], [failed]).status == 202
    assert Outcome([], [failed]).status == 409
    full, down = failure(OutOfResources("x")), failure(Unavailable("x"))
    for one, status in ((full, 507), (down, 503)):
        with pytest.raises(Problem) as raised:
            assert Outcome([], [one, one]).status
        assert raised.value.status == status
    assert Outcome([], [full, down]).status == 409


def test_a_warning_has_its_reason() -> None:
    module = checked(Outcome([kept("1.1", warning=ELEMENTS_DISCARDED)]))
    assert module.ReferencedSOPSequence[0].WarningReason == 0xB006


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/json", "application/dicom+json"),
        ("application/dicom+xml", DICOM_XML),
        ("application/dicom+json;q=0.5, application/dicom+xml", DICOM_XML),
        ("text/html", None),
    ],
)
async def test_the_answer_is_json_or_xml_as_accepted(accept: str, media: str | None) -> None:
    web = Web()
    kind = 'multipart/related; type="application/dicom"; boundary=b0'
    headers = {"content-type": kind, "accept": accept}
    async with web.client() as client:
        answer = await client.post(
            "/dicomweb/studies", content=multipart(part10()), headers=headers
        )
    if media is None:
        assert answer.status_code == 406
        assert web.ingest.received == {}
        return
    assert answer.headers["content-type"] == media
    read = from_xml if media == DICOM_XML else orjson.loads
    assert "00081199" in read(answer.content)
