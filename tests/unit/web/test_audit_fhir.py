"""The audit trail as a FHIR server: IHE ITI-81 and what FHIR R4 asks of a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from fhir.resources.R4B.auditevent import AuditEvent as AuditEventModel
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_codes import KINDS
from isocenter.runtime.audit_fhir import resource
from isocenter.runtime.audit_ids import name_of
from isocenter.web import audit_fhir_pages
from isocenter.web.audit_fhir_search import DCM_SYSTEM, PARAMETERS
from support.audit_events import all_events
from support.audit_web import AT, CT1, EVA, ask, left, record, serving
from support.web_fakes import Web

EVENTS = "/fhir/AuditEvent"
FHIR_JSON = "application/fhir+json"
ACTIONS = "http://terminology.hl7.org/CodeSystem/audit-event-action"
WS2 = Source("DIMSE", "2001:db8::7", "WS2", "ISOCENTER", "Jörg O'Brien", "CN=ws2,O=Hospital")


def some() -> list[AuditEvent]:
    """Records that differ in everything that can be searched by."""
    return [
        record(0),
        record(1, action=AuditAction.QUERY, source=CT1, query="PatientID=P2", studies=()),
        record(2, action=AuditAction.STORE, source=CT1, studies=("1.2.9",), site="south"),
        record(3, source=WS2, outcome=AuditOutcome.MINOR_FAILURE, patient_ids=("P2", "P1")),
        record(4, action=AuditAction.NETWORK, source=CT1, outcome=AuditOutcome.FAILURE),
        record(5, action=AuditAction.AUDIT, detail="audit trail search", process="host/cli"),
        record(6, action=AuditAction.AUDIT, detail="legal hold x: released"),
        record(7, action=AuditAction.EXPORT, detail="C-MOVE", destination="SURGERY2"),
        record(8, detail="WADO-RS frames", source=Source("DICOMweb", "10.0.0.70")),
        record(9, action=AuditAction.DELETE, patient_ids=("P|1,2\\3",), detail="deleted 1"),
    ]


def assert_valid(bundle: dict[str, Any]) -> None:
    Bundle.model_validate(bundle)
    for entry in bundle.get("entry", ()):
        model = OperationOutcome if entry["search"]["mode"] == "outcome" else AuditEventModel
        model.model_validate(entry["resource"])


async def search(web: Web, *pairs: tuple[str, str], status: int = 200, **headers: str) -> Any:
    answer = await web.get(f"{EVENTS}?{urlencode(pairs)}", **headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == FHIR_JSON
    if status == 200:
        assert_valid(answer.json())
    else:
        OperationOutcome.model_validate(answer.json())
    return answer.json()


def matches(bundle: Any) -> list[Any]:
    return [
        entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == "match"
    ]


def found(bundle: Any, events: list[AuditEvent]) -> list[int]:
    """Which of the records a Bundle holds."""
    names = [name_of(event) for event in events]
    return [names.index(one["id"]) for one in matches(bundle)]


def link(bundle: Any, relation: str) -> str:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), "")


def said(outcome: Any) -> str:
    (issue,) = outcome["issue"]
    return str(issue["diagnostics"])


# --- searching -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ([("date", "ge2026-11-26T17:01:04.123456Z")], [0, 1, 2]),
        ([("date", "gt2026-11-26T17:01:04.123456Z")], [0, 1]),
        ([("date", "le2026-11-26T16:55:04.123456Z")], [8, 9]),
        ([("date", "lt2026-11-26T16:55:04.123456Z")], [9]),
        ([("date", "sa2026-11-26T17:01")], [0, 1]),
        ([("date", "eb2026-11-26T17:01")], [3, 4, 5, 6, 7, 8, 9]),
        ([("date", "2026-11-26T17:01")], [2]),
        ([("date", "eq2026-11-26T17:01:04Z")], [2]),
        ([("date", "2026-11-26T18:01:04+01:00")], [2]),
        ([("date", "ge2026-11-26T17:00"), ("date", "lt2026-11-26T17:02")], [2, 3]),
        ([("date", "2026"), ("date", "2026-11"), ("date", "2026-11-26")], list(range(10))),
        ([("date", "lt2026-11")], []),
        ([("date", "ge2027"), ("date", "lt2026")], []),
        ([("agent.identifier", "eva")], [0, 5, 6, 7, 9]),
        ([("agent:identifier", "eva")], [0, 5, 6, 7, 9]),
        ([("agent.identifier", "Jörg O'Brien")], [3]),
        ([("agent.identifier", "jörg o'brien")], []),
        ([("agent.identifier", "SURGERY2")], [7]),
        ([("agent.identifier", "host/cli")], [5]),
        ([("agent.identifier", "http://issuer|eva")], []),
        ([("agent.identifier", "ev")], []),
        ([("agent-name", "cn=WS2")], [3]),
        ([("agent-name:exact", "CN=ws2,O=Hospital".replace(",", "\\,"))], [3]),
        ([("agent-name:exact", "CN=ws2")], []),
        ([("agent-name", "isocenter")], list(range(10))),
        ([("altid", "AETITLES=CT1")], [1, 2, 4]),
        ([("altid", "AETITLES=ISOCENTER")], [1, 2, 3, 4]),
        ([("altid", "CT1")], []),
        ([("address", "10.0.0.7")], [0, 5, 6, 7, 8, 9]),
        ([("address:exact", "10.0.0.7")], [0, 5, 6, 7, 9]),
        ([("address", "2001:DB8:")], [3]),
        ([("patient.identifier", "P2")], [3]),
        ([("patient.identifier", "|P2")], [3]),
        ([("patient.identifier", "P2"), ("patient.identifier", "P1")], [3]),
        ([("patient.identifier", "P\\|1\\,2\\\\3")], [9]),
        ([("entity.identifier", "urn:oid:1.2.9")], [2]),
        ([("entity.identifier", "urn:dicom:uid|urn:oid:1.2.9")], [2]),
        ([("entity.identifier", "http://x|urn:oid:1.2.9")], []),
        ([("entity.identifier", "P2")], [3]),
        ([("entity:identifier", "isocenter:audit-trail")], [5]),
        ([("entity.identifier", record(4).id)], [4]),
        ([("entity-type", "1")], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ([("entity-role", "13")], [4, 5, 6]),
        ([("type", "110112")], [1]),
        ([("type", f"{DCM_SYSTEM}|110104,{DCM_SYSTEM}|110103")], [0, 2, 3, 7, 8, 9]),
        ([("type", "110101")], [5]),
        ([("type", "|110112")], []),
        ([("type", "rest")], []),
        ([("subtype", "110126")], [4]),
        ([("action", "R")], [0, 3, 5, 7, 8]),
        ([("action", f"{ACTIONS}|E,C")], [1, 2, 4, 6]),
        ([("outcome", "8")], [4]),
        ([("outcome", "4,8")], [3, 4]),
        ([("outcome", "12")], []),
        ([("source.identifier", "host/cli")], [5]),
        ([("site", "south")], [2]),
        ([("_id", name_of(record(3)))], [3]),
        ([("_id", name_of(record(3))), ("outcome", "0")], []),
        ([("_id", "nothing")], []),
        ([("agent.identifier", "eva"), ("action", "R"), ("date", "ge2026-11-26T17:00")], [0]),
        ([("_sort", "-date"), ("_pretty", "true"), ("_format", "json")], list(range(10))),
    ],
)  # fmt: skip
async def test_every_parameter_finds_what_its_resource_says(
    query: list[tuple[str, str]], expected: list[int]
) -> None:
    events = [
        replace(event, patient_ids=("P1",)) if event.action is AuditAction.QUERY else event
        for event in some()
    ]
    web = serving(*events)
    bundle = await search(web, *query)
    assert found(bundle, events) == expected
    assert bundle["total"] == len(expected)


async def test_searches_are_recorded_with_what_narrows_them() -> None:
    web = serving(*some())
    await search(web, ("patient.identifier", "P2"), ("date", "ge2026-11-26"))
    assert left(web) == [
        (
            "audit",
            "audit trail FHIR search patient.identifier date",
            "since=2026-11-26T00:00:00+00:00&patient_id=P2",
        )
    ]
    assert web.audit.records[0][1]["patient_ids"] == ("P2",)


async def test_the_same_by_post_and_by_get() -> None:
    web = serving(*some())
    by_get = await search(web, ("agent.identifier", "eva"))
    answer = await ask(
        web, "POST", f"{EVENTS}/_search", content=urlencode({"agent.identifier": "eva"}),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert answer.json() == by_get


async def test_any_search_finds_exactly_the_records_whose_resources_say_so() -> None:
    """All kinds of records, and what is in the resources of some of them as values of parameters:
    the filter never loses one, and what it lets pass besides is sorted out."""
    events = [
        replace(event, id=f"host/web-{number:032x}", at=AT - timedelta(seconds=number))
        for number, event in enumerate(list(all_events())[::97])
    ]
    web = serving(*events)
    resources = [resource(event) for event in events]
    for told in resources[::5]:
        for name, value in _said(told):
            expected = [
                number for number, one in enumerate(resources) if (name, value) in set(_said(one))
            ]
            asked = urlencode({name: _escaped(value), "_count": "1000"})
            bundle = (await web.get(f"{EVENTS}?{asked}")).json()
            assert found(bundle, events) == expected, (name, value)
            assert bundle["total"] == len(expected)


def _said(told: Any) -> Iterator[tuple[str, str]]:
    """Parameters with values that a resource has."""
    yield "type", told["type"]["code"]
    yield "action", told["action"]
    yield "outcome", told["outcome"]
    for one in told.get("subtype", ()):
        yield "subtype", one["code"]
    for agent in told["agent"]:
        yield "agent.identifier", agent["who"]["identifier"]["value"]
        if "altId" in agent:
            yield "altid", agent["altId"]
        if "name" in agent:
            yield "agent-name:exact", agent["name"]
        if "network" in agent:
            yield "address:exact", agent["network"]["address"]
    yield "source.identifier", told["source"]["observer"]["identifier"]["value"]
    if "site" in told["source"]:
        yield "site", told["source"]["site"]
    for entity in told["entity"]:
        if "what" in entity:
            yield "entity.identifier", entity["what"]["identifier"]["value"]
        if entity.get("what", {}).get("type") == "Patient":
            yield "patient.identifier", entity["what"]["identifier"]["value"]
        if "role" in entity:
            yield "entity-role", entity["role"]["code"]


def _escaped(value: str) -> str:
    for char in "\\,|$":
        value = value.replace(char, f"\\{char}")
    return value


def test_the_code_table_is_that_of_the_resources() -> None:
    for event in all_events():
        told = resource(event)
        kinds = [kind for kind in KINDS[event.action] if kind.event.code == told["type"]["code"]]  # type: ignore[index]
        assert told["type"]["system"] == DCM_SYSTEM  # type: ignore[index]
        assert told["action"] in {kind.act for kind in kinds}


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", [[], [("agent.identifier", "eva")], [("action", "R")]], ids=["all", "agent", "code"]
)
async def test_pages_follow_each_other_without_gap_or_repetition(
    query: list[tuple[str, str]],
) -> None:
    events = [
        record(number, action=AuditAction.AUDIT, detail="audit trail search" if number % 3 else "x")
        for number in range(60)
    ]
    web = serving(*events)
    seen: list[int] = []
    bundle = await search(web, *query, ("_count", "7"))
    whole = await search(web, *query, ("_count", "1000"))
    while True:
        assert bundle["total"] == whole["total"]
        seen += found(bundle, events)
        following = link(bundle, "next")
        if not following:
            break
        assert following.startswith(f"http://pacs.test{EVENTS}?")
        answer = await web.get(f"{EVENTS}?{urlsplit(following).query}")
        bundle = answer.json()
        assert_valid(bundle)
    assert seen == found(whole, events)
    assert len(seen) == whole["total"]


async def test_a_count_of_nothing_is_the_total_alone() -> None:
    bundle = await search(serving(*some()), ("_count", "0"), ("outcome", "0"))
    assert (matches(bundle), bundle["total"], link(bundle, "next")) == ([], 8, "")


async def test_pages_are_bounded() -> None:
    web = serving(*(record(number) for number in range(1100)))
    bundle = (await web.get(f"{EVENTS}?_count=999999")).json()
    assert (len(matches(bundle)), bundle["total"]) == (1000, 1100)
    assert "_count=1000" in link(bundle, "self")


async def test_what_would_take_too_long_is_said_and_never_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_fhir_pages, "MOST_LOOKED_AT", 20)
    monkeypatch.setattr(audit_fhir_pages, "_STEP", 10)
    events = [
        record(number, source=EVA if number in (3, 25, 44) else replace(EVA, user="eva.k"))
        for number in range(50)
    ]
    web = serving(*events)
    seen: list[int] = []
    bundle = await search(web, ("agent.identifier", "eva"))
    while True:
        assert "total" not in bundle
        assert "left out" in said(bundle["entry"][-1]["resource"])
        seen += found(bundle, events)
        if not (following := link(bundle, "next")):
            break
        bundle = (await web.get(f"{EVENTS}?{urlsplit(following).query}")).json()
    assert seen == [3, 25, 44]


async def test_the_self_link_is_what_was_searched_for() -> None:
    bundle = await search(serving(), ("outcome", "0"), ("agent-colour", "red"), ("_count", "3"))
    assert link(bundle, "self") == f"http://pacs.test{EVENTS}?outcome=0&_count=3"


# --- what is not supported -----------------------------------------------------------------------


@pytest.mark.parametrize("prefer", ["", "handling=lenient", "return=minimal"])
async def test_unknown_parameters_are_passed_over_with_a_warning(prefer: str) -> None:
    bundle = await search(
        serving(*some()), ("agent-colour", "red"), ("outcome", "8"), prefer=prefer
    )
    assert bundle["total"] == 1
    (warning,) = [one for one in bundle["entry"] if one["search"]["mode"] == "outcome"]
    assert warning["resource"]["issue"][0]["severity"] == "warning"
    assert "'agent-colour'" in said(warning["resource"])


@pytest.mark.parametrize("prefer", ["handling=strict", "return=minimal; handling=strict"])
async def test_unknown_parameters_are_refused_where_the_client_prefers_that(prefer: str) -> None:
    web = serving(*some())
    outcome = await search(web, ("agent-colour", "red"), status=400, prefer=prefer)
    assert "'agent-colour'" in said(outcome)
    assert (web.trail.asked, web.audit.records) == ([], [])


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (("date", "yesterday"), "ge2026-11-26"), (("date", "ne2026-11-26"), "prefix"),
        (("date", "ap2026"), "prefix"), (("date", "2026-02-30"), "calendar"),
        (("date", "2026-01-01,2026-02-01"), "one value"), (("date", ""), "no value"),
        (("date:missing", "true"), "modifier"), (("address:contains", "10"), "address:exact"),
        (("type:not", "110112"), "modifier"), (("patient.identifier", "urn:oid:1.2|P1"), "issuer"),
        (("patient.identifier", "a,b"), "one value"), (("patient.identifier", "|"), "no value"),
        (("entity.identifier", "1.2.840.10008"), "urn:oid:"), (("agent-name", "***"), "no word"),
        (("_count", "x"), "number"), (("_count", "-1"), "number"), (("_sort", "date"), "-date"),
        (("agent.identifier", "x" * 300), "256"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_exactly_is_refused(pair: tuple[str, str], says: str) -> None:
    web = serving(*some())
    assert says in said(await search(web, pair, status=400))
    assert (web.trail.asked, web.audit.records) == ([], [])


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (f"{EVENTS}?_format=xml", "*/*", 406),
        (f"{EVENTS}?_format=application/fhir+xml", "*/*", 406),
        (EVENTS, "application/fhir+xml", 406), (EVENTS, "text/html", 406),
        (f"{EVENTS}?_format=application/fhir+json", "text/html", 200),
        (f"{EVENTS}?_format=json", "application/xml", 200),
        (EVENTS, "application/fhir+json; fhirVersion=4.0", 200), (EVENTS, "application/json", 200),
        ("/fhir/metadata", "application/fhir+xml", 406), ("/fhir/Patient/1", "*/*", 404),
        (f"{EVENTS}/1/_history", "*/*", 404), (f"{EVENTS}/nothing", "*/*", 404),
    ],
)  # fmt: skip
async def test_json_is_the_only_form_and_errors_are_outcomes(
    path: str, accept: str, status: int
) -> None:
    answer = await serving(*some()).get(path, accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (status, FHIR_JSON)
    if status != 200:
        OperationOutcome.model_validate(answer.json())


# --- reading, metadata ---------------------------------------------------------------------------


async def test_a_resource_is_read_by_its_id() -> None:
    web = serving(*some())
    answer = await web.get(f"{EVENTS}/{name_of(record(2))}")
    assert answer.headers["content-type"] == FHIR_JSON
    AuditEventModel.model_validate(answer.json())
    assert answer.json()["id"] == name_of(record(2))
    assert left(web)[0][:2] == ("audit", f"audit trail FHIR record '{name_of(record(2))}'")


async def test_the_capability_statement_has_what_can_be_searched_by() -> None:
    web = serving()
    answer = await web.get("/fhir/metadata")
    CapabilityStatement.model_validate(answer.json())
    ((resource_,),) = [one["resource"] for one in answer.json()["rest"]]
    assert resource_["type"] == "AuditEvent"
    assert [one["name"] for one in resource_["searchParam"]] == list(PARAMETERS)
    assert answer.json()["implementation"]["url"] == "http://pacs.test/fhir"
    assert web.audit.records == []
