"""The pages about access in a browser, in every language: for those who hear them, on narrow
screens, without scripts, and how they look.

Set ACCESS_PICTURES to a folder to keep the pictures of the documentation there (docs/images).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from isocenter.runtime.access.tokens import new_token
from support.access_rig import PASSWORD
from support.axe import assert_fits, assert_no_violation, require_axe
from support.closed_web import BY
from support.local_people import LocalPeople, local_people
from support.ports import free_ports
from support.visitors import Visitors

KEPT = "ACCESS_PICTURES"
STUDY = "1.2.840.113619.2.55.3.604688119.971.1448974521.473"
PICTURES = ("sign-in", "access", "share", "opening", "emergency", "account-codes")

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def people() -> Iterator[LocalPeople]:
    """A hospital with an identity provider, which is away, and local accounts."""
    require_axe()
    (port,) = free_ports(1)
    oidc = {"issuer": f"http://127.0.0.1:{port}/realms/hospital"}
    with local_people(oidc=oidc) as people:
        people.know("a.weber", "administrator", "viewer")
        people.know("j.moreau", "viewer")
        people.invite("new.person", "technologist")
        token, secret = new_token("RIS", ["integrator"], 365)
        people.run(people.web.doors.tokens.make(token, secret, BY))
        yield people


@dataclass(frozen=True, slots=True)
class Walk:
    """Somebody on the way through all pages, in one language."""

    people: LocalPeople
    visitors: Visitors
    look: Callable[[str, Page], None]
    language: str
    how: Mapping[str, object]

    def go(self) -> None:
        """The whole way."""
        page = self._outside()
        self._account(page)
        self._access(page)
        self._sharing(page)

    def _open(self, page: Page, path: str) -> None:
        page.goto(f"{self.people.url}{path}{'&' if '?' in path else '?'}lang={self.language}")

    def _outside(self) -> Page:
        page = self.visitors.visitor(**self.how)
        name = f"s.klein.{self.language}"
        invitation = self.people.invite(name, "viewer")
        for shown, path in (
            ("invitation", invitation.removeprefix(self.people.url)),
            ("invitation-over", "/invitation/nothing"),
            ("link-over", "/share/nothing"),
            ("away", "/sign-in/provider"),
            ("sign-in", "/sign-in"),
        ):
            self._open(page, path)
            self.look(shown, page)
        self.people.forget(name)
        self._sign_in(page, "no.body")
        self.look("sign-in-wrong", page)
        self._sign_in(page, "a.weber")
        return page

    def _sign_in(self, page: Page, name: str) -> None:
        self._open(page, "/sign-in?next=/account")
        page.locator("#name").fill(name)
        page.locator("#password").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("button.primary").click()

    def _account(self, page: Page) -> None:
        self._open(page, "/account")
        self.look("account", page)
        self._open(page, "/account/factor")
        self.look("account-codes", page)

    def _access(self, page: Page) -> None:
        self._open(page, "/access")
        mark = page.locator("form[action*='/access/marks']").last
        page.locator("details").last.evaluate("one => one.open = true")
        mark.locator("#mark-patient").fill("P-1047")
        mark.locator("#mark-reason").fill("one of our own")
        with page.expect_navigation():
            mark.locator("button").click()
        self.look("access", page)
        self._open(page, "/access")
        page.locator("#new-name").evaluate("one => one.closest('details').open = true")
        page.locator("#new-name").fill("a.weber")
        with page.expect_navigation():
            page.locator("form[action*='/access/accounts'] button.primary").click()
        self.look("access-wrong", page)
        self._open(page, "/audit")
        self.look("refused", page)

    def _sharing(self, page: Page) -> None:
        self._open(page, f"/share?study={STUDY}")
        page.locator("#label").fill("Dr. Moreau, Lyon")
        page.locator("#passcode").fill("seven green hats")
        page.locator("#openings").fill("3")
        with page.expect_navigation():
            page.locator("button.primary").click()
        self.look("share", page)
        link = page.locator("section[aria-labelledby=made] code").inner_text()
        self._open(page, "/emergency?patient=P-1047")
        self.look("emergency", page)
        guest = self.visitors.visitor(**self.how)
        self._open(guest, link.removeprefix(self.people.url))
        self.look("opening", guest)


@pytest.mark.parametrize(
    ("language", "how"),
    [("en", {}), ("fr", {}), ("de", {"color_scheme": "dark"})],
    ids=["en", "fr", "de dark"],
)
def test_axe_finds_no_violation_on_any_page_and_none_is_wider_than_its_screen(
    people: LocalPeople, visitors: Visitors, language: str, how: Mapping[str, object]
) -> None:
    def look(name: str, page: Page) -> None:
        assert page.locator("html").get_attribute("lang") == language, name
        assert_no_violation(page)
        before = page.viewport_size
        assert before is not None
        assert_fits(page)
        page.set_viewport_size(before)

    Walk(people, visitors, look, language, {**how, "reduced_motion": "reduce"}).go()


def test_without_scripts_everything_works_and_pictures_for_the_documentation(
    people: LocalPeople, visitors: Visitors, pictures: Path
) -> None:
    def look(name: str, page: Page) -> None:
        assert page.locator("script").count() == 0, name
        expect(page.locator("h1")).to_be_visible()
        picture = pictures / f"access-{name}.png"
        page.screenshot(path=picture, full_page=True)
        if (kept := os.environ.get(KEPT)) and name in PICTURES:
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, Path(kept) / picture.name)

    how = {"java_script_enabled": False, "viewport": {"width": 1100, "height": 700}}
    Walk(people, visitors, look, "en", how).go()


def test_an_emergency_needs_a_reason(people: LocalPeople, visitors: Visitors) -> None:
    page = visitors.visitor()
    page.goto(f"{people.url}/emergency?patient=P-1047")
    page.locator("#name").fill("j.moreau")
    page.locator("#password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/emergency"))
    page.locator("#reason").evaluate("one => one.removeAttribute('minlength')")
    page.locator("#reason").fill("urgent")
    page.get_by_role("button", name="See the patient's studies").click()
    expect(page.get_by_role("alert")).to_contain_text("say why")
