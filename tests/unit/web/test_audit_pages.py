"""The pages about the audit trail, read as browsers do: what they show, and what they never do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from lxml import html

from isocenter.core.audit_api import Finding, Hold, SavedSearch
from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_ids import name_of
from isocenter.runtime.audit_texts import LANGUAGES
from isocenter.web import audit_routes
from isocenter.web.audit_filters import PARAMETERS, read
from isocenter.web.audit_shell import Shell
from support import audit_scene
from support.audit_events import HOSTILE, filled_with
from support.audit_web import AT, EVA, ask, left, record, serving
from support.memory_trail import MemoryTrail
from support.web_fakes import Web

STUDY, OBJECT = "1.2.3", "1.2.3.4.5"
PAGES = [
    "/audit", "/audit/search", "/audit/search?who=eva", "/audit/patient?id=P1",
    "/audit/person?id=eva", f"/audit/study?id={STUDY}", f"/audit/object?id={OBJECT}",
    f"/audit/records/{name_of(record(1))}", "/audit/verification",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the time of the newest record, and a little later."""
    set_clock(monkeypatch, AT + timedelta(minutes=7))


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(audit_routes, "Shell", partial(Shell, now=lambda: now))


def some() -> Web:
    return serving(
        *(record(number) for number in range(5)),
        record(6, action=AuditAction.VERIFY, detail="audit trail: 4 records of 1 chains"),
        record(8, action=AuditAction.EXPORT, destination="SURGERY2", detail="C-MOVE"),
        record(9, action=AuditAction.NETWORK, outcome=AuditOutcome.FAILURE, error="not known"),
    )


async def page(web: Web, path: str, **headers: str) -> Any:
    """A page, parsed; it is whole."""
    answer = await web.get(path, **headers)
    assert answer.status_code == 200, answer.text
    return parsed(answer)


def parsed(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.rstrip().endswith("</html>")
    return html.document_fromstring(answer.content)


def text(node: Any) -> str:
    """As it is heard."""
    return re.sub(r" ([,.:])", r"\1", " ".join(" ".join(node.itertext()).split()))


# --- every page ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
async def test_pages_have_a_policy_that_allows_no_script_and_hold_none(path: str) -> None:
    answer = await some().get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    made = parsed(answer)
    assert made.xpath("//script | //style | //iframe | //@style") == []
    assert not [one for one in made.xpath("//@*") if one.attrname.startswith("on")]


@pytest.mark.parametrize("path", PAGES)
async def test_each_view_leaves_one_record_before_it_is_made(path: str) -> None:
    web = some()
    await page(web, path)
    ((action, detail, query),) = left(web)
    assert (action, detail[:12]) == ("audit", "audit trail ")
    assert "page: " in detail
    asked = dict(parse_qsl(urlsplit(path).query))
    assert query.endswith(next(iter(asked.values()), ""))


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_well_formed_for_those_who_hear_them(path: str) -> None:
    made = await page(some(), path)
    assert made.get("lang") == "en"
    assert made.xpath("count(//h1)") == 1
    assert text(made.xpath("//title")[0]).endswith("· Audit trail")
    ids = made.xpath("//@id")
    assert len(set(ids)) == len(ids)
    for one in made.xpath("//@aria-labelledby | //@aria-describedby | //label/@for"):
        assert one in ids, one
    for field in made.xpath("//input[not(@type='hidden')] | //select"):
        labelled = made.xpath(f"//label[@for='{field.get('id')}']") or field.xpath(
            "ancestor::label"
        )
        assert labelled, html.tostring(field)
    for row in made.xpath("//*[@role='table']//*[@role='row']"):
        assert len(row.xpath("./*[@role='cell' or @role='columnheader']")) == 6
    for picture in made.xpath("//svg"):
        hidden = picture.xpath(
            "ancestor-or-self::*[@aria-hidden='true'] | ancestor::*[@role='img']"
        )
        assert hidden or (picture.get("role") == "img" and picture.get("aria-label"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
async def test_every_address_of_a_page_leads_somewhere_in_its_language(
    path: str, language: str
) -> None:
    web = some()
    web.trail.searches["a/b"] = SavedSearch("a/b", read([("who", "eva")]), EVA, AT, 7)
    glue = "&" if "?" in path else "?"
    made = await page(web, f"{path}{glue}lang={language}")
    assert made.get("lang") == language
    links = set(made.xpath("//a/@href | //link/@href"))
    for link in sorted(links - {"#content"}):
        answer = await web.get(link, accept="*/*")
        assert answer.status_code == 200, (link, answer.text)
        if not link.startswith("/audit") or "/static/" in link:
            continue  # no page
        assert dict(parse_qsl(urlsplit(link).query))["lang"] in LANGUAGES
        if answer.headers["content-type"].startswith("text/html"):
            in_nav = made.xpath(f"//nav[@class='languages']//a[@href={_quoted(link)}]")
            assert in_nav or parsed(answer).get("lang") == language, link
    for form in made.xpath("//form"):
        assert form.get("action").startswith("/audit/")
        if form.get("method") == "get":
            assert form.xpath(".//input[@name='lang']/@value") == [language]
        else:
            assert f"lang={language}" in form.get("action")


def _quoted(text: str) -> str:
    assert "'" not in text
    return f"'{text}'"


async def test_the_language_is_that_of_the_browser_and_links_do_not_keep_it() -> None:
    answer = await some().get("/audit", accept_language="de-AT, en;q=0.5")
    assert answer.headers["content-language"] == "de"
    assert answer.headers["vary"] == "accept-language"
    made = parsed(answer)
    assert "Geprüft vor 13 Minuten" in text(made)
    assert not [one for one in made.xpath("//nav[1]//a/@href") if "lang=" in one]
    report = (await page(some(), "/audit/person?id=eva", accept_language="fr")).xpath("//a/@href")
    assert [one for one in report if "form=pdf" in one] == [
        "/api/audit/export?who=eva&form=pdf&verify=true&lang=fr"
    ]


async def test_a_proxy_may_have_a_prefix_for_us() -> None:
    web = Web(settings=serving(public_url="https://h.test/pacs").settings)
    made = await page(web, "/audit?lang=fr")
    for link in made.xpath("//a/@href | //link/@href | //form/@action"):
        assert link == "#content" or link.startswith("/pacs/audit")


# --- the overview --------------------------------------------------------------------------------


async def test_the_overview_says_when_the_trail_was_verified() -> None:
    made = await page(some(), "/audit")
    (integrity,) = made.xpath("//section[contains(@class, 'integrity')]")
    assert "ok" in integrity.get("class")
    assert "Verified 13 minutes ago: nothing was added" in text(integrity)
    assert name_of(record(6)) in "".join(integrity.xpath(".//a/@href"))
    figures = dict(zip(
        map(text, integrity.xpath(".//dt")), map(text, integrity.xpath(".//dd")), strict=True,
    ))  # fmt: skip
    assert (figures["Records"], figures["Sealed"], figures["Legal holds"]) == ("8", "8", "0")


async def test_the_overview_says_where_that_is_long_ago_or_never_or_failed() -> None:
    never = await page(serving(record(1)), "/audit")
    assert "has not been verified yet" in text(never)
    failed = serving(record(
        2 * 1440, action=AuditAction.VERIFY, outcome=AuditOutcome.FAILURE,
        detail="audit trail: 3 records of 1 chains", error="1 findings: record 7 was changed",
    ))  # fmt: skip
    made = await page(failed, "/audit")
    (integrity,) = made.xpath("//section[contains(@class, 'integrity')]")
    assert "bad" in integrity.get("class")
    assert "The verification 2 days ago found" in text(integrity)
    assert "record 7 was changed" in text(integrity)


async def test_a_verification_of_objects_is_none_of_the_trail() -> None:
    made = await page(
        serving(record(1, action=AuditAction.VERIFY, detail="Storage Commitment 1.2")), "/audit"
    )
    assert "has not been verified yet" in text(made)


async def test_the_overview_shows_problems_heads_keys_and_what_waits() -> None:
    web = some()
    web.trail.problems, web.trail.unsealed = ("audit records wait in the log: down",), 3
    told = text(await page(web, "/audit"))
    assert "audit records wait in the log: down" in told
    assert "Not sealed yet 3" in told
    assert "audit-0" in told
    assert "4f" * 32 in told


async def test_the_figure_of_activity_has_the_numbers_beside_it() -> None:
    made = await page(some(), "/audit")
    (figure,) = made.xpath("//figure[@class='plot']")
    assert len(figure.xpath(".//rect[@class='well']")) == 2  # 16 and 17 o'clock
    assert len(figure.xpath(".//rect[@class='ill']")) == 1
    rows = [text(row) for row in made.xpath("//section[@aria-labelledby='activity']//tbody/tr")]
    assert (len(rows), rows[-1]) == (7, "Thu 2026-11-26 7 1")


@cache
def hospital() -> MemoryTrail:
    return audit_scene.scene()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Web:
    set_clock(monkeypatch, audit_scene.NOW)
    return Web(trail=hospital())


async def test_what_is_unusual_is_said_in_words_and_leads_to_the_records(scene: Web) -> None:
    made = await page(scene, "/audit")
    said = {text(one): one for one in made.xpath("//li[contains(@class, 'pattern')]")}
    for begin in (
        "Failed attempts SCAN9 was refused 15 times on 2026-11-26 between 04:00 and 05:00",
        "Many accesses t.brandt made 105 accesses on 2026-11-25. On a usual day it was 10",
        "Many patients t.brandt accessed 48 different patients or more on 2026-11-25",
        "Unusual hour j.moreau made 6 accesses on Tuesday, 2026-11-24 between 02:00 and 03:00",
        "Weekend s.keller made 9 accesses on Saturday, 2026-11-21 between 10:00 and 12:00",
    ):
        found, *_ = [one for told, one in said.items() if told.startswith(begin)] or [None]
        assert found is not None, (begin, list(said))
        (records,) = found.xpath("./a/@href")
        count = int(re.search(r"(\d+) (?:times|accesses|different)", text(found))[1])  # type: ignore[index]
        (heading,) = (await page(scene, records)).xpath("//h2[@id='found']")
        assert int(text(heading).split()[0]) >= count


async def test_the_past_is_counted_once_an_hour() -> None:
    web = some()
    served = web.client()
    async with served as client:
        for _ in range(3):
            assert (await client.get("/audit")).status_code == 200
    whole = [one for one in web.trail.asked if one[0] == "tally" and one[1].until]  # type: ignore[attr-defined]
    assert len(whole) == 1


async def test_a_long_story_is_cut_and_says_so() -> None:
    web = serving(*(record(number) for number in range(520)))
    made = await page(web, f"/audit/object?id={OBJECT}")
    assert len(made.xpath("//ol[@class='story']/li")) == 500
    assert "520 records tell" in text(made)
    assert "The first 500 records are shown." in text(made)


async def test_who_accessed_most_is_told(scene: Web) -> None:
    made = await page(scene, "/audit")
    (section,) = made.xpath("//section[@aria-labelledby='persons']")
    names = [text(one) for one in section.xpath(".//li//a")]
    assert names[:2] == ["t.brandt", "a.weber"]


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


async def submit(web: Web, path: str, fields: list[tuple[str, str]]) -> httpx.Response:
    return await ask(
        web, "POST", path, content=urlencode(fields),
        headers={"content-type": "application/x-www-form-urlencoded", "origin": "http://pacs.test"},
    )  # fmt: skip


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


# --- hostile records -----------------------------------------------------------------------------


def hostile() -> Iterator[AuditEvent]:
    for number, one in enumerate((*HOSTILE, "x" * 2000, "\u202e" * 300, "é" * 2000)):
        event = filled_with(record(number, action=AuditAction.QUERY), one)
        yield replace(event, id=f"host/web-{number:032x}", detail=one)


async def test_records_change_nothing_of_a_page_but_its_text() -> None:
    events = list(hostile())
    web = serving(*events)
    web.trail.searches["<b>"] = SavedSearch("<b>\u202e", read([]), EVA, AT)
    web.trail.held["<b>"] = Hold("<i>", "<script>alert(1)</script>", EVA, AT)
    paths = ["/audit", "/audit/search", *(f"/audit/records/{name_of(one)}" for one in events)]
    for event in events:
        who, patient = event.source.who, event.patient_ids[0]
        paths += [
            f"/audit/person?id={quote(who.encode('utf-8', 'replace'))}",
            f"/audit/patient?id={quote(patient.encode('utf-8', 'replace'))}",
        ]
    known = {
        "a", "b", "bdi", "body", "button", "circle", "code", "dd", "details", "div", "dl", "dt",
        "fieldset", "figcaption", "figure", "footer", "form", "g", "h1", "h2", "h3", "head",
        "header", "html", "input", "label", "legend", "li", "link", "main", "meta", "nav", "ol",
        "option", "p", "path", "rect", "section", "select", "span", "summary", "svg", "table",
        "tbody", "td", "th", "thead", "time", "title", "tr", "ul",
    }  # fmt: skip
    for path in paths:
        answer = await web.get(path)
        assert answer.status_code in (200, 400), path  # some of them are no text that can be asked
        made = parsed(answer)
        assert {one.tag for one in made.iter() if isinstance(one.tag, str)} <= known
        assert not [one for one in made.xpath("//@*") if one.attrname.startswith("on")]
        shown = made.text_content()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\ufffe]", shown)
        for attribute in made.xpath("//@title | //@aria-label | //@placeholder"):
            assert not re.search("[\x00-\x1f\u202a-\u202e]", attribute)


# --- files ---------------------------------------------------------------------------------------


async def test_files_have_their_types_and_are_known_again() -> None:
    web = some()
    for name, kind in (("audit.css", "text/css; charset=utf-8"), ("audit.svg", "image/svg+xml")):
        answer = await web.get(f"/audit/static/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        again = await web.get(f"/audit/static/{name}", if_none_match=answer.headers["etag"])
        assert again.status_code == 304
    for name in ("nothing.css", "..%2faudit.css", "audit.py", "x"):
        assert (await web.get(f"/audit/static/{name}")).status_code == 404
