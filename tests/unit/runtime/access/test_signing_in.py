"""Signing in with a local account: what is told, what is recorded, and who is shut out for a while
because they guess."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyotp
import pytest

from isocenter.core.errors import Refused, TooMany, Unavailable
from isocenter.core.events import AuditOutcome
from isocenter.runtime.access.accounts import new_factor, new_recovery_codes
from isocenter.runtime.access.attempts import ATTEMPTS, WINDOW, Attempts, Bounds
from support.access_rig import HERE, PASSWORD, THERE, Access, Clock

WRONG = "the name, the password or the code is wrong"
FEW = Bounds(pair=3, account=5, address=7)


async def fail(access: Access, name: str = "eva", *, by: object = HERE, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Refused, match=WRONG):
            await access.sign_in(name, "wrong", by=by)  # type: ignore[arg-type]


async def is_shut_out(access: Access, name: str = "eva", by: object = HERE) -> bool:
    """Whether an attempt is not even looked at, though it would be right."""
    try:
        await access.sign_in(name, by=by)  # type: ignore[arg-type]
    except TooMany:
        return True
    return False


@pytest.fixture
def bounded(access: Access) -> Access:
    """One that bears few attempts."""
    access.doors = replace(access.doors, attempts=Attempts(access.storage, bounds=FEW))
    return access


# --- what is shown -------------------------------------------------------------------------------


async def test_who_knows_the_password_begins_a_session(access: Access) -> None:
    await access.account("eva")
    assert (await access.caller(await access.sign_in(" EVA "))).name == "eva"
    ((action, told),) = access.audit.records
    assert (action, told["outcome"], told["detail"]) == (
        "sign-in", AuditOutcome.SUCCESS, "signed in",
    )  # fmt: skip
    assert (told["source"].user, told["source"].host) == ("eva", HERE.host)


async def test_what_was_wrong_is_not_told(access: Access) -> None:
    factor = new_factor()
    await access.account("eva")
    await access.account("ben", factor=factor)
    await access.account("cleo", disabled=True)
    await access.account("dora", password="")
    told = set()
    for name, password, code in (
        ("?" * 5000, PASSWORD, ""),
        ("nobody", PASSWORD, ""),
        ("eva", "wrong", ""),
        ("eva", "", ""),
        ("eva", "x" * 5000, ""),
        ("ben", PASSWORD, ""),
        ("ben", PASSWORD, "\uff11\uff12\uff13\uff14\uff15\uff16"),
        ("ben", "wrong", pyotp.TOTP(factor).at(datetime.now(UTC))),
        ("cleo", PASSWORD, ""),
        ("dora", "", ""),
    ):
        with pytest.raises(Refused) as error:
            await access.sign_in(name, password, code)
        told.add(str(error.value))
    assert told == {WRONG}
    records = [fields for _, fields in access.audit.records]
    assert {one["outcome"] for one in records} == {AuditOutcome.FAILURE}
    assert {one["error"] for one in records} == {"wrong name, password or code"}
    assert len(records) == 10
    assert records[0]["source"].user == "?" * 64
    assert "wrong" not in {one["detail"] for one in records}
    assert not any("sessions/" in key for key in access.blobs.contents())


async def test_a_wrong_password_uses_no_code_up(access: Access) -> None:
    factor = new_factor()
    codes, digests = new_recovery_codes()
    await access.account("eva", factor=factor, recovery=digests)
    for code in (pyotp.TOTP(factor).at(datetime.now(UTC)), codes[0]):
        with pytest.raises(Refused):
            await access.sign_in("eva", "wrong", code)
        assert await access.lets_in(await access.sign_in("eva", code=code))
        with pytest.raises(Refused):
            await access.sign_in("eva", code=code)


async def test_a_sign_in_that_cannot_be_recorded_lets_nobody_in(access: Access) -> None:
    await access.account("eva")
    access.audit.error = Unavailable("the log is down")
    with pytest.raises(Unavailable):
        await access.sign_in("eva")
    assert not any("sessions/" in key for key in access.blobs.contents())


async def test_who_signs_out_is_gone_and_in_the_trail(access: Access) -> None:
    secret, other = await access.signed_in("eva"), await access.sign_in("eva")
    who, session = await access.known(secret)
    await access.signing_in.sign_out(session, who.source)
    assert not await access.lets_in(secret)
    assert await access.lets_in(other)
    action, told = access.audit.records[-1]
    assert (action, told["source"].user) == ("sign-out", "eva")


# --- guessing ------------------------------------------------------------------------------------


async def test_who_guesses_from_one_address_shuts_out_nobody_elsewhere(bounded: Access) -> None:
    await bounded.account("eva")
    await bounded.account("ben")
    await fail(bounded, times=FEW.pair)
    assert await is_shut_out(bounded)
    assert bounded.audit.records[-1][1]["error"] == "too many attempts failed"
    with pytest.raises(TooMany, match="too many attempts failed; try again in 15 minutes"):
        await bounded.sign_in("eva")
    assert not await is_shut_out(bounded, by=THERE)
    assert not await is_shut_out(bounded, "ben")


async def test_however_a_name_is_written_its_attempts_count(bounded: Access) -> None:
    await bounded.account("eva")
    for name in ("eva", "EVA", " Eva"):
        await fail(bounded, name)
    assert await is_shut_out(bounded)


async def test_a_success_lets_the_failures_of_the_pair_be_forgotten(bounded: Access) -> None:
    await bounded.account("eva")
    await fail(bounded, times=FEW.pair - 1)
    assert not await is_shut_out(bounded)
    await fail(bounded, times=FEW.pair - 1)
    assert not await is_shut_out(bounded)


async def test_who_guesses_an_account_from_everywhere_shuts_it_out(bounded: Access) -> None:
    await bounded.account("eva")
    await bounded.account("ben")
    for number in range(FEW.account):
        await fail(bounded, by=replace(HERE, host=f"203.0.113.{number}"))
    assert await is_shut_out(bounded, by=THERE)
    assert not await is_shut_out(bounded, "ben", by=THERE)


async def test_who_tries_many_accounts_from_one_address_is_shut_out(bounded: Access) -> None:
    names = [f"n{number}" for number in range(FEW.address + 1)]
    for name in names:
        await bounded.account(name)
    for name in names[: FEW.address]:
        await fail(bounded, name)
    assert await is_shut_out(bounded, names[-1])
    assert not await is_shut_out(bounded, names[-1], by=THERE)


async def test_after_the_window_attempts_do_not_count(bounded: Access, clock: Clock) -> None:
    await bounded.account("eva")
    await fail(bounded, times=FEW.pair)
    clock.move(seconds=WINDOW.total_seconds() - 5)
    assert await is_shut_out(bounded)
    clock.move(seconds=10)
    assert not await is_shut_out(bounded)


async def test_attempts_count_in_every_process(bounded: Access) -> None:
    await bounded.account("eva")
    other = bounded.another()
    other.doors = replace(other.doors, attempts=Attempts(other.storage, bounds=FEW))
    await fail(other, times=FEW.pair)
    assert await is_shut_out(bounded)


async def test_attempts_are_counted_under_names_that_say_nothing_of_people(access: Access) -> None:
    await access.account("eva")
    await fail(access)
    keys = [key for key in access.blobs.contents() if key.startswith(ATTEMPTS)]
    assert len(keys) == 3
    assert not any("eva" in key or HERE.host in key for key in keys)


async def test_by_default_five_of_a_pair_fail(access: Access) -> None:
    assert Bounds() == Bounds(pair=5, account=50, address=100)
    await access.account("eva")
    await fail(access, times=5)
    assert await is_shut_out(access)
