"""The audit trail over HTTP against real processes: what people and machines did is found by REST,
by FHIR and on the page, proved, verified and exported; and so are these readings."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pydicom
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from lxml import html

from isocenter.runtime.audit_export.forms import FORMS
from support.harness import Isocenter, running, wait_until
from support.web_answers import FILES, HELD, fill, place_of

pytestmark = pytest.mark.timeout(240)

CT = pydicom.dcmread(FILES / "CT_small.dcm", stop_before_pixels=True)
PURPOSE = {"Purpose-Of-Use": "TREAT"}


@pytest.fixture(scope="module", params=["up", "split"])
def isocenter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isocenter]:
    """An installation in which objects were stored, searched for and retrieved."""
    data: Path = tmp_path_factory.mktemp(f"audit-{request.param}") / "data"
    with running(data, request.param, {"audit.seal_seconds": 1, "site": "north"}) as installation:
        fill(installation)
        with httpx.Client(base_url=installation.http_url, headers=PURPOSE, timeout=60) as client:
            assert client.get(f"/dicomweb/studies?PatientID={CT.PatientID}").status_code == 200
            place = place_of("CT_small.dcm")[2]
            for path in (place + "/metadata", place + "/frames/1"):
                assert client.get(path, headers={"Accept": "*/*"}).status_code == 200
            assert client.get("/dicomweb/studies/9.9/metadata").status_code == 404
            found = f"/api/audit/count?instance={CT.SOPInstanceUID}"
            wait_until(lambda: client.get(found).json()["count"] >= 3, what="records are found")
            wait_until(
                lambda: client.get("/api/audit/state").json()["sealed"] >= len(HELD) + 5,
                what="records are sealed",
            )
        yield installation


@pytest.fixture
def client(isocenter: Isocenter) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=isocenter.http_url, timeout=60) as made:
        yield made


def records(client: httpx.Client, **query: str) -> list[dict[str, Any]]:
    """All that pass, page by page, once no record comes in between a page and its count."""
    found: list[dict[str, Any]] = wait_until(
        lambda: (read := _pages(client, query))[1] == len(read[0]) and [read],
        what="the total is how many there are",
    )[0][0]
    assert len({one["id"] for one in found}) == len(found)
    return found


def _pages(client: httpx.Client, query: dict[str, str]) -> tuple[list[dict[str, Any]], int]:
    """All that pass, and the last total."""
    found: list[dict[str, Any]] = []
    address: str | None = f"/api/audit/records?{httpx.QueryParams({**query, 'limit': '3'})}"
    while address:
        told = client.get(address).json()
        found += told["records"]
        address = told["next"]
    return found, told["total"]


def test_what_was_done_is_found(client: httpx.Client) -> None:
    stored = records(client, action="store")
    assert len(stored) == len(HELD)
    assert {one["site"] for one in stored} == {"north"}
    (query,) = records(client, action="query", patient=CT.PatientID)
    assert (query["source"]["purpose"], query["query"]) == ("TREAT", f"PatientID={CT.PatientID}")
    retrieved = records(client, action="retrieve", study=CT.StudyInstanceUID)
    assert {one["detail"] for one in retrieved} == {"WADO-RS metadata", "WADO-RS frames"}
    (failed,) = records(client, study="9.9")
    assert failed["outcome"] == "failure"


def test_an_object_has_its_story_and_each_of_its_records_a_proof(
    isocenter: Isocenter, client: httpx.Client, tmp_path: Path
) -> None:
    told = client.get(f"/api/audit/objects/{CT.SOPInstanceUID}").json()["records"]
    story = [one for one in told if one["action"] != "audit"]  # of who asked for it
    assert [one["action"] for one in story] == ["store", "retrieve", "retrieve"]
    assert story[0]["digests"]
    for one in story:
        address = f"/api/audit/records/{one['name']}/proof"
        wait_until(
            lambda address=address: client.get(address).status_code == 200, what="it is sealed"
        )
        file = tmp_path / "proof.json"
        file.write_bytes(client.get(address).content)
        checked = subprocess.run(
            [sys.executable, "-m", "isocenter.audit.standalone", "--proof", str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_trail_is_verified_over_http_and_that_is_recorded(client: httpx.Client) -> None:
    answer = client.post("/api/audit/verification")
    result = json.loads(answer.text.splitlines()[-1])
    assert (result["done"], result["findings"]) == (True, [])
    assert result["records"] >= len(HELD) + 5
    wait_until(
        lambda: [one for one in records(client, action="verify") if one["outcome"] == "success"],
        what="the record of the verification",
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_export_holds_what_was_found(client: httpx.Client, form: str) -> None:
    answer = client.get(f"/api/audit/export?form={form}&action=store&verify=true")
    assert answer.status_code == 200
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert {row["id"] for row in rows} == {one["id"] for one in records(client, action="store")}
    elif form == "fhir":
        assert len(Bundle.model_validate(answer.json()).entry) == len(HELD)
    else:
        assert answer.content


def test_fhir_finds_the_same(client: httpx.Client) -> None:
    CapabilityStatement.model_validate(client.get("/fhir/metadata").json())
    (last,) = records(client, study="9.9", action="retrieve")  # what came later is still coming
    behind = datetime.fromisoformat(last["at"]) + timedelta(microseconds=1)
    for query, filtered in (
        ({"patient.identifier": CT.PatientID}, {"patient": CT.PatientID}),
        ({"entity.identifier": f"urn:oid:{CT.StudyInstanceUID}"}, {"study": CT.StudyInstanceUID}),
        ({"address:exact": "127.0.0.1", "outcome": "8"}, {"outcome": "failure"}),
        ({"type": "110112", "patient.identifier": CT.PatientID},
         {"action": "query", "patient": CT.PatientID}),
    ):  # fmt: skip
        asked = {**query, "date": f"le{last['at']}", "_count": "100"}
        bundle = client.get("/fhir/AuditEvent", params=asked).json()
        Bundle.model_validate(bundle)
        names = [one["resource"]["id"] for one in bundle.get("entry", ())]
        found = records(client, **filtered, until=behind.isoformat())
        assert names == [one["name"] for one in found]
        assert names
        assert bundle["total"] == len(names)
        for name in names[:2]:
            assert client.get(f"/fhir/AuditEvent/{name}").json()["id"] == name


@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_the_pages_show_it(client: httpx.Client, language: str) -> None:
    person = quote(records(client, action="store")[0]["source"]["host"])
    for path in (
        "/audit", "/audit/search?action=retrieve", f"/audit/patient?id={CT.PatientID}",
        f"/audit/person?id={person}", f"/audit/study?id={CT.StudyInstanceUID}",
        f"/audit/object?id={CT.SOPInstanceUID}", "/audit/verification",
        f"/audit/records/{records(client, study='9.9')[0]['name']}",
    ):  # fmt: skip
        answer = client.get(path, params={"lang": language} if "?" not in path else None)
        assert answer.status_code == 200, answer.text
        assert html.document_fromstring(answer.content).xpath("count(//h1)") == 1
    assert CT.PatientID in client.get(f"/audit/study?id={CT.StudyInstanceUID}").text


def test_verify_now_streams_a_page_to_its_end(client: httpx.Client) -> None:
    answer = client.post("/audit/verification", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200
    made = html.document_fromstring(answer.content)
    assert made.xpath("//section[contains(@class, 'integrity') and contains(@class, 'ok')]")
    refused = client.post("/audit/verification", headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403


def test_searches_and_holds_are_kept_for_every_process(client: httpx.Client) -> None:
    saved = client.put("/api/audit/searches/a%2Fb", json={"filter": {"who": "x"}, "days": 7})
    assert saved.status_code in (200, 201)
    held = client.put("/api/audit/holds/case%207", json={"reason": "the court"})
    assert held.status_code == 201
    try:
        for _ in range(6):  # whichever process answers
            listed = client.get("/api/audit/searches").json()["searches"]
            assert [one["name"] for one in listed] == ["a/b"]
            assert client.get("/api/audit/state").json()["holds"] == 1
    finally:
        assert client.delete("/api/audit/holds/case%207").status_code == 204
        assert client.delete("/api/audit/searches/a%2Fb").status_code == 204


def test_whoever_looks_at_the_trail_is_in_it(client: httpx.Client) -> None:
    mark = "QZLOOKQZ"
    for path in (
        f"/audit/patient?id={mark}",
        f"/fhir/AuditEvent?patient.identifier={mark}",
        f"/api/audit/export?form=csv&patient={mark}",
    ):
        assert client.get(path, headers=PURPOSE).status_code == 200

    def readings() -> set[str]:
        found = records(client, action="audit", text=mark)
        return {one["detail"] for one in found if one["source"].get("purpose") == "TREAT"}

    wait_until(lambda: len(readings()) == 3, what="the readings are recorded")
    assert readings() == {
        "audit trail page: patient", "audit trail FHIR search patient.identifier",
        "audit trail export as csv",
    }  # fmt: skip
