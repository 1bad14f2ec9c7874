"""Local accounts: names, one-time links, and the second factor."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from isocenter.core.errors import Invalid, NotFound
from isocenter.runtime.access.accounts import (
    INVITED,
    RECOVERY_CODES,
    name_of,
    new_factor,
    new_recovery_codes,
    step_of,
)
from support.access_rig import ANOTHER, HERE, PASSWORD, Access, Clock

USED = "this link was used or is over; ask for a new one"


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [("Eva", "eva"), (" eva ", "eva"), ("e.v-a_2+x@h.org", "e.v-a_2+x@h.org"), ("e" * 63,) * 2],
)
def test_names_are_compared_without_case(written: str, name: str) -> None:
    assert name_of(written) == name


@pytest.mark.parametrize("wrong", ["", " ", ".eva", "e va", "e/va", "éva", "e" * 64, "eva\n1"])
def test_what_is_no_name_is_told(wrong: str) -> None:
    with pytest.raises(Invalid, match="no name of an account; use up to 63 letters"):
        name_of(wrong)


async def test_accounts_are_listed_by_name_and_found_however_they_are_written(
    access: Access,
) -> None:
    accounts = access.doors.accounts
    eva, ada = await access.account("eva"), await access.account("ada")
    assert await accounts.all() == [ada, eva]
    assert await accounts.get(" Eva") == eva
    assert await accounts.lately("eva") == eva
    await accounts.remove("EVA", HERE)
    assert await accounts.all() == [ada]
    assert await accounts.lately("eva") is None
    for wanted in (accounts.get, lambda name: accounts.remove(name, HERE)):
        with pytest.raises(NotFound, match="there is no account eva; list them"):
            await wanted("eva")


# --- one-time links ------------------------------------------------------------------------------


async def invited(access: Access, **more: object) -> str:
    await access.account("eva", password="", **more)
    return await access.doors.accounts.invite("eva", HERE)


async def test_a_one_time_link_sets_the_password_once(access: Access) -> None:
    accounts = access.doors.accounts
    secret = await invited(access)
    assert (await accounts.invited(secret)).name == "eva"
    account = await accounts.accept(secret, PASSWORD, HERE)
    assert account == await accounts.get("eva")
    assert await accounts.has_password(account, PASSWORD)
    with pytest.raises(NotFound, match=USED):
        await accounts.invited(secret)
    with pytest.raises(NotFound, match=USED):
        await accounts.accept(secret, ANOTHER, HERE)


async def test_a_password_that_is_not_good_enough_leaves_the_link_as_it_was(access: Access) -> None:
    secret = await invited(access, shown="Evangelina Kowalczyk")
    for weak in ("short", "evangelina kowalczyk"):
        with pytest.raises(Invalid):
            await access.doors.accounts.accept(secret, weak, HERE)
    assert await access.doors.accounts.accept(secret, PASSWORD, HERE)


async def test_a_link_is_over_after_its_time(access: Access, clock: Clock) -> None:
    secret = await invited(access)
    clock.move(seconds=INVITED.total_seconds() - 60)
    assert await access.doors.accounts.invited(secret)
    clock.move(seconds=61)
    with pytest.raises(NotFound, match=USED):
        await access.doors.accounts.invited(secret)


async def test_once_another_password_is_set_all_earlier_links_are_over(access: Access) -> None:
    accounts = access.doors.accounts
    first = await invited(access)
    second = await accounts.invite("eva", HERE)
    await accounts.accept(second, PASSWORD, HERE)
    with pytest.raises(NotFound, match=USED):
        await accounts.accept(first, ANOTHER, HERE)


async def test_a_link_is_for_the_account_that_there_was(access: Access, clock: Clock) -> None:
    accounts = access.doors.accounts
    secret = await invited(access)
    await accounts.remove("eva", HERE)
    with pytest.raises(NotFound, match=USED):
        await accounts.invited(secret)
    clock.move(seconds=1)
    await access.account("eva", "administrator", password="")
    with pytest.raises(NotFound, match=USED):
        await accounts.accept(secret, PASSWORD, HERE)


async def test_who_is_shut_out_comes_in_by_no_link(access: Access) -> None:
    secret = await invited(access)
    account = await access.doors.accounts.get("eva")
    await access.doors.accounts.keep(account.model_copy(update={"disabled": True}), HERE)
    with pytest.raises(NotFound, match=USED):
        await access.doors.accounts.accept(secret, PASSWORD, HERE)


@pytest.mark.parametrize("secret", ["", "x", "../accounts", "é"])
async def test_what_is_no_link_invites_nobody(access: Access, secret: str) -> None:
    await invited(access)
    with pytest.raises(NotFound, match=USED):
        await access.doors.accounts.invited(secret)


async def test_nobody_is_invited_without_an_account(access: Access) -> None:
    with pytest.raises(NotFound, match="there is no account"):
        await access.doors.accounts.invite("eva", HERE)


# --- the second factor ---------------------------------------------------------------------------


class Authenticator:
    """Somebody with a second factor, and their device."""

    def __init__(self, access: Access) -> None:
        self.accounts = access.doors.accounts
        self.factor = new_factor()
        self.codes, self.digests = new_recovery_codes()
        self.device = pyotp.TOTP(self.factor)
        self.at = datetime.now(UTC)

    def code(self, steps: int = 0) -> str:
        """That of now, or of some steps of 30 seconds later."""
        return self.device.at(self.at + steps * timedelta(seconds=30))

    async def is_right(self, code: str) -> bool:
        return await self.accounts.has_code(await self.accounts.get("eva"), code, HERE)


@pytest.fixture
async def eva(access: Access, clock: Clock) -> Authenticator:
    device = Authenticator(access)
    await access.account("eva", factor=device.factor, recovery=device.digests)
    clock.move(seconds=-(datetime.now(UTC).timestamp() % 30) + 15)  # in the midst of a step
    device.at = datetime.now(UTC) + clock.ahead
    return device


def test_a_factor_is_160_bits_and_another_each_time() -> None:
    assert {len(pyotp.TOTP(new_factor()).byte_secret()) for _ in range(3)} == {20}
    assert new_factor() != new_factor()


async def test_a_code_is_right_once(eva: Authenticator) -> None:
    assert await eva.is_right(eva.code())
    assert not await eva.is_right(eva.code())


async def test_a_code_may_be_of_the_step_before_or_behind(eva: Authenticator) -> None:
    assert not await eva.is_right(eva.code(-2))
    assert not await eva.is_right(eva.code(2))
    assert await eva.is_right(eva.code(-1))
    assert await eva.is_right(eva.code(0))
    assert await eva.is_right(eva.code(1))


async def test_after_a_code_none_of_before_is_right(eva: Authenticator) -> None:
    assert await eva.is_right(eva.code(1))
    assert not await eva.is_right(eva.code(0))
    assert not await eva.is_right(eva.code(-1))


async def test_a_code_that_was_used_is_so_in_every_process(
    access: Access, eva: Authenticator
) -> None:
    assert await eva.is_right(eva.code())
    accounts = access.another().doors.accounts
    assert not await accounts.has_code(await accounts.get("eva"), eva.code(), HERE)


async def test_of_two_at_the_same_moment_not_both_use_a_code(eva: Authenticator) -> None:
    assert sum(await asyncio.gather(*(eva.is_right(eva.code()) for _ in range(5)))) <= 1


async def test_codes_may_be_written_in_groups(eva: Authenticator) -> None:
    code = eva.code()
    assert await eva.is_right(f"{code[:3]} {code[3:]}")


@pytest.mark.parametrize(
    "wrong",
    ["", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "²²²²²²", "é" * 6],
)
async def test_what_is_no_code_is_wrong(eva: Authenticator, wrong: str) -> None:
    assert not await eva.is_right(wrong)


def test_without_a_factor_no_code_is_right() -> None:
    assert step_of("", pyotp.TOTP(new_factor()).now(), datetime.now(UTC)) is None


async def test_a_recovery_code_stands_in_once(eva: Authenticator) -> None:
    assert len(set(eva.codes)) == RECOVERY_CODES
    first, second, *_ = eva.codes
    assert await eva.is_right(first)
    assert not await eva.is_right(first)
    assert await eva.is_right(f"{second[:8]}-{second[8:]}".upper())
    assert len((await eva.accounts.get("eva")).recovery) == RECOVERY_CODES - 2


async def test_of_two_at_the_same_moment_not_both_use_a_recovery_code(
    access: Access, eva: Authenticator
) -> None:
    account = await access.doors.accounts.get("eva")
    others = [access.doors.accounts, access.another().doors.accounts]
    used = (one.has_code(account, eva.codes[0], HERE) for one in others)
    assert sum(await asyncio.gather(*used)) <= 1


async def test_a_digest_is_no_recovery_code(eva: Authenticator) -> None:
    assert not await eva.is_right(eva.digests[0])
