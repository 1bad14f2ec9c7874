"""Tokens of programs: shown once, narrowed, ending, revocable."""

from __future__ import annotations

import math
import re

import pytest

from isocenter.core.access import Kind, Right
from isocenter.core.errors import Invalid, NotFound, Unauthenticated
from isocenter.runtime.access.tokens import MAX_DAYS, Token, is_ours, new_token
from support.access_rig import HERE, Access, Clock

FORM = re.compile(r"iso_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


async def made(access: Access, name: str = "portal", days: float = 1, **more: object) -> str:
    """A token as it is shown."""
    token, secret = new_token(name, ["integrator"], days, **more)  # type: ignore[arg-type]
    return await access.doors.tokens.make(token, secret, HERE)


def id_of(shown: str) -> str:
    return shown.split("_")[1]


async def test_who_shows_a_token_is_the_program_that_it_was_made_for(access: Access) -> None:
    shown = await made(access, groups=["night"], sites=["north"])
    assert FORM.fullmatch(shown)
    assert is_ours(shown)
    caller = await access.doors.by_bearer(shown)
    assert (caller.kind, caller.name, caller.roles) == (Kind.PROGRAM, "portal", ("integrator",))
    assert (caller.groups, caller.sites, caller.only) == (("night",), ("north",), None)
    assert Right.STORE in caller.rights


async def test_a_token_may_leave_less_of_a_role_and_never_more(access: Access) -> None:
    shown = await made(access, only=[Right.READ, Right.DELETE])
    assert (await access.doors.by_bearer(shown)).rights == {Right.READ}
    assert (await access.doors.by_bearer(await made(access, only=[]))).rights == set()


async def test_what_is_kept_lets_nobody_in(access: Access) -> None:
    shown = await made(access)
    ((known,),) = (await access.doors.tokens.all(),)
    assert (known.id, known.token.name, known.by) == (id_of(shown), "portal", HERE.who)
    assert shown.split("_", 2)[2] not in repr(known)
    for forged in (f"iso_{known.id}_{known.token.digest[:43]}", known.token.digest, known.id):
        assert await access.doors.tokens.caller(forged) is None


@pytest.mark.parametrize(
    "wrong",
    ["", "x", "iso_", "iso_0123456789abcdef_" + "x" * 43, "é", "iso_../../x_" + "x" * 43],
)
async def test_what_is_no_token_is_told(access: Access, wrong: str) -> None:
    await made(access)
    with pytest.raises(Unauthenticated, match="not known here, or not any more"):
        await access.doors.by_bearer(wrong)


async def test_the_secret_of_one_token_is_not_that_of_another(access: Access) -> None:
    one, other = await made(access), await made(access)
    mixed = f"iso_{id_of(one)}_{other.split('_', 2)[2]}"
    assert await access.doors.tokens.caller(mixed) is None


async def test_a_token_ends_at_its_time(access: Access, clock: Clock) -> None:
    shown = await made(access, days=2)
    clock.move(days=2, seconds=-5)
    assert await access.doors.tokens.caller(shown)
    clock.move(seconds=6)
    assert await access.doors.tokens.caller(shown) is None
    assert [one.id for one in await access.doors.tokens.all()] == [id_of(shown)]


async def test_a_revoked_token_lets_nobody_in_from_now_on(access: Access) -> None:
    tokens = access.doors.tokens
    one, other = await made(access), await made(access, "other")
    assert await tokens.caller(one)
    await tokens.revoke(id_of(one), HERE)
    assert await tokens.caller(one) is None
    assert await tokens.caller(other)
    assert [known.token.name for known in await tokens.all()] == ["other"]
    with pytest.raises(NotFound, match="there is no token"):
        await tokens.get(id_of(one))


async def test_tokens_are_listed_the_newest_first(access: Access, clock: Clock) -> None:
    for name in ("first", "second", "third"):
        await made(access, name)
        clock.move(seconds=1)
    listed = [one.token.name for one in await access.doors.tokens.all()]
    assert listed == ["third", "second", "first"]


@pytest.mark.parametrize("days", [0, -1, MAX_DAYS + 1, math.nan, math.inf])
def test_a_token_lasts_a_while_and_not_for_ever(days: float) -> None:
    with pytest.raises(Invalid, match=f"up to {MAX_DAYS} days"):
        new_token("portal", ["integrator"], days)


@pytest.mark.parametrize(
    ("name", "roles", "more", "why"),
    [
        ("", ["viewer"], {}, "name: String should have at least 1"),
        ("  ", ["viewer"], {}, "name: String should have at least 1"),
        ("x" * 65, ["viewer"], {}, "name: String should have at most 64"),
        ("portal", ["king"], {}, "roles.0: .*is no role; roles are viewer"),
        ("portal", ["guest"], {}, "is no role"),
        ("portal", ["device"], {}, "is no role"),
        ("portal", ["viewer"], {"sites": ["own"]}, "a site's name"),
        ("portal", ["viewer"], {"groups": ["x" * 65]}, "groups.0"),
    ],
)
def test_what_a_token_cannot_have_is_told(
    name: str, roles: list[str], more: dict[str, list[str]], why: str
) -> None:
    with pytest.raises(Invalid, match=f"this is no token: .*{why}"):
        new_token(name, roles, 1, **more)  # type: ignore[arg-type]


def test_every_token_has_a_secret_of_256_bits() -> None:
    secrets = {new_token("portal", ["viewer"], 1)[1] for _ in range(20)}
    assert len(secrets) == 20
    assert {len(one) for one in secrets} == {43}


def test_what_is_kept_is_read_as_it_was_written() -> None:
    token, _ = new_token("portal", ["viewer"], 1, only=[Right.READ])
    assert Token.model_validate(token.model_dump(mode="json")) == token
