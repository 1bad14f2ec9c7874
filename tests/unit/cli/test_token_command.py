"""`isocenter token`: what programs show, from the command line."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.app import Process
from isocenter.core.access import Caller
from isocenter.runtime.access.tokens import Token
from support.access_rig import HERE
from support.audited import AllCommands

SHOWN = re.compile(r"iso_([0-9a-f]{16})_([A-Za-z0-9_-]{43})\n")


async def _caller(isocenter: AllCommands, shown: str) -> Caller | None:
    env = Process(isocenter.trail.settings)
    try:
        return await (await env.doors()).tokens.caller(shown.strip())
    finally:
        await env.close()


async def _ended(isocenter: AllCommands) -> None:
    env = Process(isocenter.trail.settings)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    token = Token(name="old", digest="0" * 64, roles=("viewer",), ends_at=yesterday)
    try:
        await (await env.doors()).tokens.make(token, "x" * 43, HERE)
    finally:
        await env.close()


def test_a_token_is_shown_once_listed_and_revoked(isocenter) -> None:
    assert isocenter("token", "list") == "there are no tokens\n"
    shown = isocenter(
        "token", "create", "portal", "--role", "viewer", "--only", "read", "--only", "search",
        "--group", "night", "--site", "north", "--days", "2",
    )  # fmt: skip
    found = SHOWN.fullmatch(shown)
    assert found
    caller = asyncio.run(_caller(isocenter, shown))
    assert caller is not None
    assert (str(caller), caller.groups, caller.sites) == ("program:portal", ("night",), ("north",))
    assert sorted(one.value for one in caller.rights) == ["read", "search"]
    told = isocenter("token", "list", "--json")
    one = json.loads(told)
    assert (one["id"], one["name"], one["only"]) == (found[1], "portal", ["read", "search"])
    assert one["by"]
    assert "digest" not in one
    for listed in (told, isocenter("token", "list")):
        assert found[2] not in listed
    assert re.match(
        rf"{found[1]}  portal +viewer +until \d{{4}}-\d\d-\d\d\n", isocenter("token", "list")
    )
    assert isocenter("token", "revoke", found[1]) == "revoked: the token of portal\n"
    assert asyncio.run(_caller(isocenter, shown)) is None
    assert isocenter("token", "list", "--json") == ""
    isocenter("token", "revoke", found[1], code=1)
    assert "there is no token" in isocenter.err
    made, revoked = (one.detail for one in isocenter.left())
    assert re.fullmatch(r"token of portal: made, viewer, only read search, until \S+", made)
    assert revoked == f"token {found[1]} of portal: revoked"


def test_without_a_role_a_program_integrates_and_for_a_year(isocenter) -> None:
    isocenter("token", "create", "portal")
    one = json.loads(isocenter("token", "list", "--json"))
    assert (one["roles"], one["only"]) == (["integrator"], None)
    lasts = datetime.fromisoformat(one["ends_at"]) - datetime.fromisoformat(one["made_at"])
    assert round(lasts / timedelta(days=1)) == 365


def test_a_token_that_has_ended_is_listed_as_that(isocenter) -> None:
    asyncio.run(_ended(isocenter))
    assert re.search(r"old +viewer +ended \d{4}-\d\d-\d\d\n", isocenter("token", "list"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--role", "king"), "this is no token: roles.0: .*is no role"),
        (("--only", "look"), "'look' is not a valid Right\n  fix: rights are search, read"),
        (("--days", "0"), "a token lasts up to 3660 days"),
    ],
)
def test_mistakes_are_explained_and_make_no_token(isocenter, words, why) -> None:
    assert isocenter("token", "create", "portal", *words, code=1) == ""
    assert re.search(f"^error: .*{why}", isocenter.err)
    assert isocenter.left() == []
