"""Coming in and going: accounts and their one-time links, sessions, second factors."""

from __future__ import annotations

import re
from typing import Any

import pyotp
import pytest

from isocenter.core.errors import Unavailable
from isocenter.runtime.access.settings import AccessSettings
from support.access_rig import ANOTHER, PASSWORD
from support.closed_web import Browser, ClosedWeb, shown

PAGE = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}


async def is_in(browser: Browser) -> bool:
    answer = await browser.get("/dicomweb/studies")
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def test_nobody_is_in_before_they_sign_in() -> None:
    web = ClosedWeb()
    async with web.browser() as browser:
        answer = await browser.get("/dicomweb/studies")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["detail"] == "it is not known who asks; sign in, or send a token"
        page = await browser.get("/share?study=1.2", headers=PAGE)
        assert page.status_code == 303
        assert page.headers["location"] == "/sign-in?next=%2Fshare%3Fstudy%3D1.2"


async def test_a_one_time_link_sets_a_password_once_and_signs_in() -> None:
    web = ClosedWeb()
    link = await web.invited("eva", "viewer")
    async with web.browser() as browser, web.browser() as second:
        assert "eva" in shown(await browser.get(link))
        different = await browser.fill(link, password=PASSWORD, again=ANOTHER)
        assert (different.status_code, "not the same" in shown(different)) == (400, True)
        easy = await browser.fill(link, password="password1234", again="password1234")
        assert (easy.status_code, "easily guessed" in shown(easy)) == (400, True)
        answer = await browser.fill(link, password=PASSWORD, again=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/viewer/")
        assert await is_in(browser)
        for used in (
            await second.get(link),
            await second.fill(link, password=ANOTHER, again=ANOTHER),
        ):
            assert used.status_code == 404
        assert (await second.sign_in()).status_code == 303


async def test_after_signing_in_people_are_where_they_wanted_to_be() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer"), web.browser() as browser:
        for wanted, place in (
            ("/share?study=1.2", "/share?study=1.2"),
            ("//evil.test/", "/viewer/"),
            ("https://evil.test/", "/viewer/"),
            ("/\\evil.test", "/viewer/"),
            ("/\t/evil.test", "/viewer/"),
            ("/sign-out", "/viewer/"),
            ("javascript:alert(1)", "/viewer/"),
        ):
            answer = await browser.sign_in(next=wanted)
            assert (answer.status_code, answer.headers["location"]) == (303, place), wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": ANOTHER},
        {"name": "nobody"},
        {"name": ""},
        {"password": ""},
        {"name": "x" * 500},
    ],
)
async def test_what_was_wrong_is_not_told(wrong) -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer"), web.browser() as browser:
        answer = await browser.sign_in(**wrong)
        assert answer.status_code == 403
        assert "The name, the password or the code is wrong." in shown(answer)
        assert not await is_in(browser)
    action, fields = web.audit.records[-1]
    assert (action, fields["error"]) == ("sign-in", "wrong name, password or code")
    assert len(fields["source"].user) <= 64


async def test_a_session_of_before_ends_when_somebody_signs_in() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva:
        before = dict(eva.cookies)
        assert (await eva.sign_in()).status_code == 303
        assert dict(eva.cookies) != before
        async with web.browser(cookies=before) as planted:
            assert not await is_in(planted)
        assert await is_in(eva)


async def test_signing_out_ends_the_session_and_what_the_browser_keeps() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva:
        cookies = dict(eva.cookies)
        answer = await eva.fill("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert answer.headers["clear-site-data"] == '"cache", "storage"'
        assert "Max-Age=0" in answer.headers["set-cookie"]
        async with web.browser(cookies=cookies) as kept:
            assert not await is_in(kept)
    assert web.audit.records[-1][0] == "sign-out"


async def test_where_it_cannot_be_recorded_nobody_comes_in() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer"), web.browser() as browser:
        web.audit.error = Unavailable("the log is away")
        assert (await browser.sign_in()).status_code == 503
        web.audit.error = None
        assert not await is_in(browser)


async def test_where_a_provider_knows_everybody_there_are_no_accounts() -> None:
    web = ClosedWeb(access=AccessSettings(local_accounts=False))
    async with web.browser() as browser:
        assert (await browser.sign_in()).status_code == 403
        assert 'name="password"' not in (await browser.get("/sign-in")).text


# --- one's own account ---------------------------------------------------------------------------


def factor_of(page: Any) -> str:
    found = re.search(r'name="factor" value="([A-Z2-7]+)"', page.text)
    assert found
    return found[1]


async def test_a_second_factor_is_asked_for_once_it_is_set() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva, web.browser() as browser:
        factor = factor_of(await eva.get("/account/factor"))
        wrong = await eva.fill("/account/factor", factor=factor, code="000000", current=PASSWORD)
        assert wrong.status_code == 400
        totp = pyotp.TOTP(factor)
        stolen = await eva.fill("/account/factor", factor=factor, code=totp.now(), current=ANOTHER)
        assert (stolen.status_code, "is wrong" in shown(stolen)) == (400, True)
        set_ = await eva.fill("/account/factor", factor=factor, code=totp.now(), current=PASSWORD)
        assert set_.status_code == 200, shown(set_)
        recovery = re.findall(r"<li><code>([0-9a-f ]+)</code>", set_.text)
        assert len(recovery) == 10
        assert 'action="/account/sessions/ended"' not in set_.text, "this session is the only one"
        assert (await browser.sign_in()).status_code == 403
        assert (await browser.sign_in(code=recovery[0])).status_code == 303
        async with web.browser() as second:
            assert (await second.sign_in(code=recovery[0])).status_code == 403, "it works once"
        assert await is_in(browser)


async def test_another_password_ends_all_other_sessions() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva, web.browser() as second:
        assert (await second.sign_in()).status_code == 303
        wrong = await eva.fill(
            "/account/password", current=ANOTHER, password=ANOTHER, again=ANOTHER
        )
        assert wrong.status_code == 400
        answer = await eva.fill(
            "/account/password", current=PASSWORD, password=ANOTHER, again=ANOTHER
        )
        assert answer.status_code in (200, 303), shown(answer)
        assert not await is_in(second)
        assert (await second.sign_in()).status_code == 403
        assert (await second.sign_in(password=ANOTHER)).status_code == 303


async def test_people_see_and_end_their_sessions() -> None:
    web = ClosedWeb()
    async with (
        web.person("eva", "viewer") as eva,
        web.person("max", "viewer") as other,
        web.browser() as second,
    ):
        assert (await second.sign_in()).status_code == 303
        page = await eva.get("/account")
        (another,) = re.findall(r'name="id" value="([^"]+)"', page.text)
        assert (await other.fill("/account/sessions/ended", id=another)).status_code == 404
        assert (await eva.fill("/account/sessions/ended", id=another)).status_code == 303
        assert not await is_in(second)
        assert await is_in(eva)
