"""Sign-in by a real Keycloak in a browser: in and out, sessions and their ends, and what people see
while it is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from support.harness import running, wait_until
from support.keycloak import Keycloak
from support.two_sites import NORTH, TwoSites
from support.visitors import PATIENCE, Visitors, is_signed_out, sign_in, to_provider

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(600)]

PROVIDER = re.compile(r"/realms/hospital/protocol/openid-connect/auth\?")
OVER = "Your session is over. Sign in again; you come back to where you were."


def canvas_of(page: Page) -> None:
    """Wait for a picture."""
    expect(page.locator("[data-cy=viewport-pane] canvas").first).to_be_visible(
        timeout=PATIENCE * 1000
    )


def test_people_sign_in_with_code_and_pkce_and_come_to_the_page_that_they_wanted(
    sites: TwoSites, visitors: Visitors
) -> None:
    page = visitors.visitor()
    page.goto(f"{sites.url}/account?lang=en")
    assert urlsplit(page.url).path == "/sign-in"
    with page.expect_request(PROVIDER) as asked:
        sign_in(page, "ann")
    query = parse_qs(urlsplit(asked.value.url).query)
    assert query["response_type"] == ["code"]
    assert query["code_challenge_method"] == ["S256"]
    page.wait_for_url(f"{sites.url}/account?lang=en")
    expect(page.locator("h1")).to_have_text("Account: ann")
    expect(page.locator(".lead")).to_have_text("Roles: viewer. Own sites: north.")
    (cookie,) = [one for one in page.context.cookies() if one["name"] == "isocenter"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert not [one for one in page.context.cookies() if one["name"] == "isocenter-flow"]


def test_the_viewer_shares_the_session_and_leads_to_the_account(
    sites: TwoSites, visitors: Visitors
) -> None:
    page = visitors.signed_in(sites.url, "ann", "/viewer/")
    row = page.locator("tbody tr").filter(has_text=NORTH.description)
    expect(row).to_be_visible(timeout=PATIENCE * 1000)
    expect(page.locator("tbody tr").filter(has_text="PHANTOM")).to_have_count(1)
    frames = re.compile(f"/studies/{re.escape(sites.north)}/.*/frames/")
    with page.expect_response(frames) as frame:
        page.goto(f"{sites.url}/viewer/viewer?StudyInstanceUIDs={sites.north}")
    assert frame.value.status == 200
    canvas_of(page)
    page.get_by_role("link", name="Isocenter").click()
    expect(page.locator("h1")).to_have_text("Account: ann")


def test_people_see_where_they_are_signed_in_and_end_what_they_have_forgotten(
    sites: TwoSites, visitors: Visitors
) -> None:
    forgotten = visitors.signed_in(sites.url, "sven")
    page = visitors.signed_in(sites.url, "sven")
    sessions = page.locator("#content table tbody tr")
    expect(sessions).to_have_count(2)
    expect(sessions.filter(has_text="here")).to_have_count(1)
    page.get_by_role("button", name="End").click()
    expect(sessions).to_have_count(1)
    account = f"{sites.url}/account"
    wait_until(lambda: is_signed_out(forgotten, account), PATIENCE, "it is over")
    expect(forgotten.get_by_role("alert")).to_have_text(OVER)
    page.reload()
    expect(page.locator("h1")).to_have_text("Account: sven")


def test_a_sign_out_is_one_here_and_at_the_provider(sites: TwoSites, visitors: Visitors) -> None:
    page = visitors.signed_in(sites.url, "ann")
    secret = {one["name"]: one["value"] for one in page.context.cookies()}["isocenter"]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{sites.url}/sign-in")
    expect(page.get_by_role("alert")).to_have_count(0)
    stolen = {"name": "isocenter", "value": secret, "url": sites.url}
    other = visitors.visitor()
    other.context.add_cookies([stolen])  # type: ignore[list-item]
    assert is_signed_out(other, f"{sites.url}/account")
    to_provider(page)
    expect(page.locator("#password")).to_be_visible()  # it does not know who is there any more


def test_who_is_disabled_at_the_provider_is_out_at_the_next_look(
    sites: TwoSites, visitors: Visitors, keycloak: Keycloak
) -> None:
    page = visitors.signed_in(sites.url, "bo")
    account = f"{sites.url}/account"
    page.reload()
    expect(page.locator("h1")).to_have_text("Account: bo")
    with keycloak.disabled("bo"):
        wait_until(lambda: is_signed_out(page, account), PATIENCE, "they are out")
        expect(page.get_by_role("alert")).to_have_text(OVER)


def test_while_the_provider_is_away_sessions_go_on_and_nobody_new_comes_in(
    sites: TwoSites, visitors: Visitors, keycloak: Keycloak
) -> None:
    inside = visitors.signed_in(sites.url, "ann")
    outside = visitors.visitor()
    account = f"{sites.url}/account"
    with keycloak.away():
        outside.goto(account)
        wait_until(lambda: is_told_so(outside), PATIENCE, "they are told")
        for _ in range(3):
            inside.goto(account)
            expect(inside.locator("h1")).to_have_text("Account: ann")
    sign_in(outside, "ann")
    outside.wait_for_url(account)


def is_told_so(page: Page) -> bool:
    """Whether signing in leads to a page of ours that says that it cannot be now."""
    if "/sign-in" not in page.url:
        page.go_back()
    to_provider(page)
    alert = page.get_by_role("alert").filter(has_text="does not answer at the moment")
    return "/sign-in" in page.url and alert.count() == 1


# --- sessions that nobody uses -------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty(keycloak: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an installation whose sessions end soon when they are not used."""
    scratch = tmp_path_factory.mktemp("hasty")
    settings = {**keycloak.settings(scratch), "access.session_idle_minutes": 0.1}
    with running(scratch / "data", settings=settings) as isocenter:
        yield isocenter.http_url


def test_who_was_away_for_long_signs_in_again_and_comes_back_to_the_same_page(
    hasty: str, visitors: Visitors
) -> None:
    wanted = f"{hasty}/emergency?patient=DEMO-3"
    page = visitors.signed_in(hasty, "ann", "/emergency?patient=DEMO-3")
    looking = visitors.signed_in(hasty, "ada", "/access")  # and so in use all the time
    listed = looking.locator("section[aria-labelledby=sessions] tbody tr")

    def is_over() -> bool:
        looking.reload()
        return listed.filter(has_text="ann").count() == 0

    wait_until(is_over, PATIENCE, "her session is over")
    expect(listed.filter(has_text="ada")).to_have_count(1)
    page.reload()
    expect(page.get_by_role("alert")).to_have_text(OVER)
    to_provider(page)  # which knows her still
    page.wait_for_url(wanted)
    expect(page.get_by_label("Patient ID", exact=True)).to_have_value("DEMO-3")
