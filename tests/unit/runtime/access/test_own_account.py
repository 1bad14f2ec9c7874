"""What people do with their own account: password, second factor, sessions."""

from __future__ import annotations

from datetime import UTC, datetime

import pyotp
import pytest

from isocenter.core.access import Kind
from isocenter.core.access_api import Asker
from isocenter.core.errors import Invalid, NotFound, Refused, TooMany, Unavailable
from isocenter.runtime.access.accounts import RECOVERY_CODES, new_factor
from isocenter.runtime.access.doors import OPERATOR
from isocenter.runtime.access.sessions import FederatedPerson, Session, id_of
from support.access_rig import ANOTHER, BROWSER, HERE, PASSWORD, Access, Clock, asker


def code_of(factor: str) -> str:
    return pyotp.TOTP(factor).at(datetime.now(UTC))


async def set_password(
    access: Access, secret: str, current: str = PASSWORD, password: str = ANOTHER
) -> str:
    who, session = await access.known(secret)
    return await access.own.set_password(who, session, current, password, BROWSER)


async def with_factor(access: Access, secret: str) -> tuple[str, list[str], str]:
    """A second factor, its recovery codes, and the secret of the session that goes on."""
    who, session = await access.known(secret)
    factor = await access.own.new_factor(who, session)
    codes, new = await access.set_factor(who, session, factor, code_of(factor))
    return factor, list(codes), new


async def test_another_password_ends_all_sessions_but_a_new_one(access: Access) -> None:
    secret, other = await access.signed_in("eva"), await access.sign_in("eva")
    new = await set_password(access, secret)
    assert [await access.lets_in(one) for one in (secret, other, new)] == [False, False, True]
    assert access.recorded[-1] == "account eva: password changed"
    assert await access.lets_in(await access.sign_in("eva", ANOTHER))


async def test_who_does_not_know_the_password_sets_none(access: Access) -> None:
    secret = await access.signed_in("eva")
    for wrong in ("", "wrong", ANOTHER):
        with pytest.raises(Refused, match="the current password is wrong"):
            await set_password(access, secret, wrong)
    assert await access.lets_in(secret)
    assert await access.lets_in(await access.sign_in("eva"))


async def test_nobody_guesses_the_current_password_either(access: Access) -> None:
    secret = await access.signed_in("eva")
    for _ in range(5):
        with pytest.raises(Refused):
            await set_password(access, secret, "wrong")
    with pytest.raises(TooMany, match="too many attempts failed"):
        await set_password(access, secret)
    assert await access.lets_in(secret)


async def test_a_password_that_is_not_good_enough_changes_nothing(access: Access) -> None:
    secret = await access.signed_in("eva")
    with pytest.raises(Invalid, match="12 to 256"):
        await set_password(access, secret, password="short")
    assert await access.lets_in(secret)


async def test_what_cannot_be_recorded_is_not_changed(access: Access) -> None:
    secret = await access.signed_in("eva")
    who, session = await access.known(secret)
    before = await access.doors.accounts.get("eva")
    factor = new_factor()
    access.audit.error = Unavailable("the log is down")
    for change in (
        access.own.set_password(who, session, PASSWORD, ANOTHER, BROWSER),
        access.set_factor(who, session, factor, code_of(factor)),
        access.own.drop_factor(who, session, PASSWORD, BROWSER),
        access.own.end_session(who, id_of(secret)),
    ):
        with pytest.raises(Unavailable):
            await change
    assert await access.doors.accounts.get("eva") == before
    assert await access.lets_in(secret)


# --- the second factor ---------------------------------------------------------------------------


async def test_a_second_factor_is_asked_for_from_then_on(access: Access, clock: Clock) -> None:
    secret, other = await access.signed_in("eva"), await access.sign_in("eva")
    factor, codes, new = await with_factor(access, secret)
    assert [await access.lets_in(one) for one in (secret, other, new)] == [False, False, True]
    assert len(codes) == RECOVERY_CODES
    assert access.recorded[-1] == "account eva: second factor set"
    with pytest.raises(Refused):
        await access.sign_in("eva")
    clock.move(seconds=60)
    later = pyotp.TOTP(factor).at(datetime.now(UTC) + clock.ahead)
    assert await access.lets_in(await access.sign_in("eva", code=later))
    assert await access.lets_in(await access.sign_in("eva", code=codes[0]))


async def test_the_code_by_which_a_factor_was_set_signs_in_nobody(access: Access) -> None:
    who, session = await access.known(await access.signed_in("eva"))
    factor = new_factor()
    code = code_of(factor)
    await access.set_factor(who, session, factor, f" {code} ")
    with pytest.raises(Refused):
        await access.sign_in("eva", code=code)


@pytest.mark.parametrize("factor", ["", "A" * 31, "A" * 33, "a" * 32, "A" * 31 + "1", "é" * 32])
async def test_what_is_no_secret_becomes_no_factor(access: Access, factor: str) -> None:
    who, session = await access.known(await access.signed_in("eva"))
    for code in ("", "123456", "abc"):
        with pytest.raises(Invalid, match="the code is not right"):
            await access.set_factor(who, session, factor, code)
    assert not (await access.doors.accounts.get("eva")).factor


async def test_a_factor_of_which_no_code_is_known_is_not_taken(access: Access) -> None:
    secret = await access.signed_in("eva")
    who, session = await access.known(secret)
    factor = new_factor()
    for code in (code_of(new_factor()), "", "\uff11\uff12\uff13\uff14\uff15\uff16"):
        with pytest.raises(Invalid, match="check the clock of the authenticator"):
            await access.set_factor(who, session, factor, code)
    assert await access.lets_in(secret)


async def test_who_knows_the_password_does_without_a_factor_again(access: Access) -> None:
    _, _, secret = await with_factor(access, await access.signed_in("eva"))
    who, session = await access.known(secret)
    with pytest.raises(Refused, match="the current password is wrong"):
        await access.own.drop_factor(who, session, "wrong", BROWSER)
    new = await access.own.drop_factor(who, session, PASSWORD, BROWSER)
    assert [await access.lets_in(one) for one in (secret, new)] == [False, True]
    account = await access.doors.accounts.get("eva")
    assert (account.factor, account.recovery) == ("", ())
    assert access.recorded[-1] == "account eva: second factor removed"
    assert await access.lets_in(await access.sign_in("eva"))


async def test_a_one_time_link_stands_in_for_the_password_and_not_for_the_factor(
    access: Access,
) -> None:
    await with_factor(access, await access.signed_in("eva"))
    before = await access.doors.accounts.get("eva")
    link = await access.doors.accounts.invite("eva", HERE)
    after = await access.doors.accounts.accept(link, ANOTHER, HERE)
    assert (after.factor, after.recovery) == (before.factor, before.recovery)
    assert after.password != before.password


# --- who may -------------------------------------------------------------------------------------


async def test_only_who_signed_in_by_the_account_itself_changes_it(access: Access) -> None:
    who, session = await access.known(await access.signed_in("eva"))
    federated = session.session.model_copy(
        update={"federated": FederatedPerson(subject="1", asked_at=datetime.now(UTC))}
    )
    by_link = session.session.model_copy(update={"link": "0" * 32})
    others = [type(session)("x", one, session.caller) for one in (federated, by_link)]
    for other in (None, *others):
        for change in (
            access.own.set_password(who, other, PASSWORD, ANOTHER, BROWSER),
            access.own.new_factor(who, other),
            access.set_factor(who, other, new_factor(), "123456"),
            access.own.drop_factor(who, other, PASSWORD, BROWSER),
        ):
            with pytest.raises(Refused, match="sign in by the account itself"):
                await change


async def test_who_has_no_account_here_is_told(access: Access) -> None:
    await access.account("eva")
    program = asker("viewer", name="eva").caller
    program = type(program)(Kind.PROGRAM, "eva", ("viewer",))
    for nobody in (asker("viewer", name="ben"), Asker(program, HERE), Asker(OPERATOR, HERE)):
        with pytest.raises(NotFound, match="there is no account here"):
            await access.own.account(nobody)
    assert (await access.own.account(asker("viewer", name="eva"))).name == "eva"


async def test_people_see_and_end_their_own_sessions_only(access: Access) -> None:
    secret, other = await access.signed_in("eva"), await access.sign_in("eva")
    ada = await access.signed_in("ada")
    who, _ = await access.known(secret)
    assert {one.id for one in await access.own.sessions(who)} == {id_of(secret), id_of(other)}
    await access.own.end_session(who, id_of(other))
    assert access.audit.records[-1][0] == "sign-out"
    assert [await access.lets_in(one) for one in (secret, other, ada)] == [True, False, True]
    for not_theirs in (id_of(other), id_of(ada), "", "x"):
        with pytest.raises(NotFound, match="this session is over"):
            await access.own.end_session(who, not_theirs)
    assert await access.lets_in(ada)


async def test_a_link_that_is_called_like_somebody_is_none_of_their_sessions(
    access: Access,
) -> None:
    who, _ = await access.known(await access.signed_in("eva"))
    link = await access.sharing.share(asker("viewer", name="ben"), "1.2", "eva", days=1)
    known = await access.doors.links.behind(link)
    begun = Session(person="eva", link=known.id)
    await access.doors.sessions.begin(begun, HERE)
    assert len(await access.own.sessions(who)) == 1
