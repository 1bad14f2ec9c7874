"""The pages about the audit trail at work: searching, following a subject, keeping, verifying."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from isocenter.core.audit_api import Finding
from isocenter.core.errors import Unavailable
from isocenter.core.events import Source
from isocenter.runtime.audit_ids import name_of
from isocenter.web.audit_filters import PARAMETERS, read
from support import audit_scene
from support.audit_page_views import (
    OBJECT,
    STUDY,
    clock,
    page,
    parsed,
    scene,
    some,
    submit,
    text,
)
from support.audit_web import left, record, serving
from support.web_fakes import Web

__all__ = ["clock", "scene"]


# --- searching -----------------------------------------------------------------------------------


async def test_the_form_has_every_filter_and_keeps_what_was_asked_for() -> None:
    query = {
        "since": "2026-11-01", "until": "2026-12-01T00:00Z", "who": "eva", "patient": "P1",
        "study": STUDY, "instance": OBJECT, "place": "north", "text": "wado",
    }  # fmt: skip
    pairs = [*query.items(), ("action", "retrieve"), ("action", "export"), ("outcome", "success")]
    made = await page(some(), f"/audit/search?{urlencode(pairs)}&limit=100")
    (form,) = made.xpath("//form[contains(@class, 'filter')]")
    assert {one.get("name") for one in form.xpath(".//input | .//select")} == {*PARAMETERS, "limit"}
    for name, value in query.items():
        assert form.xpath(f".//input[@name='{name}']/@value") == [value]
    assert form.xpath(".//input[@checked]/@value") == ["success", "retrieve", "export"]
    assert form.xpath(".//option[@selected]/text()") == ["100"]


async def test_results_have_the_exact_total_and_pages() -> None:
    web = serving(*(record(number) for number in range(130)))
    path, seen = "/audit/search?who=eva&action=&text=&limit=50", []
    while path:
        made = await page(web, path)
        assert text(made.xpath("//h2[@id='found']")[0]) == "130 records"
        links = made.xpath("//*[contains(@class, 'records')]//*[@role='cell']/a/@href")
        seen += [one for one in links if "/records/" in one]
        path = next(iter(made.xpath("//nav[@class='pager']/a[@rel='next']/@href")), "")
    assert seen == [f"/audit/records/{name_of(record(number))}" for number in range(130)]


async def test_all_that_was_found_can_be_exported_in_every_form() -> None:
    web = some()
    made = await page(web, "/audit/search?action=export&who=eva")
    links = made.xpath("//div[@class='exports']/a/@href")
    assert [parse_qsl(urlsplit(one).query) for one in links] == [
        [("action", "export"), ("who", "eva"), ("form", form)]
        for form in ("csv", "jsonl", "fhir", "dicom", "pdf")
    ]


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("since=yesterday", "since", "is no date"), ("who=e*", "who", "without wildcards"),
        ("study=x", "study", "is no UID"), ("text=***", "text", "no word"),
        ("action=look", None, "choose of store"), ("limit=5000", None, "1 to 1000"),
        ("colour=red", None, "not known"),
    ],
)  # fmt: skip
async def test_what_cannot_be_searched_for_is_said_above_the_form(
    query: str, field: str | None, says: str
) -> None:
    web = some()
    answer = await web.get(f"/audit/search?{query}")
    assert answer.status_code == 400
    made = parsed(answer)
    (alert,) = made.xpath("//*[@role='alert']")
    assert says in text(alert)
    assert made.xpath("//input[@aria-invalid='true']/@name") == ([field] if field else [])
    assert (web.trail.asked, web.audit.records) == ([], [])


async def test_searches_are_saved_and_removed_by_forms() -> None:
    web = some()
    made = await page(web, "/audit/search?who=eva&action=retrieve&since=2026-11-01&lang=de")
    (form,) = made.xpath("//form[@action='/audit/searches?lang=de']")
    fields = [(one.get("name"), one.get("value") or "") for one in form.xpath(".//input")]
    given = [(n, {"name": "a/b", "days": "7"}.get(n, v)) for n, v in fields]
    done = await submit(web, form.get("action"), given)
    assert (done.status_code, done.headers["location"]) == (
        303, "/audit/search?action=retrieve&who=eva&lang=de",
    )  # fmt: skip
    saved = web.trail.searches["a/b"]
    assert (saved.which, saved.days) == (read([("who", "eva"), ("action", "retrieve")]), 7)
    made = await page(web, "/audit")
    (link,) = made.xpath("//section[@aria-labelledby='saved']//a/@href")
    assert dict(parse_qsl(urlsplit(link).query)) == {
        "who": "eva", "action": "retrieve", "since": "2026-11-19T17:10Z",
    }  # fmt: skip
    gone = await submit(web, "/audit/searches/remove", [("name", "a/b")])
    assert (gone.status_code, web.trail.searches) == (303, {})


async def test_holds_are_placed_and_released_by_forms() -> None:
    web = some()
    done = await submit(web, "/audit/holds", [("name", "case 7"), ("reason", "the court")])
    assert (done.status_code, web.trail.held["case 7"].reason) == (303, "the court")
    again = await submit(web, "/audit/holds", [("name", "case 7"), ("reason", "the court")])
    assert (again.status_code, "named" in text(parsed(again))) == (409, True)
    told = text(await page(web, "/audit"))
    assert "case 7 the court" in told
    gone = await submit(web, "/audit/holds/release", [("name", "case 7")])
    assert (gone.status_code, web.trail.held) == (303, {})
    for path, fields in (
        ("/audit/holds", [("name", ""), ("reason", "x")]), ("/audit/holds/release", []),
        ("/audit/holds", [("name", "x"), ("reason", "  ")]), ("/audit/searches", [("name", "")]),
        ("/audit/searches", [("name", "x"), ("days", "x")]),
    ):  # fmt: skip
        answer = await submit(web, path, fields)
        assert answer.status_code == 400, path
        assert parsed(answer).xpath("//*[@role='alert']")


# --- patients, persons, studies, objects, records ------------------------------------------------


async def test_a_patient_is_a_time_line_by_day(scene: Web) -> None:
    made = await page(scene, f"/audit/patient?id={audit_scene.PATIENT}")
    days = made.xpath("//ol[@class='days']/li")
    (night,) = [one for one in days if "2026-11-24" in text(one.xpath("./h3")[0])]
    assert "02:12\u201302:31 j.moreau Retrieve 6 times DICOMweb 10.20.6.8" in text(night)
    (group,) = [one for one in night.xpath(".//li") if "02:12" in text(one)]
    (records,) = group.xpath(".//span[@class='deep']/a/@href")
    found = await page(scene, records)
    assert text(found.xpath("//h2[@id='found']")[0]) >= "6"
    (report,) = made.xpath("//div[@class='deeds']/a[@download]/@href")
    assert dict(parse_qsl(urlsplit(report).query)) == {
        "patient": audit_scene.PATIENT, "form": "pdf", "verify": "true", "lang": "en",
    }  # fmt: skip
    (strips,) = made.xpath("//section[@aria-labelledby='calendar']//div[@role='img']")
    assert len(strips.xpath("./svg")) == 8


async def test_a_person_has_usual_hours_and_patients(scene: Web) -> None:
    made = await page(scene, f"/audit/person?id={audit_scene.PERSON}")
    rows = made.xpath("//section[@aria-labelledby='week']//tbody/tr")
    assert [text(row).split()[0] for row in rows[:2]] == ["Monday", "Tuesday"]
    assert text(rows[6]).startswith("Sunday")
    assert "MRN-" in text(made.xpath("//ol[@class='days']")[0])
    (older,) = made.xpath("//nav[@class='pager']/a[@rel='next']/@href")
    assert (await page(scene, older)).xpath("//nav[@class='pager']/a[1]/@href") == [
        f"/audit/person?id={audit_scene.PERSON}"
    ]


async def test_an_object_has_its_story_its_versions_and_proofs(scene: Web) -> None:
    made = await page(scene, f"/audit/object?id={audit_scene.INSTANCE}")
    deeds = [text(one) for one in made.xpath("//ol[@class='story']/li/p/b")]
    assert deeds == ["Store", "Store", "Conflict", "Retrieve", "Export", "Delete"]
    assert len(made.xpath("//section[@aria-labelledby='versions']//code")) == 2
    proofs = made.xpath("//ol[@class='story']//a[@download]/@href")
    assert len(proofs) == 6
    answer = await scene.get(proofs[0])
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_a_record_shows_all_its_fields_and_its_place() -> None:
    whole = record(
        1, source=Source("DIMSE", "10.0.0.9", "WS2", "ISOCENTER", "eva", "CN=ws2", known=False,
                         purpose="TREAT"),
        query="PatientID=P1", destination="SURGERY2", error="aborted", series=("1.2.9", "1.2.8"),
        instance_count=12345, trace="0af7651916cd43dd8448eb211c80319c",
    )  # fmt: skip
    web = serving(record(2), whole)
    told = text(await page(web, f"/audit/records/{name_of(whole)}"))
    for value in (
        "WS2", "ISOCENTER", "eva", "CN=ws2", "TREAT", "10.0.0.9", "DIMSE", "not a known peer",
        "PatientID=P1", "SURGERY2", "aborted", "1.2.9", "1.2.8", "12,345", whole.trace, whole.id,
        "2026-11-26 17:02:04.123456 UTC", "a" * 64, "main", "north", "host/web",
        "Record 2 of chain audit-0.",
    ):  # fmt: skip
        assert value in told


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/audit/patient", 400), ("/audit/patient?id=", 400), ("/audit/study?id=x", 400),
        ("/audit/object?id=1..2", 400), ("/audit/person?id=a&id=b", 400), ("/audit?x=1", 400),
        ("/audit/person?id=a&colour=red", 400), ("/audit/records/nothing", 404),
        ("/audit?%ff=1", 400),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_a_page_that_says_so(path: str, status: int) -> None:
    answer = await some().get(path)
    assert answer.status_code == status
    if "%ff" in path:
        return  # what cannot be read has no language either
    made = parsed(answer)
    assert made.xpath("//*[@role='alert']")
    assert "content-security-policy" in answer.headers


async def test_of_whom_there_is_nothing_the_page_says_so() -> None:
    for path in ("patient?id=P9", "person?id=nobody", "study?id=9.9", "object?id=9.9"):
        assert "no record of it" in text(await page(some(), f"/audit/{path}"))


async def test_a_trail_that_is_down_is_a_page_that_says_so() -> None:
    web = some()
    web.trail.error = Unavailable("the index does not answer", fix="start it")
    answer = await web.get("/audit?lang=fr")
    assert answer.status_code == 503
    assert "the index does not answer" in text(parsed(answer))
    assert parsed(answer).get("lang") == "fr"


# --- verifying -----------------------------------------------------------------------------------


async def test_verify_now_shows_how_far_it_is_and_the_result() -> None:
    web = some()
    answer = await submit(web, "/audit/verification?lang=en", [])
    made = parsed(answer)
    assert "8 sealed records in 1 segments are as they were sealed" in text(made)
    assert [action for action, _, _ in left(web)] == ["audit", "verify"]


async def test_where_nothing_is_sealed_the_result_says_that_alone() -> None:
    web = serving(record(1))
    web.trail.unsealed = 1
    made = parsed(await submit(web, "/audit/verification?lang=en", []))
    (result,) = made.xpath("//section[contains(@class, 'integrity')]")
    assert "Nothing is sealed yet that could be verified" in text(result)
    assert "as they were sealed" not in text(result)


async def test_what_a_verification_finds_is_shown() -> None:
    web = some()
    web.trail.findings = (Finding("record 7 was <b>changed</b>", "audit-0", 1, 9, "a", "b"),)
    made = parsed(await submit(web, "/audit/verification?lang=de", []))
    assert "1 Befund" in text(made)
    (finding,) = made.xpath("//ol[@class='findings']/li")
    assert "record 7 was <b>changed</b> Kette audit-0, Einträge 1 bis 9 · a \u2013 b" in text(
        finding
    )


async def test_a_verification_that_cannot_begin_is_an_error() -> None:
    web = some()
    web.audit.error = Unavailable("the log does not answer")
    assert (await submit(web, "/audit/verification", [])).status_code == 503
