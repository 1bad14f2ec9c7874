"""The audit trail as REST resources."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from isocenter.core.audit_api import Finding
from isocenter.core.errors import NotFound, Unavailable
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_ids import name_of
from isocenter.web.openapi import document
from support.audit_web import CT1, ask, left, record, serving
from support.web_fakes import Web

RECORDS = "/api/audit/records"


def a_day() -> Web:
    """Seven records: five of eva, a query of CT1, a refusal."""
    return serving(
        *(record(number) for number in range(5)),
        record(5, action=AuditAction.QUERY, source=CT1, query="PatientID=P2", patient_ids=("P2",)),
        record(70, action=AuditAction.NETWORK, source=CT1, outcome=AuditOutcome.FAILURE),
    )


def assert_described(told: object, schema: str) -> None:
    """What is told is as the OpenAPI document has it."""
    root = Resource.from_contents(document(), default_specification=DRAFT202012)
    registry: Any = Registry().with_resource("urn:api", root)
    wanted = {"$ref": f"urn:api#/components/schemas/{schema}"}
    Draft202012Validator(wanted, registry=registry).validate(told)


async def json_of(web: Web, path: str, schema: str) -> Any:
    answer = await web.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert_described(answer.json(), schema)
    return answer.json()


# --- records -------------------------------------------------------------------------------------


async def test_a_search_tells_records_with_their_place_and_the_exact_total() -> None:
    web = a_day()
    told = await json_of(web, f"{RECORDS}?who=eva&limit=2", "AuditRecords")
    first, second = told["records"]
    assert (first["id"], first["chain"], first["sequence"]) == (record(0).id, "audit-0", 1)
    assert first["name"] == name_of(record(0))
    assert first["source"] == {
        "protocol": "DICOMweb", "host": "10.0.0.7", "user": "eva", "purpose": "TREAT",
    }  # fmt: skip
    assert second["sequence"] == 2
    assert told["total"] == 5
    assert left(web) == [("audit", "audit trail search", "who=eva")]


async def test_pages_follow_each_other_by_the_address_of_the_next() -> None:
    web = a_day()
    seen: list[str] = []
    address = f"http://pacs.test{RECORDS}?action=retrieve&limit=2"
    while address:
        assert address.startswith("http://pacs.test/")
        parts = urlsplit(address)
        told = await json_of(web, f"{parts.path}?{parts.query}", "AuditRecords")
        seen += [one["id"] for one in told["records"]]
        assert told["total"] == 5
        address = told["next"]
    assert seen == [record(number).id for number in range(5)]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 7), ("action=query&action=network", 2), ("outcome=failure", 1), ("who=10.0.0.31", 2),
        ("patient=P2", 1), ("study=1.2.3&instance=1.2.3.4.5", 7), ("place=north", 7),
        ("text=wado+ev", 5), ("since=2026-11-26T17:00Z", 4), ("until=2026-11-26T16:00Z", 1),
        ("who=nobody", 0),
    ],
)  # fmt: skip
async def test_every_parameter_narrows(query: str, count: int) -> None:
    web = a_day()
    assert await json_of(web, f"/api/audit/count?{query}", "AuditCount") == {"count": count}
    told = await json_of(web, f"{RECORDS}?{query}", "AuditRecords")
    assert (len(told["records"]), told["total"], told["next"]) == (count, count, None)


async def test_a_record_is_one_segment_of_an_address() -> None:
    web = a_day()
    told = await json_of(web, f"{RECORDS}/{name_of(record(3))}", "AuditRecord")
    assert told["id"] == record(3).id
    assert (await web.get(f"{RECORDS}/{record(3).id}")).status_code == 404
    assert (await web.get(f"{RECORDS}/nothing")).status_code == 404


async def test_a_proof_is_a_file_by_a_safe_name() -> None:
    name = name_of(record(3))
    answer = await a_day().get(f"{RECORDS}/{name}/proof")
    assert answer.json() == {"format": "proof", "sequence": 4}
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="audit-proof-{name}.json"'
    )


async def test_records_are_counted_by_what_is_asked_for() -> None:
    told = await json_of(a_day(), "/api/audit/tally?by=who&by=action&place=north", "AuditTallies")
    assert told == {
        "by": ["who", "action"],
        "tallies": [
            {"who": "CT1", "action": "network", "count": 1},
            {"who": "CT1", "action": "query", "count": 1},
            {"who": "eva", "action": "retrieve", "count": 5},
        ],
    }
    told = await json_of(a_day(), "/api/audit/tally?by=hour&who=CT1", "AuditTallies")
    assert [one["hour"] for one in told["tallies"]] == ["2026-11-26T15", "2026-11-26T16"]


async def test_the_story_of_an_object_is_told_from_its_beginning() -> None:
    web = a_day()
    told = await json_of(web, "/api/audit/objects/1.2.3.4.5", "AuditStory")
    assert [one["sequence"] for one in told["records"]] == [7, 6, 5, 4, 3, 2, 1]
    ((_, fields),) = web.audit.records
    assert fields["instances"] == ("1.2.3.4.5",)


async def test_the_state_is_told() -> None:
    web = a_day()
    web.trail.problems = ("records wait",)
    told = await json_of(web, "/api/audit/state", "AuditState")
    assert (told["records"], told["sealed"], told["problems"]) == (7, 7, ["records wait"])
    assert (told["heads"][0]["chain"], told["keys"][0]["number"]) == ("audit-0", 1)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (f"{RECORDS}?since=x", "no date"),
        (f"{RECORDS}?action=look", "choose of store"),
        (f"{RECORDS}?who=e*", "wildcards"),
        (f"{RECORDS}?limit=1001", "1 to 1000"),
        (f"{RECORDS}?form=csv", "not known"),
        ("/api/audit/count?limit=1", "not known"),
        ("/api/audit/tally", "by is missing"),
        ("/api/audit/tally?by=hour&by=hour", "repeats"),
        ("/api/audit/tally?by=patient", "choose of hour"),
        ("/api/audit/objects/x", "no UID"),
        ("/api/audit/state?x=1", "not known"),
    ],
)
async def test_what_cannot_be_asked_for_is_a_problem_that_says_why(path: str, says: str) -> None:
    web = a_day()
    answer = await web.get(path)
    assert answer.status_code == 400
    assert_described(answer.json(), "Problem")
    assert says in answer.json()["detail"]
    assert web.audit.records == []
    assert web.trail.asked == []


async def test_nothing_is_read_that_cannot_be_recorded() -> None:
    web = a_day()
    web.audit.error = Unavailable("the log does not answer")
    for path in (
        RECORDS,
        "/api/audit/state",
        "/api/audit/export?form=csv",
        "/audit",
        "/fhir/AuditEvent",
    ):
        assert (await web.get(path)).status_code == 503
    assert web.trail.asked == []


async def test_a_trail_that_is_down_is_503() -> None:
    web = a_day()
    web.trail.error = Unavailable("the index does not answer")
    answer = await web.get(RECORDS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_the_trail_can_be_kept_from_http() -> None:
    web = serving(record(1), audit=False)
    for method, path in (
        ("GET", RECORDS), ("GET", "/audit"), ("GET", "/fhir/AuditEvent"), ("GET", "/fhir/metadata"),
        ("POST", "/api/audit/verification"), ("PUT", "/api/audit/holds/x"),
        ("GET", "/api/audit/export?form=pdf&verify=true"), ("POST", "/audit/verification"),
    ):  # fmt: skip
        body = {"json": {"reason": "x"}} if method == "PUT" else {}
        answer = await ask(web, method, path, **body)
        assert answer.status_code == 403, path
        assert "[web] audit = false" in answer.text
    assert (web.trail.asked, web.audit.records) == ([], [])


# --- verification --------------------------------------------------------------------------------


def lines(text: str) -> Sequence[Any]:
    return [json.loads(line) for line in text.splitlines()]


async def test_a_verification_tells_how_far_it_is_and_its_result() -> None:
    web = a_day()
    web.trail.steps = 40
    answer = await ask(web, "POST", "/api/audit/verification")
    assert answer.headers["content-type"] == "application/x-ndjson"
    *_, result = lines(answer.text)
    for line in lines(answer.text):
        assert_described(line, "AuditVerification")
    assert (result["done"], result["records"], result["findings"]) == (True, 7, [])
    assert left(web)[-1] == ("verify", "audit trail: 7 records of 1 chains", "")


async def test_a_verification_as_json_is_its_result() -> None:
    web = a_day()
    web.trail.findings = (Finding("record 7 was changed", "audit-0", 1, 9),)
    answer = await ask(
        web, "POST", "/api/audit/verification", headers={"accept": "application/json"},
        json={"trust": ["4f" * 32], "heads": [{"chain": "audit-0", "last": 7, "head": "a1" * 32}]},
    )  # fmt: skip
    assert_described(answer.json(), "AuditVerification")
    assert answer.json()["findings"] == [
        {"what": "record 7 was changed", "chain": "audit-0", "first": 1, "last": 9}
    ]
    (asked,) = [one for one in web.trail.asked if one[0] == "verify"]
    assert asked[1] == ("4f" * 32,)
    _, fields = web.audit.records[-1]
    assert (fields["outcome"], fields["error"]) == (
        AuditOutcome.FAILURE, "audit-0 1-9: record 7 was changed",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400), (b"[]", "application/json", 400),
        (b'{"trust": [1]}', "application/json", 400), (b'{"heads": [1]}', "application/json", 400),
        (b'{"heads": [{"chain": "x"}]}', "application/json", 400),
        (b'{"other": 1}', "application/json", 400), (b"{}", "text/plain", 415),
        (b" " * 300_000, "application/json", 413),
    ],
)  # fmt: skip
async def test_what_a_verification_is_told_is_checked(body: bytes, kind: str, status: int) -> None:
    web = a_day()
    answer = await ask(
        web, "POST", "/api/audit/verification", content=body, headers={"content-type": kind}
    )
    assert answer.status_code == status
    assert web.trail.asked == []


# --- saved searches and holds --------------------------------------------------------------------

SEARCH = {"filter": {"who": "eva", "action": ["retrieve", "export"]}, "days": 7}


async def test_a_search_is_saved_read_made_anew_and_removed() -> None:
    web = a_day()
    path = "/api/audit/searches/night%20%2F%20weekend"
    first = await ask(web, "PUT", path, json=SEARCH)
    again = await ask(web, "PUT", path, json={"filter": {"text": "c-move"}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert_described(first.json(), "SavedSearch")
    assert {name: first.json()[name] for name in ("name", "filter", "days", "by")} == {
        "name": "night / weekend", **SEARCH, "by": "127.0.0.1",
    }  # fmt: skip
    told = await json_of(web, path, "SavedSearch")
    assert (told["filter"], "days" in told) == ({"text": "c-move"}, False)
    listed = await json_of(web, "/api/audit/searches", "SavedSearches")
    assert listed == {"searches": [told]}
    gone = await ask(web, "DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await ask(web, "DELETE", path)).status_code == 404
    assert (await web.get(path)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"filter": []}, {"filter": {"who": 1}}, {"filter": {"who": "e*"}}, {"days": "x"},
        {"days": -1}, {"days": True}, {"filter": {"since": "2026-11-26"}, "days": 7},
        {"filter": {"who": ""}}, {"filter": {"name": "x"}}, {"query": "who=eva"},
    ],
)  # fmt: skip
async def test_a_search_that_cannot_be_made_is_not_saved(body: Any) -> None:
    web = a_day()
    answer = await ask(web, "PUT", "/api/audit/searches/x", json=body)
    assert answer.status_code == 400
    assert (web.trail.searches, web.audit.records) == ({}, [])


async def test_a_hold_is_placed_with_a_reason_once_and_released() -> None:
    web = a_day()
    path = "/api/audit/holds/case%207"
    placed = await ask(web, "PUT", path, json={"reason": "asked for by the court"})
    assert placed.status_code == 201
    assert_described(placed.json(), "LegalHold")
    assert (await ask(web, "PUT", path, json={"reason": "again"})).status_code == 409
    told = await json_of(web, path, "LegalHold")
    assert (told["name"], told["reason"]) == ("case 7", "asked for by the court")
    assert await json_of(web, "/api/audit/holds", "LegalHolds") == {"holds": [told]}
    assert (await ask(web, "DELETE", path)).status_code == 204
    assert (await ask(web, "DELETE", path)).status_code == 404
    assert (await web.get(path)).status_code == 404
    changes = [
        (fields["detail"], fields.get("outcome", AuditOutcome.SUCCESS).value)
        for _, fields in web.audit.records
        if fields["detail"].startswith("legal hold")
    ]
    assert changes == [
        ("legal hold case 7: asked for by the court", "success"),
        ("legal hold case 7: again", "success"),
        ("legal hold case 7: again", "failure"),
        ("legal hold case 7: released", "success"),
        ("legal hold case 7: released", "success"),
        ("legal hold case 7: released", "failure"),
    ]


@pytest.mark.parametrize("body", [{}, {"reason": 1}, {"reason": "x", "name": "y"}])
async def test_a_hold_needs_a_reason_and_nothing_else(body: Any) -> None:
    web = a_day()
    assert (await ask(web, "PUT", "/api/audit/holds/x", json=body)).status_code == 400
    assert (web.trail.held, web.audit.records) == ({}, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/audit/verification"), ("PUT", "/api/audit/holds/x"),
        ("DELETE", "/api/audit/holds/x"), ("PUT", "/api/audit/searches/x"),
        ("DELETE", "/api/audit/searches/x"), ("POST", "/audit/verification"),
        ("POST", "/audit/holds"), ("POST", "/audit/holds/release"), ("POST", "/audit/searches"),
        ("POST", "/audit/searches/remove"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.test"}, {"origin": "null"}, {"origin": "https://pacs.test"},
        {"sec-fetch-site": "cross-site", "origin": "http://pacs.test"},
    ],
)  # fmt: skip
async def test_other_sites_make_browsers_change_nothing(
    method: str, path: str, headers: dict[str, str]
) -> None:
    web = a_day()
    answer = await ask(web, method, path, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert (web.trail.asked, web.audit.records) == ([], [])


@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "same-origin"}, {"origin": "http://pacs.test"}]
)
async def test_programs_and_our_own_page_do(headers: dict[str, str]) -> None:
    answer = await ask(a_day(), "POST", "/api/audit/verification", headers=headers)
    assert answer.status_code == 200


async def test_records_that_expire_between_pages_are_not_found() -> None:
    web = a_day()
    web.trail.error = NotFound("there is no such record")
    assert (await web.get(f"{RECORDS}/{name_of(record(1))}")).status_code == 404
