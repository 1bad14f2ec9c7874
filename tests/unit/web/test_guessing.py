"""Somebody guesses passwords, codes, passcodes, links and tokens, through the web door."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from isocenter.runtime.access import passwords
from isocenter.runtime.access.accounts import new_factor
from isocenter.runtime.access.attempts import WINDOW
from isocenter.runtime.access.links import Link, ends_after
from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.limits import LimitSettings
from support.access_rig import PASSWORD
from support.closed_web import BY, OFTEN, Browser, ClosedWeb, bearer
from support.telemetry import Recorder

HERE, THERE = "192.0.2.1", "198.51.100.1"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every password that was compared, with what is kept of some account's."""
    compared: list[str] = []
    real = passwords._matches

    def matches(kept: str, password: str) -> bool:
        compared.append(kept)
        return real(kept, password)

    monkeypatch.setattr(passwords, "_matches", matches)
    return compared


async def signing_in(client: Browser, *given: str, **more: str) -> int:
    """The status that a sign-in is answered with."""
    return (await client.sign_in(*given, **more)).status_code


async def test_of_a_thousand_wrong_passwords_from_one_address_five_are_looked_at(looked_at) -> None:
    web = ClosedWeb(limits=OFTEN)
    await web.account("eva")
    async with web.from_address(HERE) as client:
        wrong = [await signing_in(client, "eva", f"wrong {number}") for number in range(1000)]
        assert Counter(wrong) == {403: 5, 429: 995}
        assert await signing_in(client, "eva", PASSWORD) == 429
        last = await client.sign_in("eva", "wrong")
    assert last.headers["retry-after"] == str(int(WINDOW.total_seconds()))
    assert len(looked_at) == 5
    async with web.from_address(THERE) as client:
        assert await signing_in(client, "eva", PASSWORD) == 303


async def test_of_a_thousand_from_many_addresses_as_many_as_the_account_may_have(looked_at) -> None:
    web = ClosedWeb()
    await web.account("eva")
    wrong: Counter[int] = Counter()
    for number in range(250):
        async with web.from_address(f"192.0.2.{number}") as client:
            if sum(wrong.values()) == 48:
                assert await signing_in(client, "eva", PASSWORD) == 303
            for _ in range(4):
                wrong[await signing_in(client, "eva", "wrong")] += 1
    assert wrong == {403: 50, 429: 950}
    assert len(looked_at) == 51
    async with web.from_address(THERE) as client:
        assert await signing_in(client, "eva", PASSWORD) == 429


async def test_of_guesses_for_many_accounts_as_many_as_the_address_may_have(looked_at) -> None:
    web = ClosedWeb(limits=OFTEN)
    await web.account("eva")
    async with web.from_address(HERE) as client:
        wrong = [await signing_in(client, f"name{number}", "wrong") for number in range(200)]
        assert Counter(wrong) == {403: 100, 429: 100}
        assert await signing_in(client, "eva", PASSWORD) == 429
    assert len(looked_at) == 100
    async with web.from_address(THERE) as client:
        assert await signing_in(client, "eva", PASSWORD) == 303


async def test_an_ipv6_host_has_one_address_however_many_it_takes() -> None:
    web = ClosedWeb()
    await web.account("eva")
    wrong = []
    for number in range(1, 9):
        async with web.from_address(f"2001:db8:1:2::{number:x}") as client:
            wrong.append(await signing_in(client, "eva", "wrong"))
    assert wrong == [403] * 5 + [429] * 3
    async with web.from_address("2001:db8:1:3::1") as client:
        assert await signing_in(client, "eva", PASSWORD) == 303


async def test_of_many_at_the_same_moment_no_more_are_looked_at(looked_at) -> None:
    web = ClosedWeb(limits=LimitSettings(address_requests_at_once=0))
    await web.account("eva")
    async with web.from_address(HERE) as client:
        guesses = (signing_in(client, "eva", f"wrong {number}") for number in range(100))
        assert set(await asyncio.gather(*guesses)) <= {403, 429}
    assert len(looked_at) <= 5


async def test_failures_are_forgotten_by_a_sign_in_and_after_a_while(monkeypatch) -> None:
    web = ClosedWeb()
    await web.account("eva")
    async with web.from_address(HERE) as client:
        for _ in range(3):
            for _ in range(4):
                assert await signing_in(client, "eva", "wrong") == 403
            assert await signing_in(client, "eva", PASSWORD) == 303
        for _ in range(6):
            await signing_in(client, "eva", "wrong")

        class Later(datetime):
            @classmethod
            def now(cls, tz=UTC):
                return datetime.now(tz) + WINDOW + timedelta(seconds=1)

        monkeypatch.setattr("isocenter.runtime.access.attempts.datetime", Later)
        assert await signing_in(client, "eva", PASSWORD) == 303


async def test_codes_of_a_second_factor_are_bounded_as_passwords_are() -> None:
    web, factor = ClosedWeb(), new_factor()
    await web.account("eva", factor=factor)
    right = pyotp.TOTP(factor).now()
    wrong = f"{(int(right) + 500_000) % 1_000_000:06}"
    async with web.from_address(HERE) as client:
        codes = [await signing_in(client, "eva", PASSWORD, code=wrong) for _ in range(100)]
        assert Counter(codes) == {403: 5, 429: 95}
        assert await signing_in(client, "eva", PASSWORD, code=right) == 429
    async with web.from_address(THERE) as client:
        assert await signing_in(client, "eva", PASSWORD, code=pyotp.TOTP(factor).now()) == 303


async def test_who_has_somebodys_session_does_not_guess_the_password_by_it(looked_at) -> None:
    web = ClosedWeb()
    await web.account("eva")
    async with web.from_address(HERE) as client:
        assert await signing_in(client, "eva", PASSWORD) == 303
        given = {"current": "wrong", "password": "another one for us 9", "again": ""}
        form = {**given, "again": given["password"]}
        wrong = [(await client.post("/account/password", data=form)).status_code for _ in range(50)]
    assert Counter(wrong) == {400: 5, 429: 45}
    assert len(looked_at) == 6


async def shared(web: ClosedWeb, passcode: str) -> str:
    link = Link(study="1.2.3", label="Dr. Stone", made_by="eva", ends_at=ends_after(1))
    return await web.doors.links.make(link, passcode, BY)


async def test_passcodes_of_links_are_bounded_as_passwords_are(looked_at) -> None:
    web = ClosedWeb(limits=OFTEN)
    secret, open_to_all = await shared(web, "open sesame"), await shared(web, "")

    async def opened(client, passcode: str, link: str = secret) -> int:
        return (await client.post(f"/share/{link}", data={"passcode": passcode})).status_code

    async with web.from_address(HERE) as client:
        wrong = Counter([await opened(client, f"wrong {number}") for number in range(100)])
        assert wrong == {403: 5, 429: 95}
        assert await opened(client, "open sesame") == 429
        assert await opened(client, "", open_to_all) == 303
    assert len(looked_at) == 5
    async with web.from_address(THERE) as client:
        assert await opened(client, "open sesame") == 303


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/invitation/{secret}", "", 404),
        ("/share/{secret}", "", 404),
        ("/dicomweb/studies", "iso_{id}_{secret}", 401),
        ("/no/such/place", "", 404),
    ],
)
async def test_what_is_too_long_to_be_guessed_costs_the_address(path, token, status) -> None:
    recorder = Recorder()
    web = ClosedWeb(limits=LimitSettings(address_burst=200), telemetry=recorder.telemetry)
    known = bearer(await web.token("reader"))
    async with web.from_address(HERE) as client:
        assert (await client.get("/dicomweb/studies", headers=known)).status_code == 200
        answers = []
        for _ in range(1000):
            shown = {"id": secrets.token_hex(8), "secret": secrets.token_urlsafe(32)}
            headers = bearer(token.format(**shown)) if token else {}
            answers.append(await client.get(path.format(**shown), headers=headers))
        assert Counter(one.status_code for one in answers) == {status: 200, 429: 800}
        assert (await client.get("/sign-in")).status_code == 429
        assert (await client.get("/dicomweb/studies", headers=known)).status_code == 200
    async with web.from_address(THERE) as client:
        assert (await client.get("/sign-in")).status_code == 200
        unknown_here = bearer(await web.token("another"))
        assert (await client.get("/dicomweb/studies", headers=unknown_here)).status_code == 200
    assert recorder.values(LIMITS_REFUSED) == {("address-requests",): 801}


async def test_a_token_that_was_right_and_is_not_any_more_costs_the_address() -> None:
    web = ClosedWeb(limits=LimitSettings(address_burst=5))
    token = await web.token("reader")
    async with web.from_address(HERE, headers=bearer(token)) as client:
        assert (await client.get("/dicomweb/studies")).status_code == 200
        await web.doors.tokens.revoke(token.split("_")[1], BY)
        answers = [(await client.get("/dicomweb/studies")).status_code for _ in range(8)]
    assert answers == [401] * 6 + [429] * 2


async def test_the_work_does_not_tell_whether_there_is_an_account(looked_at) -> None:
    web = ClosedWeb()
    await web.account("eva")
    await web.account("gone", disabled=True)
    for name in ("eva", "gone", "nobody", "no name!", ""):
        async with web.from_address(HERE) as client:
            assert await signing_in(client, name, "wrong") == 403
    assert len(looked_at) == 5
    assert len({kept.rpartition("$")[0].rpartition("$")[0] for kept in looked_at}) == 1  # the cost
    assert {len(kept) for kept in looked_at} == {len(looked_at[0])}


async def test_nobody_has_the_password_of_nobody() -> None:
    kept = passwords._nobodys()
    assert passwords._hasher().check_needs_rehash(kept) is False
    assert not passwords._matches(kept, "")
    assert not await passwords.Passwords().is_right("", "")
