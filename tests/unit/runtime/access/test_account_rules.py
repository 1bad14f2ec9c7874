"""Passwords, second factors, one-time links, sessions and tokens: what is good enough, and for how
long."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from isocenter.core.errors import Invalid, NotFound
from isocenter.runtime.access.accounts import RECOVERY_CODES, new_recovery_codes, step_of
from isocenter.runtime.access.passwords import LONGEST, check_password
from isocenter.runtime.access.sessions import Session, id_of
from support.access_rig import ANOTHER, PASSWORD
from support.closed_web import BY, PAGES, SESSION, ClosedWeb

FACTOR = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SUBJECT = ("eva", "Eva Example", "isocenter")


@pytest.mark.parametrize(
    "password",
    ["short", "elevenchars", "passwordpassword", "qwertyuiop123", "isocenter-isocenter",
     "eva.example.eva", "aaaaaaaaaaaaaaaa", "123456789012", "letmein12345", "x" * (LONGEST + 1)],
)  # fmt: skip
def test_a_password_that_is_short_or_guessed_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        check_password(password, SUBJECT)


@pytest.mark.parametrize(
    "password",
    ["three unrelated words of it", "nothing but small letters", "Ünïcödé ist auch erlaubt",
     "correcthorsebatterystaple and more", "mfue lsvq oduw pjra " * 4],
)  # fmt: skip
def test_a_password_of_any_composition_is_taken(password: str) -> None:
    check_password(password, SUBJECT)


async def test_a_password_is_compared_as_it_was_given() -> None:
    web = ClosedWeb()
    known = await web.account()
    assert known.password.startswith("$argon2id$v=19$m=65536,t=3,")
    right = web.doors.accounts.has_password
    assert await right(known, PASSWORD)
    for wrong in (PASSWORD.upper(), PASSWORD + " ", f" {PASSWORD}", PASSWORD[:-1], "", "\0"):
        assert not await right(known, wrong)
    assert not await right(None, PASSWORD)
    assert not await right(known.model_copy(update={"password": ""}), "")


async def test_a_code_counts_once_and_for_a_moment() -> None:
    web = ClosedWeb()
    known = (await web.account()).model_copy(update={"factor": FACTOR})
    code = pyotp.TOTP(FACTOR).now()
    assert await web.doors.accounts.has_code(known, f" {code[:3]} {code[3:]}", BY)
    assert not await web.doors.accounts.has_code(known, code, BY)
    now = datetime.now(UTC)
    for seconds in (-120, 120):
        late = pyotp.TOTP(FACTOR).at(now + timedelta(seconds=seconds))
        assert step_of(FACTOR, late, now) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "٠١٢٣٤٥", "-12345", "1e5   "])
def test_what_is_no_code_is_none(code: str) -> None:
    assert step_of(FACTOR, code, datetime.now(UTC)) is None


async def test_a_recovery_code_counts_once_and_is_not_kept_itself() -> None:
    web = ClosedWeb()
    codes, digests = new_recovery_codes()
    assert len(set(codes)) == RECOVERY_CODES
    assert all(len(bytes.fromhex(one)) * 8 >= 112 for one in codes)
    known = (await web.account()).model_copy(update={"factor": FACTOR, "recovery": digests})
    await web.doors.accounts.keep(known, BY)
    assert not set(codes) & set(known.model_dump_json().split('"'))
    assert await web.doors.accounts.has_code(known, codes[0].upper(), BY)
    again = await web.doors.accounts.get("eva")
    assert not await web.doors.accounts.has_code(again, codes[0], BY)
    assert await web.doors.accounts.has_code(again, codes[1], BY)


async def test_a_one_time_link_works_once_even_for_two_at_once() -> None:
    web = ClosedWeb()
    await web.account()
    secret = await web.doors.accounts.invite("eva", BY)
    assert len(secret) >= 43
    tried = await asyncio.gather(
        *(web.doors.accounts.accept(secret, ANOTHER, BY) for _ in range(2)), return_exceptions=True
    )
    assert sum(not isinstance(one, NotFound) for one in tried) <= 1
    with pytest.raises(NotFound):
        await web.doors.accounts.invited(secret)


async def test_a_link_does_not_stand_in_for_the_second_factor() -> None:
    web = ClosedWeb()
    known = await web.account()
    await web.doors.accounts.keep(known.model_copy(update={"factor": FACTOR}), BY)
    secret = await web.doors.accounts.invite("eva", BY)
    async with web.browser(PAGES) as client:
        form = {"password": ANOTHER, "again": ANOTHER}
        answer = await client.post(f"/invitation/{secret}", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert SESSION not in client.cookies
        assert (await web.doors.accounts.get("eva")).factor == FACTOR


@pytest.mark.parametrize(
    "path", ["/account/password", "/account/factor", "/account/factor/removed"]
)
async def test_what_lets_somebody_in_is_changed_with_the_password_only(path: str) -> None:
    web = ClosedWeb()
    known = await web.account()
    async with web.browser(PAGES) as client:
        await client.sign_in()
        secret = client.cookies[SESSION]
        form = {"password": ANOTHER, "again": ANOTHER, "factor": FACTOR}
        form["code"] = pyotp.TOTP(FACTOR).now()
        for current in ({}, {"current": ""}, {"current": "wrong"}):
            answer = await client.post(path, data={**form, **current})
            assert answer.status_code == 400
            assert "current password is wrong" in answer.text
        assert client.cookies[SESSION] == secret
    assert await web.doors.accounts.get("eva") == known


@pytest.mark.parametrize(
    ("used", "began", "lasts"), [(0, 0, True), (59, 59, True), (61, 61, False), (1, 721, False)]
)
async def test_a_session_ends_unused_after_an_hour_and_anyhow_after_twelve(
    used: int, began: int, lasts: bool
) -> None:
    web = ClosedWeb()
    known = await web.account()
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await web.doors.accounts.keep(known.model_copy(update={"since": long_ago}), BY)
    now = datetime.now(UTC)
    session = Session(
        person="eva",
        since=long_ago,
        used_at=now - timedelta(minutes=used),
        began_at=now - timedelta(minutes=began),
    )
    secret = await web.doors.sessions.begin(session, BY)
    assert (await web.doors.by_session(secret, BY) is not None) is lasts
    if not lasts:
        assert await web.doors.sessions._found(id_of(secret)) is None, "it is forgotten"


async def test_people_see_their_sessions_and_end_them() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as one, web.browser(PAGES) as other:
        await one.sign_in()
        await other.sign_in()
        shown = await one.get("/account")
        there = id_of(other.cookies[SESSION])
        assert there in shown.text
        await one.post("/account/sessions/ended", data={"id": there})
        assert (await other.get("/account")).status_code == 303
        assert (await one.get("/account")).status_code == 200
