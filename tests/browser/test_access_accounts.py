"""Local accounts in a browser: the one-time link, password and second factor, lock-out, and what
administrators do for others."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Page, expect

from support.access_rig import PASSWORD
from support.local_people import LocalPeople, local_people
from support.visitors import Visitors, expect_status

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

ANOTHER = "staple battery horse correct 8"
WRONG = "The name, the password or the code is wrong."


@pytest.fixture(scope="module")
def people() -> Iterator[LocalPeople]:
    with local_people() as people:
        yield people


def sign_in(page: Page, people: LocalPeople, name: str, password: str, code: str = "") -> None:
    """By the page, on the way to one's account."""
    page.goto(f"{people.url}/sign-in?next=/account")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in").click()


def choose_password(page: Page, password: str) -> None:
    page.get_by_label("Password").fill(password)
    page.get_by_label("The same again").fill(password)
    page.get_by_role("button", name="Set it and sign in").click()


def test_a_one_time_link_sets_the_password_signs_in_and_is_over(
    people: LocalPeople, visitors: Visitors
) -> None:
    link = people.invite("eva", "viewer")
    page = visitors.visitor()
    page.goto(link)
    expect(page.locator("main")).to_contain_text("For the account eva.")
    choose_password(page, "password1234")
    expect(page.get_by_role("alert")).to_be_visible()
    choose_password(page, PASSWORD)
    page.goto(f"{people.url}/account")
    expect(page.locator("h1")).to_have_text("Account: eva")
    other = visitors.visitor()
    expect_status(other, link, 404)
    expect(other.locator("h1")).to_have_text("This link is over")
    other.get_by_role("link", name="Sign in").click()
    sign_in(other, people, "Eva", PASSWORD)
    expect(other.locator("h1")).to_have_text("Account: eva")
    expect(other.locator("table tbody tr")).to_have_count(2)


def test_a_second_factor_is_asked_for_and_recovery_codes_stand_in_once(
    people: LocalPeople, visitors: Visitors
) -> None:
    people.know("tom", "viewer")
    page = visitors.visitor()
    sign_in(page, people, "tom", PASSWORD)
    page.get_by_role("button", name="Set it up").click()
    expect(page.locator("figure svg")).to_be_visible()
    factor = page.locator("input[name=factor]").input_value()
    form = page.locator("section[aria-labelledby=factor-title]")
    form.get_by_label("Current password").fill(PASSWORD)
    form.get_by_label("Code", exact=True).fill(pyotp.TOTP(factor).now())
    form.get_by_role("button").click()
    codes = page.locator("section[aria-labelledby=codes] li")
    expect(codes).to_have_count(10)
    recovery = codes.first.inner_text()

    other = visitors.visitor()
    sign_in(other, people, "tom", PASSWORD)
    expect(other.get_by_role("alert")).to_have_text(WRONG)
    code = pyotp.TOTP(factor).at(time.time() + 30)  # the one that was shown first has been used
    sign_in(other, people, "tom", PASSWORD, code)
    expect(other.locator("h1")).to_have_text("Account: tom")
    again = visitors.visitor()
    sign_in(again, people, "tom", PASSWORD, code)  # whoever looked over the shoulder
    expect(again.get_by_role("alert")).to_have_text(WRONG)
    sign_in(again, people, "tom", PASSWORD, recovery)
    expect(again.locator("main")).to_contain_text("Recovery codes that are left: 9.")
    again.get_by_role("button", name="Sign out").click()
    sign_in(again, people, "tom", PASSWORD, recovery)
    expect(again.get_by_role("alert")).to_have_text(WRONG)


def test_another_password_ends_all_other_sessions(people: LocalPeople, visitors: Visitors) -> None:
    people.know("mia", "viewer")
    page, other = visitors.visitor(), visitors.visitor()
    for one in (page, other):
        sign_in(one, people, "mia", PASSWORD)
        expect(one.locator("h1")).to_have_text("Account: mia")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill(ANOTHER)
    page.get_by_label("The same again").fill(ANOTHER)
    page.locator("section[aria-labelledby=password-title] button").click()
    expect(page.locator("h1")).to_have_text("Account: mia")
    expect(page.locator("table tbody tr")).to_have_count(1)
    other.reload()
    expect(other.get_by_role("alert")).to_contain_text("Your session is over.")
    sign_in(other, people, "mia", PASSWORD)
    expect(other.get_by_role("alert")).to_have_text(WRONG)
    sign_in(other, people, "mia", ANOTHER)
    expect(other.locator("h1")).to_have_text("Account: mia")


def test_who_guesses_is_shut_out_for_a_while_even_with_the_right_password(
    people: LocalPeople, visitors: Visitors
) -> None:
    people.know("leo", "viewer")
    page = visitors.visitor()
    for number in range(5):
        sign_in(page, people, "leo", f"a wrong guess {number}")
        expect(page.get_by_role("alert")).to_have_text(WRONG)
    with page.expect_response("**/sign-in") as answer:
        sign_in(page, people, "leo", PASSWORD)
    assert answer.value.status == 429
    expect(page.get_by_role("alert")).to_have_text(
        "Too many attempts failed. Try again in 15 minutes."
    )
    people.know("liv", "viewer")
    sign_in(page, people, "liv", PASSWORD)  # nobody else is
    expect(page.locator("h1")).to_have_text("Account: liv")


def test_administrators_let_people_in_and_out(people: LocalPeople, visitors: Visitors) -> None:
    people.know("ada", "administrator")
    ada = visitors.visitor()
    sign_in(ada, people, "ada", PASSWORD)
    ada.get_by_role("link", name="Who has access").click()
    ada.get_by_text("A new account").click()
    ada.locator("#new-name").fill("ben")
    new = ada.locator("form[action$='/access/accounts']")
    new.get_by_label("viewer").check()
    new.get_by_role("button").click()
    link = ada.locator("section[aria-labelledby=made] code").inner_text()
    ben = visitors.visitor()
    ben.goto(link)
    choose_password(ben, PASSWORD)
    ben.goto(f"{people.url}/account")
    expect(ben.locator("h1")).to_have_text("Account: ben")
    expect_status(ben, f"{people.url}/access", 403)
    expect(ben.get_by_role("alert")).to_contain_text("administrator may")

    ada.goto(f"{people.url}/access")
    sessions = ada.locator("section[aria-labelledby=sessions] tbody tr")
    sessions.filter(has_text="ben").get_by_role("button").click()
    expect(sessions.filter(has_text="ben")).to_have_count(0)
    ben.goto(f"{people.url}/account")
    expect(ben.get_by_role("alert")).to_contain_text("Your session is over.")
