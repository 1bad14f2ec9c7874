"""Audit records as FHIR R4 AuditEvents, and pages of them as Bundles.

The models of R4B are those of R4 here: AuditEvent and Bundle are the same in both releases.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.auditevent import AuditEvent as AuditEventModel
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from lxml import etree

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_dicom import message
from isocenter.runtime.audit_fhir import MAX_INTEGER, MAX_TEXT, bundle, resource
from isocenter.runtime.audit_ids import name_of
from support.audit_events import (
    AT,
    HOSTILE,
    SOURCES,
    all_events,
    audit_event,
    filled_with,
    hostile_events,
    whole_event,
)

DCM = "http://dicom.nema.org/resources/ontology/DCM"
URL = "https://pacs.example.org/fhir/AuditEvent?_count=2"


def told(event: AuditEvent) -> dict[str, Any]:
    """The resource as a receiver has it, valid."""
    made = orjson.loads(orjson.dumps(resource(event)))
    AuditEventModel.model_validate(made)
    assert_legal(made)
    return made


def assert_legal(made: dict[str, Any]) -> None:
    """What FHIR asks for and the models leave out: no empty elements, no controls, and of an entity
    a name or a query (sev-1)."""
    assert all(value not in ("", [], {}, None) for value in values(made))
    for text in values(made):
        if isinstance(text, str):
            assert re.fullmatch(r"[ \r\n\t\S]+", text)
            assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]", text)
            assert text == text.strip()
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", made["id"])
    assert not any({"name", "query"} <= one.keys() for one in made["entity"])


def values(element: object) -> Iterator[object]:
    """All that is in an element, the elements themselves too."""
    yield element
    children = element.values() if isinstance(element, dict) else element
    if isinstance(element, dict | list):
        for child in children:
            yield from values(child)


def roles(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Code of the role -> agent; one without is that of ''."""
    return {one["type"]["coding"][0]["code"] if "type" in one else "": one for one in made["agent"]}


def entities(made: dict[str, Any], role: str) -> list[dict[str, Any]]:
    return [one for one in made["entity"] if one.get("role", {}).get("code") == role]


def test_every_record_is_a_valid_resource():
    for event in all_events():
        told(event)


def test_resource_and_message_say_the_same():
    for event in all_events():
        made, root = resource(event), etree.fromstring(message(event))
        identification = root.find("EventIdentification")
        types = [one.get("csd-code") for one in identification.iter("EventID", "EventTypeCode")]
        assert [made["type"]["code"], *(one["code"] for one in made.get("subtype", ()))] == types
        assert made["action"] == identification.get("EventActionCode")
        assert made["recorded"] == identification.get("EventDateTime")
        assert made["outcome"] == identification.get("EventOutcomeIndicator")
        assert made.get("outcomeDesc") == identification.findtext("EventOutcomeDescription")
        requests = [one.get("UserIsRequestor") for one in root.iter("ActiveParticipant")]
        assert [str(one["requestor"]).lower() for one in made["agent"]] == requests
        named = [
            one.get("ParticipantObjectTypeCode")
            for one in root.iter("ParticipantObjectIdentification")
            if one.get("ParticipantObjectID")
        ]
        assert [one["type"]["code"] for one in made["entity"]] == named


def test_a_c_move_names_who_asked_who_sent_and_who_received():
    source = SOURCES["person at a modality"]
    agents = roles(told(whole_event(AuditAction.EXPORT, source, detail="C-MOVE STUDY")))
    assert agents["humanuser"] == {
        "type": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/extra-security-role-type",
                    "code": "humanuser",
                    "display": "human user",
                }
            ]
        },
        "who": {"identifier": {"value": "eva"}},
        "altId": "AETITLES=WS2",
        "name": "CN=ws2,O=Hospital",
        "requestor": True,
        "network": {"address": "2001:db8::7", "type": "2"},
    }
    assert agents["110153"]["who"] == {"identifier": {"value": "host-1-web-0"}}
    assert agents["110152"]["who"] == {"identifier": {"value": "ARCHIVE2"}}


def test_a_query_carries_its_keys_and_values():
    query = "PatientID=\x00Müller\n<&>"
    made = told(audit_event(AuditAction.QUERY, query=query, patient_ids=("Müller",)))
    assert made["type"] == {"system": DCM, "code": "110112", "display": "Query"}
    (search,) = entities(made, "24")
    assert b64decode(search["query"]).decode() == query
    (patient,) = entities(made, "1")
    assert patient["what"]["type"] == "Patient"
    assert patient["what"]["identifier"]["value"] == "Müller"


def test_a_study_is_named_as_imaging_studies_are_and_its_instances_are_counted():
    (study,) = entities(told(whole_event(AuditAction.RETRIEVE, SOURCES["person"])), "3")
    assert study["what"]["type"] == "ImagingStudy"
    assert study["what"]["identifier"]["system"] == "urn:dicom:uid"
    assert study["what"]["identifier"]["value"] == "urn:oid:1.2.840.1"
    extensions = {one.pop("url").rpartition("-")[2]: one for one in study["extension"]}
    assert extensions["NumberOfInstances"] == {"valueInteger": 300}
    assert extensions["Instance"]["valueIdentifier"]["value"] == "urn:oid:1.2.840.1.1.2"
    details = [(one["type"], one["valueString"]) for one in study["detail"]]
    assert ("SHA-256", "b" * 64) in details
    assert ("SeriesInstanceUID", "1.2.840.1.2") in details


def test_what_is_no_uid_is_not_said_to_be_one():
    made = told(audit_event(AuditAction.STORE, studies=("... (and 5 more)",)))
    identifier = entities(made, "3")[0]["what"]["identifier"]
    assert identifier["value"] == "... (and 5 more)"
    assert "system" not in identifier


def test_a_patient_who_is_not_known_is_left_out():
    made = told(audit_event(AuditAction.RETRIEVE, studies=("1.2",)))
    assert entities(made, "1") == []


def test_more_instances_than_an_integer_holds_are_as_many_as_it_holds():
    made = told(audit_event(AuditAction.EXPORT, instance_count=2**64 - 1))
    counts = [value for value in values(made) if isinstance(value, int) and value > 1]
    assert counts == [MAX_INTEGER]


def test_when_how_it_ended_and_who_says_so():
    made = told(
        audit_event(
            AuditAction.STORE,
            outcome=AuditOutcome.MINOR_FAILURE,
            error="disk full",
            process="p-1",
            site="north",
        )
    )
    assert made["recorded"] == AT.isoformat()
    assert (made["outcome"], made["outcomeDesc"]) == ("4", "C-STORE: disk full")
    assert made["source"]["site"] == "north"
    assert made["source"]["observer"] == {"type": "Device", "identifier": {"value": "p-1"}}
    assert made["source"]["type"][0]["code"] == "4"


@pytest.mark.parametrize(
    ("purpose", "concepts"),
    [
        (
            "TREAT",
            [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
                            "code": "TREAT",
                            "display": "treatment",
                        }
                    ]
                }
            ],
        ),
        ("a second opinion", [{"text": "a second opinion"}]),
        ("", None),
        (" \x20", None),
    ],
)
def test_a_purpose_is_the_code_that_it_is_or_else_words(purpose: str, concepts: object):
    event = audit_event(AuditAction.RETRIEVE, Source("DICOMweb", user="eva", purpose=purpose))
    assert told(event).get("purposeOfEvent") == concepts


@pytest.mark.parametrize("action", AuditAction)
def test_nothing_of_a_record_is_lost(action: AuditAction):
    named = ("DIMSE", "192.0.2.7", "CT1", "OURS", "eva", "CN=ct1")
    made = told(whole_event(action, Source(*named, known=False, purpose="why")))
    queries = [b64decode(one["query"]).decode() for one in made["entity"] if "query" in one]
    text = "\n".join([*map(str, values(made)), *queries])
    for value in (
        *named, "why", "main", "PID-1", "1.2.840.1", "1.2.840.1.2", "1.2.840.1.1.2", "300",
        "ARCHIVE2", "it did not answer", "b" * 64, "north", "PatientID=PID-1&StudyDate=20260101-",
        "host-1-web-0-01JD5Z", "0af7651916cd43dd8448eb211c80319c", "not in the settings",
    ):  # fmt: skip
        assert value in text


def test_the_id_of_a_resource_is_legal_stable_and_its_own():
    ids = ["p-1-01JD5Z", "p-1-01JD5z", "", "a b/c", "x" * 10_000, "\ud800", "ü"]
    made = [told(audit_event(AuditAction.STORE, id=one))["id"] for one in ids]
    assert made == [name_of(audit_event(AuditAction.STORE, id=one)) for one in ids]
    assert len(set(made)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", str(one)) for one in made)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("action", AuditAction)
def test_hostile_text_stays_text(action: AuditAction, text: str):
    told(filled_with(audit_event(action), text))


def test_a_long_text_is_cut_where_fhir_ends_it():
    made = told(audit_event(AuditAction.QUERY, error="é\x00" * MAX_TEXT, query="x" * 2_000_000))
    assert made["outcomeDesc"].startswith("C-FIND STUDY PatientID: é\ufffdé")
    assert len(made["outcomeDesc"]) == MAX_TEXT
    assert len(b64decode(entities(made, "24")[0]["query"])) == 2_000_000


@settings(deadline=None)
@given(hostile_events())
def test_any_text_makes_a_valid_resource(event: AuditEvent):
    told(event)


def test_a_page_links_to_itself_and_to_the_next():
    resources = [resource(audit_event(AuditAction.STORE, id=f"p-{number}")) for number in range(2)]
    page = orjson.loads(orjson.dumps(bundle(resources, 7, URL, f"{URL}&before=x")))
    Bundle.model_validate(page)
    assert (page["type"], page["total"]) == ("searchset", 7)
    assert page["link"] == [
        {"relation": "self", "url": URL},
        {"relation": "next", "url": f"{URL}&before=x"},
    ]
    assert [one["resource"] for one in page["entry"]] == resources
    assert page["entry"][0]["search"] == {"mode": "match"}
    base = "https://pacs.example.org/fhir/AuditEvent"
    assert page["entry"][0]["fullUrl"] == f"{base}/{resources[0]['id']}"


def test_an_empty_page_has_no_entries_and_no_next():
    page = bundle([], 0, URL)
    Bundle.model_validate(page)
    assert page == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
        "link": [{"relation": "self", "url": URL}],
    }
