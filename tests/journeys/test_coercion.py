"""Objects of an AE with coercion rules: corrected on every way out, and unchanged where they are
kept, in both shapes."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from support.clients import dcmtk, storescp
from support.datasets import ct_image
from support.files import data_set_bytes, find_instances
from support.harness import Isocenter, wait_until

COERCION_OF_DATA_ELEMENTS = 0xB000
PATIENT_ID, ISSUER, STATION = 0x00100020, 0x00100021, 0x00081010
FILE = {"Accept": "application/dicom; transfer-syntax=*"}


@dataclass
class Sent:
    """An instance in a file, and what was answered to its C-STORE."""

    path: Path
    data_set: Dataset
    status: Dataset

    @property
    def study(self) -> str:
        return str(self.data_set.StudyInstanceUID)

    @property
    def patient_id(self) -> str:
        """As corrected."""
        return str(self.data_set.PatientID).lstrip("0")

    @property
    def address(self) -> str:
        one = self.data_set
        series = f"{self.study}/series/{one.SeriesInstanceUID}"
        return f"/studies/{series}/instances/{one.SOPInstanceUID}"


def send(isocenter: Isocenter, path: Path, calling: str = "COERCED") -> Dataset:
    """The answer to a C-STORE of pynetdicom."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(isocenter.host, isocenter.dicom_port, ae_title=isocenter.ae_title)
    assert association.is_established
    try:
        return association.send_c_store(str(path))
    finally:
        association.release()


@pytest.fixture
def sent(isocenter: Isocenter, tmp_path: Path) -> Sent:
    """A slice of the AE with rules, findable."""
    instance = ct_image(64, 64)
    instance.PatientID = f"00{instance.StudyInstanceUID[-12:].strip('0.')}"
    instance.StationName = "OLD-7"
    path = tmp_path / "sent.dcm"
    instance.save_as(path, enforce_file_format=True)
    status = send(isocenter, path)
    wait_until(lambda: find_instances(isocenter, instance.StudyInstanceUID), what="findable")
    return Sent(path, instance, status)


def check_corrected(data_set: Dataset, sent: Sent) -> None:
    """The corrected object, with what it was before."""
    assert data_set.PatientID == sent.patient_id
    assert data_set.IssuerOfPatientID == "NORTH"
    assert data_set.StationName == "CT-7"
    (item,) = data_set.OriginalAttributesSequence
    assert item.ReasonForTheAttributeModification == "COERCE"
    assert item.SourceOfPreviousValues == "COERCED"
    assert item.ModifyingSystem == "ISOCENTER"
    (before,) = item.ModifiedAttributesSequence
    assert before.PatientID == sent.data_set.PatientID
    assert before.StationName == "OLD-7"
    assert before["IssuerOfPatientID"].is_empty
    assert data_set.PixelData == sent.data_set.PixelData
    others = [one for one in sent.data_set if one.tag not in (PATIENT_ID, STATION)]
    assert [data_set[one.tag] for one in others] == others


def originals(isocenter: Isocenter, sent: Sent) -> list[str]:
    """Keys of what is kept of the study, after looking whether objects are as they were sent."""
    kept = isocenter.objects.contents(sent.study)
    sent_bytes = data_set_bytes(sent.path)
    for key, content in kept.items():
        assert not key.endswith(".dcm") or content.endswith(sent_bytes), key
    return [key for key in kept if key.endswith(".dcm")]


def test_the_answer_lists_what_is_coerced_and_the_object_stays_as_it_was(
    isocenter: Isocenter, sent: Sent
) -> None:
    assert sent.status.Status == COERCION_OF_DATA_ELEMENTS
    assert list(sent.status.OffendingElement) == [STATION, PATIENT_ID, ISSUER]
    assert len(originals(isocenter, sent)) == 1


def test_others_are_answered_with_success(isocenter: Isocenter, tmp_path: Path) -> None:
    path = tmp_path / "plain.dcm"
    ct_image(64, 64).save_as(path, enforce_file_format=True)
    assert send(isocenter, path, "TESTER").Status == 0


def test_searches_know_the_corrected_values(isocenter: Isocenter, sent: Sent) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"PatientID={sent.patient_id}")
    outcome = dcmtk("findscu", isocenter, "-S", *keys, "-k", "StudyInstanceUID")
    assert sent.study in outcome.text
    (found,) = isocenter.search(f"/studies?PatientID={sent.patient_id}&includefield=00100021")
    assert found["00100021"]["Value"] == ["NORTH"]
    assert isocenter.search(f"/studies?PatientID={sent.data_set.PatientID}") == []


def test_retrieves_of_dimse_give_the_corrected_object(
    isocenter: Isocenter, sent: Sent, tmp_path: Path
) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={sent.study}")
    for verb, how in (("got", "getscu"), ("moved", "movescu")):
        folder = tmp_path / verb
        folder.mkdir()
        if how == "getscu":
            outcome = dcmtk(how, isocenter, "-S", "-od", folder, *keys)
        else:
            with storescp(folder, port=isocenter.destination_port):
                outcome = dcmtk(how, isocenter, "-S", "-aem", "DESTINATION", *keys)
        assert outcome.code == 0, outcome.text
        (file,) = folder.iterdir()
        check_corrected(pydicom.dcmread(file), sent)


def test_retrieves_of_the_web_give_the_corrected_object(isocenter: Isocenter, sent: Sent) -> None:
    root = isocenter.dicomweb
    single = httpx.get(root + sent.address, headers={"Accept": "application/dicom"}, timeout=60)
    assert int(single.headers["content-length"]) == len(single.content)
    check_corrected(pydicom.dcmread(io.BytesIO(single.content)), sent)

    zipped = httpx.get(
        f"{root}/studies/{sent.study}", headers={"Accept": "application/zip"}, timeout=60
    )
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as archive:
        (name,) = archive.namelist()
        assert archive.testzip() is None
        check_corrected(pydicom.dcmread(io.BytesIO(archive.read(name))), sent)

    one = sent.data_set
    uri = httpx.get(
        f"{isocenter.http_url}/wado",
        params={
            "requestType": "WADO",
            "studyUID": sent.study,
            "seriesUID": one.SeriesInstanceUID,
            "objectUID": one.SOPInstanceUID,
            "contentType": "application/dicom",
        },
        timeout=60,
    )
    assert uri.status_code == HTTPStatus.OK, uri.text
    check_corrected(pydicom.dcmread(io.BytesIO(uri.content)), sent)

    (metadata,) = json.loads(isocenter.get(f"/studies/{sent.study}/metadata"))
    assert metadata["00100020"]["Value"] == [sent.patient_id]
    assert metadata["04000561"]["Value"][0]["04000565"]["Value"] == ["COERCE"]

    pixels = httpx.get(
        f"{root}{sent.address}/frames/1",
        headers={"Accept": "application/octet-stream; transfer-syntax=*"},
        timeout=60,
    )
    assert one.PixelData in pixels.content
    bulk = httpx.get(
        metadata["7FE00010"]["BulkDataURI"], headers={"Accept": "application/octet-stream"}
    )
    assert one.PixelData in bulk.content
    shown = httpx.get(f"{root}{sent.address}/rendered", headers={"Accept": "image/png"})
    assert shown.content.startswith(b"\x89PNG")


def test_what_an_ae_stores_over_the_web_is_corrected_by_its_address(isocenter: Isocenter) -> None:
    instance = ct_image(64, 64)
    instance.PatientName = "B\N{LATIN SMALL LETTER A WITH DIAERESIS}r^Eva"
    instance.SpecificCharacterSet = "ISO_IR 100"
    file = io.BytesIO()
    instance.save_as(file, enforce_file_format=True)
    wrong = file.getvalue().replace(b"ISO_IR 100", b"ISO_IR 192")
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as client:
        answer = client.post(
            f"{isocenter.dicomweb}/studies",
            content=wrong,
            headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
            timeout=60,
        )
    assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
    (referenced,) = answer.json()["00081199"]["Value"]
    assert referenced["00081196"]["Value"] == [COERCION_OF_DATA_ELEMENTS]
    study = instance.StudyInstanceUID
    wait_until(lambda: find_instances(isocenter, study), what="findable")
    (metadata,) = json.loads(isocenter.get(f"/studies/{study}/metadata"))
    assert metadata["00100010"]["Value"] == [{"Alphabetic": str(instance.PatientName)}]
    address = f"/studies/{study}/series/{instance.SeriesInstanceUID}"
    address += f"/instances/{instance.SOPInstanceUID}"
    got = httpx.get(isocenter.dicomweb + address, headers={"Accept": "application/dicom"})
    read = pydicom.dcmread(io.BytesIO(got.content))
    assert read.SpecificCharacterSet == "ISO_IR 100"
    assert read.PatientName == instance.PatientName
    (before,) = read.OriginalAttributesSequence[0].ModifiedAttributesSequence
    assert before.SpecificCharacterSet == "ISO_IR 192"


def test_the_same_again_changes_nothing(isocenter: Isocenter, sent: Sent) -> None:
    before = httpx.get(isocenter.dicomweb + sent.address, headers=FILE, timeout=60)
    for _ in range(2):
        assert send(isocenter, sent.path).Status == COERCION_OF_DATA_ELEMENTS
    assert send(isocenter, sent.path, "TESTER").Status == 0
    after = httpx.get(isocenter.dicomweb + sent.address, headers=FILE, timeout=60)
    assert after.headers["etag"] == before.headers["etag"]
    assert len(originals(isocenter, sent)) == 1
    (found,) = isocenter.search(f"/studies?StudyInstanceUID={sent.study}")
    assert found["00100020"]["Value"] == [sent.patient_id]


def test_a_deleted_object_comes_back_corrected(isocenter: Isocenter, sent: Sent) -> None:
    answer = httpx.delete(f"{isocenter.dicomweb}/studies/{sent.study}", timeout=60)
    deletion: dict[str, Any] = answer.json()
    assert find_instances(isocenter, sent.study) == []
    url = f"{isocenter.http_url}/api/deletions/{deletion['id']}/restore"
    assert httpx.post(url, timeout=60).status_code == HTTPStatus.OK
    wait_until(lambda: find_instances(isocenter, sent.study), what="found again")
    (found,) = isocenter.search(f"/studies?PatientID={sent.patient_id}")
    assert found["0020000D"]["Value"] == [sent.study]


def test_a_rebuild_and_a_verification_know_of_corrections(isocenter: Isocenter, sent: Sent) -> None:
    rebuilt = isocenter.cli("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    (found,) = isocenter.search(f"/studies?PatientID={sent.patient_id}")
    assert found["0020000D"]["Value"] == [sent.study]
    verified = isocenter.cli("verify", "--study", sent.study)
    assert verified.returncode == 0, verified.stdout + verified.stderr
