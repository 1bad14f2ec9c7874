"""The pages about the audit trail in a browser: with a keyboard alone, on narrow screens and with
large letters, for those who hear them, without scripts, and whatever records hold.

Set AUDIT_PICTURES to a folder to keep the pictures of the documentation there (docs/images).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from isocenter.core.audit_api import Finding
from isocenter.core.events import AuditAction
from isocenter.runtime.audit_ids import name_of
from isocenter.web import audit_routes
from isocenter.web.settings import WebSettings
from isocenter.web.shell import Shell
from support import audit_scene
from support.audit_events import HOSTILE, filled_with
from support.audit_web import record
from support.axe import assert_fits, assert_no_violation, require_axe
from support.memory_trail import MemoryTrail
from support.served import Served
from support.web_fakes import Web

KEPT = "AUDIT_PICTURES"
LANGUAGES = ("en", "fr", "de")
LONG = ("x" * 2000, "\u202e" * 300, "W" * 300, "e\u0301" * 900, "a b " * 500)
WIDE = {"width": 1280, "height": 860}

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

_FAILED = re.compile("Failed to load resource: the server responded with a status of 40[04] ")


@pytest.fixture(scope="module")
def _clock() -> Iterator[None]:
    """It is the time of the scene."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_routes, "Shell", partial(Shell, now=lambda: audit_scene.NOW))
        yield


@pytest.fixture(scope="module")
def hospital(_clock: None) -> Iterator[Served]:
    """Five weeks of a hospital; tests leave it as it was."""
    require_axe()
    with on_pages(audit_scene.scene()) as served:
        yield served


@pytest.fixture(scope="module")
def hostile(_clock: None) -> Iterator[Served]:
    """Records that hold whatever can be sent."""
    trail = MemoryTrail()
    for number, one in enumerate((*HOSTILE, *LONG)):
        event = filled_with(record(number, action=AuditAction.RETRIEVE), one)
        trail.keep(replace(event, id=f"host/web-{number:032x}", detail=one))
    trail.findings = (Finding("x" * 2000, "audit-0", 1, 9),)
    with on_pages(trail) as served:
        yield served


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A profile; `request.param` says how it differs from a usual one."""
    usual = {"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce"}  # one look is enough
    how: dict[str, Any] = {**usual, **getattr(request, "param", {})}
    made = browser.new_context(**how)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page in whose console nothing is said: a policy that is broken would be."""
    said: list[str] = []
    made = context.new_page()
    made.on("console", lambda message: _FAILED.match(message.text) or said.append(message.text))
    made.on("pageerror", lambda error: said.append(str(error)))
    yield made
    made.close()
    assert said == []


def addresses(trail: MemoryTrail) -> dict[str, str]:
    """Every page of the hospital."""
    name = name_of(trail.entries[-1].event)
    return {
        "overview": "/audit",
        "search": "/audit/search?since=2026-11-20",
        "search-wrong": "/audit/search?who=a*",
        "patient": f"/audit/patient?id={audit_scene.PATIENT}",
        "person": f"/audit/person?id={audit_scene.PERSON}",
        "study": f"/audit/study?id={audit_scene.STUDY}",
        "object": f"/audit/object?id={audit_scene.INSTANCE}",
        "record": f"/audit/records/{name}",
        "verification": "/audit/verification",
        "error": "/audit/records/nothing",
    }


def in_language(address: str, language: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}lang={language}"


def on_pages(trail: MemoryTrail) -> Served:
    """The pages about a trail."""
    return Served(Web(settings=WebSettings(port=0), trail=trail))


# --- for everybody -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "context"),
    [("en", {}), ("fr", {}), ("de", {"color_scheme": "dark"})],
    ids=["en", "fr", "de dark"],
    indirect=["context"],
)
def test_axe_finds_no_violation_on_any_page(hospital: Served, page: Page, language: str) -> None:
    for address in addresses(hospital.web.trail).values():
        page.goto(hospital.url + in_language(address, language))
        assert page.locator("html").get_attribute("lang") == language
        assert_no_violation(page)
    page.get_by_role("link").first.focus()
    page.goto(hospital.url + in_language("/audit", language))
    page.locator("form[action*='/audit/verification'] button").click()
    expect(page.locator("section.integrity.ok")).to_be_visible()
    assert_no_violation(page)


def test_no_page_is_wider_than_its_screen(hospital: Served, hostile: Served, page: Page) -> None:
    for language in LANGUAGES:
        for address in addresses(hospital.web.trail).values():
            page.goto(hospital.url + in_language(address, language))
            for details in page.locator("details").all():
                details.evaluate("one => one.open = true")
            assert_fits(page)
    for address in of_hostile(hostile):
        page.goto(hostile.url + address)
        assert_fits(page)


def of_hostile(hostile: Served) -> list[str]:
    events = [entry.event for entry in hostile.web.trail.entries]
    names = [quote(event.source.who.encode("utf-8", "replace")) for event in events]
    return [
        "/audit", "/audit/search", *(f"/audit/records/{name_of(event)}" for event in events),
        *(f"/audit/person?id={name}" for name in names if name),
        *(f"/audit/patient?id={name}" for name in names if name),
    ]  # fmt: skip


def test_records_run_nothing_and_break_no_page(hostile: Served, page: Page) -> None:
    for address in of_hostile(hostile):
        page.goto(hostile.url + address)
        assert page.title().endswith("Audit trail")
        expect(page.locator("footer")).to_be_visible()
        assert page.locator("script").count() == 0
    page.goto(f"{hostile.url}/audit/search")
    for cell in page.locator("[role=cell]").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["height"] < 700
    assert_no_violation(page)


@pytest.mark.parametrize("context", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_everything_works(hospital: Served, page: Page) -> None:
    page.goto(f"{hospital.url}/audit/search")
    page.get_by_label("Who").fill("j.moreau")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#found")).to_have_text(re.compile(r"^\d+ records$"))
    page.get_by_role("link", name="Older records").click()
    page.get_by_role("link", name="Newest records").click()
    page.get_by_label("Name").fill("Who works at night")
    page.get_by_role("button", name="Save this search").click()
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Remove the saved search Who works at night").click()
    expect(page.get_by_role("link", name="Who works at night")).to_have_count(0)
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("section.integrity.ok h2")).to_have_text("Result")


# --- by keyboard ---------------------------------------------------------------------------------


def tab_to(page: Page, name: str, role: str = "", *, back: bool = False) -> None:
    """Move to what has this name, as the keyboard does; where one is can be seen all the way."""
    for _ in range(400):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        told, kind, outline = page.evaluate(
            """() => { const one = document.activeElement, look = getComputedStyle(one)
                return [one.ariaLabel || (one.labels && one.labels[0] || one).innerText || '',
                    one.tagName.toLowerCase(), look.outlineStyle + look.outlineWidth] }"""
        )
        if kind != "body":
            assert outline == "solid3px", (told, kind, outline)
        if told.strip().startswith(name) and role in ("", kind):
            return
    raise AssertionError(f"the keyboard does not come to {name!r}")


def press_to(page: Page, heading: str) -> None:
    """Follow a link to the page of this heading."""
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(heading)


def test_by_keyboard_to_a_patients_report_in_two_steps(hospital: Served, page: Page) -> None:
    page.goto(f"{hospital.url}/audit")
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    expect(page.locator("a.skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    tab_to(page, "Patient ID", "input")
    page.keyboard.type(audit_scene.PATIENT)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(audit_scene.PATIENT)
    tab_to(page, "PDF report with verification", "a")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert re.fullmatch(r"audit-trail-\d{8}T\d{6}Z\.pdf", download.value.suggested_filename)
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")


def test_by_keyboard_a_search_is_made_saved_and_removed(hospital: Served, page: Page) -> None:
    page.goto(f"{hospital.url}/audit")
    tab_to(page, "Search", "a")
    press_to(page, "Search the audit trail")
    tab_to(page, "Who", "input")
    page.keyboard.type("a.weber")
    tab_to(page, "success", "input")
    page.keyboard.press("Space")
    tab_to(page, "What was done", "summary")
    page.keyboard.press("Enter")
    tab_to(page, "Export", "input")
    page.keyboard.press("Space")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_label("Export", exact=True)).to_be_checked()
    found = page.locator("#found")
    expect(found).to_have_text("35 records")
    tab_to(page, "Name", "input")
    page.keyboard.type("Exports of a.weber")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    tab_to(page, "Overview", "a")
    press_to(page, "Audit trail")
    tab_to(page, "Exports of a.weber", "a")
    press_to(page, "Search the audit trail")
    expect(found).to_have_text("35 records")
    tab_to(page, "Overview", "a")
    press_to(page, "Audit trail")
    tab_to(page, "Remove the saved search Exports of a.weber", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Exports of a.weber")).to_have_count(0)


def test_by_keyboard_a_hold_is_placed_and_released_and_the_trail_verified(
    hospital: Served, page: Page
) -> None:
    page.goto(f"{hospital.url}/audit")
    tab_to(page, "Place a legal hold", "summary")
    page.keyboard.press("Enter")
    tab_to(page, "Name", "input")
    page.keyboard.type("case 7")
    tab_to(page, "Reason", "input")
    page.keyboard.type("asked for by the court")
    page.keyboard.press("Enter")
    expect(page.get_by_text("asked for by the court")).to_be_visible()
    tab_to(page, "Release the legal hold case 7", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_text("asked for by the court")).to_have_count(0)

    tab_to(page, "Verify now", "button")
    page.keyboard.press("Enter")
    expect(page.locator("section.integrity.ok h2")).to_have_text("Result")


# --- pictures ------------------------------------------------------------------------------------


def test_on_paper_there_is_what_is_to_be_read(hospital: Served, page: Page) -> None:
    page.emulate_media(media="print")
    for address in addresses(hospital.web.trail).values():
        page.goto(hospital.url + address)
        for hidden in page.locator("nav, form, .exports, .deeds").all():
            expect(hidden).to_be_hidden()
        expect(page.locator("h1")).to_be_visible()
        assert page.pdf().startswith(b"%PDF-")


@pytest.mark.parametrize("context", [{"device_scale_factor": 1.5}], indirect=True)
def test_pictures_for_the_documentation(hospital: Served, page: Page, pictures: Path) -> None:
    shown = addresses(hospital.web.trail)
    for name in ("overview", "search", "patient", "person", "object", "record"):
        page.set_viewport_size({**WIDE, "height": 1480 if name == "overview" else 1240})
        page.goto(hospital.url + shown[name])
        picture = pictures / f"audit-{name}.png"
        page.screenshot(path=picture)
        if kept := os.environ.get(KEPT):
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, Path(kept) / picture.name)
        assert picture.stat().st_size > 30_000
