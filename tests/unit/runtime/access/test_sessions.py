"""Sessions of browsers: how they begin, and all the ways in which they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from isocenter.core.access import Right
from isocenter.core.errors import NotFound
from isocenter.runtime.access.sessions import Session, id_of
from support.access_rig import ANOTHER, BROWSER, HERE, Access, Clock, kept

IDLE, LONGEST = timedelta(minutes=60), timedelta(hours=12)  # the settings' defaults


async def test_a_session_is_of_the_account_with_what_it_may(access: Access) -> None:
    secret = await access.signed_in("eva", "viewer", groups=("night",), sites=("north",))
    known = await access.session(secret)
    assert known is not None
    assert (str(known.caller), known.caller.roles) == ("person:eva", ("viewer",))
    assert (known.caller.groups, known.caller.sites) == (("night",), ("north",))
    assert (known.session.address, known.session.browser) == (HERE.host, BROWSER)


async def test_a_stolen_id_opens_nothing(access: Access) -> None:
    secret = await access.signed_in("eva")
    known = await access.session(secret)
    assert known is not None
    assert known.id == id_of(secret)
    assert secret not in known.id
    for stolen in (known.id, "", "é", secret[:-1], secret.upper()):
        assert not await access.lets_in(stolen)
    assert await access.lets_in(secret)


async def test_a_session_that_was_found_is_known_without_a_look_until_something_changes(
    access: Access, clock: Clock
) -> None:
    secret = await access.signed_in("eva")
    held = access.doors.held_session
    assert held(secret) is None
    found = await access.doors.by_session(secret, HERE)
    assert found is not None
    assert held(secret) is found
    assert held(found.id) is held(secret + "x") is None
    await access.account("eva", disabled=True)
    assert held(secret) is None
    other = await access.signed_in("ben")
    known = await access.doors.by_session(other, HERE)
    assert known is not None
    clock.move(minutes=2)  # its use is to be noted
    assert held(other) is None
    clock.move(minutes=-2)
    assert held(other) is known
    await access.doors.sessions.end(known.id)
    assert held(other) is None


async def test_secrets_are_long_and_never_the_same(access: Access) -> None:
    account = await access.account("eva")
    secrets = {await access.signing_in.begin(account, BROWSER, HERE) for _ in range(20)}
    assert len(secrets) == 20
    assert min(map(len, secrets)) >= 43


async def test_a_session_that_is_not_used_ends(access: Access, clock: Clock) -> None:
    secret = await access.signed_in("eva")
    clock.ahead = IDLE - timedelta(seconds=5)
    assert await access.lets_in(secret)
    clock.ahead = 2 * IDLE - timedelta(seconds=10)
    assert await access.lets_in(secret)
    clock.ahead += IDLE + timedelta(seconds=1)
    assert not await access.lets_in(secret)


async def test_a_session_ends_however_much_it_is_used(access: Access, clock: Clock) -> None:
    secret = await access.signed_in("eva")
    while clock.ahead < LONGEST - timedelta(minutes=30):
        clock.move(minutes=30)
        assert await access.lets_in(secret)
    clock.move(minutes=31)
    assert not await access.lets_in(secret)


async def test_a_session_that_is_over_stays_so(access: Access, clock: Clock) -> None:
    secret = await access.signed_in("eva")
    clock.ahead = IDLE + timedelta(seconds=1)
    assert not await access.lets_in(secret)
    clock.ahead = timedelta()
    assert not await access.lets_in(secret)


async def test_who_uses_it_all_the_time_writes_once_a_minute(access: Access, clock: Clock) -> None:
    secret = await access.signed_in("eva")
    before = access.blobs.contents()
    for _ in range(5):
        clock.move(seconds=10)
        assert await access.lets_in(secret)
    assert access.blobs.contents() == before
    clock.move(seconds=15)
    assert await access.lets_in(secret)
    assert access.blobs.contents() != before


@pytest.mark.parametrize("days", [-365, -2, 2, 365])
async def test_a_clock_that_jumps_makes_no_session_last(
    access: Access, clock: Clock, days: int
) -> None:
    secret = await access.signed_in("eva")
    clock.move(days=days)
    assert not await access.lets_in(secret)


async def test_clocks_that_differ_a_little_end_nothing(access: Access, clock: Clock) -> None:
    secret = await access.signed_in("eva")
    clock.move(seconds=-30)
    assert await access.lets_in(secret)
    other = access.another()
    clock.move(seconds=-30)
    assert await other.lets_in(secret)


async def test_after_the_clock_was_put_back_people_sign_in_as_before(
    access: Access, clock: Clock
) -> None:
    clock.move(days=30)
    await access.account("eva")  # whose password was set in what is the future then
    clock.move(days=-30)
    assert await access.lets_in(await access.sign_in("eva"))


# --- what ends one -------------------------------------------------------------------------------


async def test_another_password_ends_all_that_began_before(access: Access) -> None:
    old = [await access.signed_in("eva"), await access.sign_in("eva")]
    account = await access.doors.accounts.get("eva")
    other = {"password": kept(ANOTHER), "since": datetime.now(UTC)}
    await access.doors.accounts.keep(account.model_copy(update=other), HERE)
    assert not any([await access.lets_in(one) for one in old])
    assert await access.lets_in(await access.sign_in("eva", ANOTHER))


async def test_who_is_shut_out_has_no_session(access: Access) -> None:
    secret, ada = await access.signed_in("eva"), await access.signed_in("ada")
    account = await access.doors.accounts.get("eva")
    await access.doors.accounts.keep(account.model_copy(update={"disabled": True}), HERE)
    assert not await access.lets_in(secret)
    assert await access.lets_in(ada)
    await access.doors.accounts.keep(account, HERE)
    assert not await access.lets_in(secret)  # it has ended, and does not come back


async def test_without_the_account_there_is_no_session(access: Access) -> None:
    secret = await access.signed_in("eva")
    await access.doors.accounts.remove("eva", HERE)
    assert not await access.lets_in(secret)
    await access.account("eva")
    assert not await access.lets_in(secret)


async def test_other_roles_count_in_a_session_that_there_is(access: Access) -> None:
    secret = await access.signed_in("eva", "administrator")
    assert Right.DELETE in (await access.caller(secret)).rights
    account = await access.doors.accounts.get("eva")
    changed = account.model_copy(update={"roles": ("viewer",), "sites": ("south",)})
    await access.doors.accounts.keep(changed, HERE)
    caller = await access.caller(secret)
    assert (caller.roles, caller.sites) == (("viewer",), ("south",))
    assert Right.DELETE not in caller.rights


async def test_a_session_that_somebody_ends_is_over(access: Access) -> None:
    secret, other = await access.signed_in("eva"), await access.sign_in("eva")
    sessions = access.doors.sessions
    assert {one.id for one in await sessions.of("eva")} == {id_of(secret), id_of(other)}
    await sessions.end(id_of(secret))
    await sessions.end(id_of(secret))  # what is over can be ended
    assert not await access.lets_in(secret)
    assert await access.lets_in(other)
    assert [one.id for one in await sessions.all()] == [id_of(other)]
    with pytest.raises(NotFound, match="this session is over"):
        await sessions.get(id_of(secret))
    assert (await sessions.get(id_of(other))).caller.name == "eva"


async def test_sessions_are_listed_the_last_used_first_and_without_those_that_are_over(
    access: Access, clock: Clock
) -> None:
    forgotten = await access.signed_in("eva")
    clock.move(minutes=50)
    first = await access.signed_in("ada")
    clock.move(minutes=5)
    second = await access.signed_in("ben")
    clock.move(minutes=6)
    assert await access.lets_in(first)
    listed = await access.doors.sessions.all()
    assert [one.id for one in listed] == [id_of(first), id_of(second)]
    clock.ahead = timedelta()
    assert not await access.lets_in(forgotten)


async def test_a_session_of_nobody_opens_nothing(access: Access) -> None:
    secret = await access.doors.sessions.begin(Session(person="nobody"), HERE)
    assert not await access.lets_in(secret)


async def test_a_session_is_not_of_a_link_whose_name_somebody_has(access: Access) -> None:
    await access.account("eva")
    begun = Session(person="eva", link="0" * 32)
    assert not await access.lets_in(await access.doors.sessions.begin(begun, HERE))
