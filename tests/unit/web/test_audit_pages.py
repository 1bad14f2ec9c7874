"""The pages about the audit trail, read as browsers do: what they show, and what they never do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from lxml import html

from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome
from isocenter.runtime.audit_ids import name_of
from isocenter.runtime.audit_texts import LANGUAGES
from isocenter.web.audit_filters import read
from support.audit_events import HOSTILE, filled_with
from support.audit_page_views import (
    OBJECT,
    PAGES,
    clock,
    page,
    parsed,
    scene,
    some,
    text,
)
from support.audit_web import AT, EVA, ask, left, record, serving
from support.web_fakes import Web

__all__ = ["clock", "scene"]


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
        assert link == "#content" or link.startswith("/pacs/")


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


async def test_a_verification_of_nothing_is_not_told_as_a_trail_that_is_whole() -> None:
    web = serving(record(1))
    web.trail.unsealed = 1
    assert (await ask(web, "POST", "/audit/verification")).status_code == 200
    ((_, detail, _),) = [one for one in left(web) if one[0] == "verify"]
    assert detail == "audit trail: nothing is sealed yet"
    made = await page(serving(record(2, action=AuditAction.VERIFY, detail=detail)), "/audit")
    (integrity,) = made.xpath("//section[contains(@class, 'integrity')]")
    assert "empty" in integrity.get("class")
    assert "nothing was sealed yet that could be verified" in text(integrity)
    assert "nothing was added" not in text(integrity)


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
    for name, kind in (
        ("pages.css", "text/css; charset=utf-8"),
        ("isocenter.svg", "image/svg+xml"),
    ):
        answer = await web.get(f"/static/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        again = await web.get(f"/static/{name}", if_none_match=answer.headers["etag"])
        assert again.status_code == 304
    for name in ("nothing.css", "..%2fpages.css", "audit.py", "x"):
        assert (await web.get(f"/static/{name}")).status_code == 404
