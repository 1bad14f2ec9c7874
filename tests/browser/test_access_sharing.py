"""Links for people without an account, and emergencies, in a browser: viewers open what they may,
and nothing else."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from support.harness import wait_until
from support.two_sites import SOUTH, TwoSites
from support.visitors import PATIENCE, Visitors, expect_status

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(600)]

PASSCODE = "seven green hats"


def searched(page: Page, sites: TwoSites) -> set[str]:
    """Study Instance UIDs that the browser's session finds."""
    headers = {"accept": "application/dicom+json"}
    answer = page.request.get(f"{sites.url}/dicomweb/studies", headers=headers)
    assert answer.status in (200, 204)
    found = answer.json() if answer.status == 200 else []
    return {study["0020000D"]["Value"][0] for study in found}


def status_of(page: Page, sites: TwoSites, path: str) -> int:
    """Of a request in the browser's session."""
    return page.request.get(f"{sites.url}/dicomweb/studies/{path}").status


def opened(page: Page, study: str) -> None:
    """Wait until the viewer shows a picture of the study."""
    page.wait_for_url(re.compile(f"/viewer/viewer.*{re.escape(study)}"))
    canvas = page.locator("[data-cy=viewport-pane] canvas").first
    expect(canvas).to_be_visible(timeout=PATIENCE * 1000)


def made(page: Page, sites: TwoSites, label: str, **fields: str) -> str:
    """The address of a new link to the study of the north."""
    page.goto(f"{sites.url}/share?study={sites.north}")
    page.get_by_label("For whom it is").fill(label)
    for name, value in fields.items():
        page.locator(f"#{name}").fill(value)
    page.get_by_role("button", name="Make the link").click()
    return page.locator("section[aria-labelledby=made] code").inner_text()


def test_a_link_opens_one_study_so_often_and_nothing_else(
    sites: TwoSites, visitors: Visitors
) -> None:
    ann = visitors.signed_in(sites.url, "ann", "/share")
    link = made(ann, sites, "Dr. Moreau, Lyon", passcode=PASSCODE, openings="2", days="3")
    guest = visitors.visitor()
    guest.goto(link)
    expect(guest.locator("main")).to_contain_text("By ann, for Dr. Moreau, Lyon")
    guest.get_by_label("Passcode").fill("seven red hats")
    guest.get_by_role("button", name="Open it").click()
    expect(guest.get_by_role("alert")).to_have_text("The passcode is wrong.")
    guest.get_by_label("Passcode").fill(PASSCODE)
    with guest.expect_response(re.compile("/frames/")) as frame:
        guest.get_by_role("button", name="Open it").click()
        opened(guest, sites.north)
    assert frame.value.status == 200

    assert searched(guest, sites) == {sites.north}
    assert status_of(guest, sites, f"{sites.south}/metadata") == 404
    assert status_of(guest, sites, sites.north) == 403  # it is to look at
    for path in ("/account", "/share", "/emergency", "/access", "/audit"):
        expect_status(guest, sites.url + path, 403)
        expect(guest.locator("h1")).to_have_text("This cannot be shown")

    again = visitors.visitor()
    again.goto(link)
    again.get_by_label("Passcode").fill(PASSCODE)
    again.get_by_role("button", name="Open it").click()
    opened(again, sites.north)
    late = visitors.visitor()
    expect_status(late, link, 404)
    expect(late.locator("h1")).to_have_text("This link is over")

    ann.goto(f"{sites.url}/share")
    row = ann.get_by_role("row").filter(has_text="Dr. Moreau, Lyon")
    expect(row.locator("td").nth(4)).to_have_text("2 / 2")
    otto = visitors.signed_in(sites.url, "otto", "/audit/search?text=Moreau")
    records = otto.locator("[role=rowgroup] [role=row]").filter(has_text="Moreau, Lyon opened")

    def are_told() -> bool:
        otto.reload()
        return records.count() == 3

    wait_until(are_told, PATIENCE, "two openings and one refusal are in the trail")
    expect(records.filter(has_text="failure")).to_have_count(1)


def test_a_link_with_download_gives_the_study_until_it_is_taken_back(
    sites: TwoSites, visitors: Visitors
) -> None:
    ann = visitors.signed_in(sites.url, "ann", "/share")
    ann.goto(f"{sites.url}/share?study={sites.north}")
    ann.get_by_label("For whom it is").fill("the patient")
    ann.get_by_label("The images can be taken away, too").check()
    ann.get_by_role("button", name="Make the link").click()
    link = ann.locator("section[aria-labelledby=made] code").inner_text()
    guest = visitors.visitor()
    guest.goto(link)
    guest.get_by_role("button", name="Open it").click()
    opened(guest, sites.north)
    assert status_of(guest, sites, sites.north) == 200
    row = ann.get_by_role("row").filter(has_text="the patient")
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)

    def is_out() -> bool:
        return status_of(guest, sites, f"{sites.north}/metadata") == 401

    wait_until(is_out, PATIENCE, "who has opened it is out")
    expect_status(guest, link, 404)
    expect(guest.locator("main")).to_contain_text("It was taken back")


def test_a_study_of_another_site_cannot_be_shared(sites: TwoSites, visitors: Visitors) -> None:
    page = visitors.signed_in(sites.url, "ann", "/share")
    page.goto(f"{sites.url}/share?study={sites.south}")
    page.get_by_label("For whom it is").fill("somebody")
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("alert")).to_have_text("there is no such study")


def test_in_an_emergency_a_patient_of_another_site_is_seen_for_a_while(
    sites: TwoSites, visitors: Visitors
) -> None:
    page = visitors.signed_in(sites.url, "ann", "/emergency")
    assert searched(page, sites) == {sites.north}
    page.get_by_label("Patient ID", exact=True).fill(SOUTH.patient_id)
    page.get_by_label("Why you have to see this patient now").fill("unconscious in the shock room")
    page.get_by_role("button", name="See the patient's studies").click()
    page.wait_for_url(re.compile("/viewer/"))
    row = page.locator("tbody tr").filter(has_text=SOUTH.description)
    expect(row).to_be_visible(timeout=PATIENCE * 1000)
    assert searched(page, sites) == {sites.north, sites.south}
    wait_until(lambda: searched(page, sites) == {sites.north}, PATIENCE, "the time is over")

    otto = visitors.signed_in(sites.url, "otto", "/audit")
    pattern = otto.locator("li.pattern").filter(has_text="Emergency access")

    def is_told() -> bool:
        otto.reload()
        return pattern.count() == 1

    wait_until(is_told, PATIENCE, "it is among the patterns")
    expect(pattern).to_contain_text("ann used emergency access")
    pattern.get_by_role("link", name="Show the records").click()
    record = otto.locator("[role=rowgroup] [role=row]").filter(has_text="unconscious")
    expect(record).to_have_count(1)
    expect(record).to_contain_text(SOUTH.patient_id)
