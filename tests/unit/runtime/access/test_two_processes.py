"""What is changed in one process counts in the others within `access.follow_seconds`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from isocenter.core.access import Right
from isocenter.runtime.access.administration import changed_account, new_account
from isocenter.runtime.access.sessions import id_of
from isocenter.runtime.access.tokens import new_token
from support.access_rig import ANOTHER, HERE, Access, asker, kept

ADA = asker("administrator")
EVA = asker("viewer", name="eva")
FOR_EVER = 60.0  # the longest that the setting allows


@pytest.fixture
def other(access: Access) -> Access:
    """Another process, which looks again after a moment."""
    return access.another()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.005)


async def test_who_is_made_in_one_is_known_in_the_other_at_once(access: Access) -> None:
    other = access.another(FOR_EVER)
    link = await access.administration.add(ADA, new_account("eva", roles=["viewer"]))
    assert (await other.doors.accounts.invited(link)).name == "eva"
    shown = await access.administration.make_token(ADA, *new_token("portal", ["viewer"], 1))
    assert (await other.doors.by_bearer(shown)).name == "portal"
    session = await access.signed_in("ben")
    assert (await other.caller(session)).name == "ben"
    shared = await access.sharing.share(EVA, "1.2", "Dr. Fox", days=1)
    _, guest = await other.sharing.open_link(shared, "", "", HERE)
    assert (await access.caller(guest)).studies == ("1.2",)


async def test_who_signs_in_again_after_a_change_is_let_in_everywhere_at_once(
    access: Access,
) -> None:
    other = access.another(FOR_EVER)
    session = await access.signed_in("eva")
    assert await other.lets_in(session)  # which now remembers the account
    who, known = await access.known(session)
    account = await access.doors.accounts.get("eva")
    await access.doors.accounts.keep(account.model_copy(update={"disabled": True}), HERE)
    await access.doors.accounts.keep(account.model_copy(update={"password": kept(ANOTHER)}), HERE)
    new = await access.own.set_password(who, known, ANOTHER, ANOTHER, "")
    assert await other.lets_in(new)


async def test_a_revoked_token_is_refused_everywhere(access: Access, other: Access) -> None:
    shown = await access.administration.make_token(ADA, *new_token("portal", ["viewer"], 1))
    assert await other.doors.tokens.caller(shown)
    await access.administration.revoke_token(ADA, shown.split("_")[1])

    async def is_refused() -> bool:
        return await other.doors.tokens.caller(shown) is None

    await until(is_refused)
    assert await access.doors.tokens.caller(shown) is None


async def _ended(access: Access, session: str) -> None:
    await access.administration.end_session(ADA, id_of(session))


async def _removed(access: Access, session: str) -> None:
    await access.administration.remove(ADA, "eva")


async def _disabled(access: Access, session: str) -> None:
    eva = await access.doors.accounts.get("eva")
    await access.administration.change(ADA, changed_account(eva, disabled=True))


async def _without_factor(access: Access, session: str) -> None:
    await access.administration.drop_factor(ADA, "eva")


async def _signed_out(access: Access, session: str) -> None:
    who, known = await access.known(session)
    await access.signing_in.sign_out(known, who.source)


@pytest.mark.parametrize("end", [_ended, _removed, _disabled, _without_factor, _signed_out])
async def test_a_session_that_ends_in_one_is_over_everywhere(
    access: Access, other: Access, end: Callable[[Access, str], Awaitable[None]]
) -> None:
    session = await access.signed_in("eva")
    assert await other.lets_in(session)
    await end(access, session)

    async def is_over() -> bool:
        return not await other.lets_in(session)

    await until(is_over)
    assert not await access.lets_in(session)


async def test_other_roles_count_everywhere(access: Access, other: Access) -> None:
    session = await access.signed_in("eva", "administrator")
    assert Right.DELETE in (await other.caller(session)).rights
    eva = await access.doors.accounts.get("eva")
    await access.doors.accounts.keep(changed_account(eva, roles=["viewer"]), HERE)

    async def is_viewer() -> bool:
        return (await other.caller(session)).roles == ("viewer",)

    await until(is_viewer)


async def test_a_revoked_link_is_over_everywhere(access: Access, other: Access) -> None:
    shared = await access.sharing.share(EVA, "1.2", "Dr. Fox", days=1)
    _, guest = await other.sharing.open_link(shared, "", "", HERE)
    assert await other.lets_in(guest)
    (known,) = await access.sharing.links(EVA)
    await access.sharing.revoke(EVA, known.id)

    async def is_over() -> bool:
        return not await other.lets_in(guest)

    await until(is_over)


async def test_a_one_time_link_that_was_used_in_one_is_used_everywhere(access: Access) -> None:
    other = access.another(FOR_EVER)
    link = await access.administration.add(ADA, new_account("eva", roles=["viewer"]))
    accept = [one.doors.accounts.accept(link, ANOTHER, HERE) for one in (access, other)]
    done = await asyncio.gather(*accept, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in done) <= 1
