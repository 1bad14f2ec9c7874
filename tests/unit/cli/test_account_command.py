"""`isocenter account`: people with a password, from the command line."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from isocenter.app import Process
from isocenter.core.events import AuditAction
from support.access_rig import HERE, kept
from support.audited import AllCommands

LINK = re.compile(r"http://localhost:8080/invitation/[A-Za-z0-9_-]{43}\n")


def listed(isocenter: AllCommands) -> list[dict[str, object]]:
    return [json.loads(line) for line in isocenter("account", "list", "--json").splitlines()]


async def _keep(isocenter: AllCommands, name: str, **fields: object) -> None:
    env = Process(isocenter.trail.settings)
    try:
        accounts = (await env.doors()).accounts
        account = await accounts.get(name)
        await accounts.keep(account.model_copy(update=fields), HERE)
    finally:
        await env.close()


def keep(isocenter: AllCommands, name: str, **fields: object) -> None:
    """What is not set by verbs."""
    asyncio.run(_keep(isocenter, name, **fields))


def test_accounts_are_made_changed_listed_and_removed(isocenter) -> None:
    assert isocenter("account", "list") == "there are no accounts\n"
    said = ("--role", "viewer", "--role", "auditor", "--group", "night", "--site", "north")
    assert LINK.fullmatch(isocenter("account", "add", "Eva", *said, "--shown", "Eva K."))
    assert listed(isocenter) == [
        {
            "name": "eva", "shown": "Eva K.", "roles": ["viewer", "auditor"], "groups": ["night"],
            "sites": ["north"], "disabled": False, "password": False, "second_factor": False,
        }
    ]  # fmt: skip
    assert re.fullmatch(
        r"eva +viewer auditor +no password yet, north, Eva K\.\n", isocenter("account", "list")
    )
    assert isocenter("account", "set", "EVA", "--role", "viewer", "--disable") == "set: eva\n"
    (eva,) = listed(isocenter)
    assert (eva["roles"], eva["groups"], eva["disabled"]) == (["viewer"], ["night"], True)
    assert "disabled" in isocenter("account", "list")
    assert isocenter("account", "set", "eva", "--enable") == "set: eva\n"
    assert isocenter("account", "remove", "eva") == "removed: eva\n"
    assert listed(isocenter) == []
    records = isocenter.left()
    assert {one.action for one in records} == {AuditAction.SECURITY}
    assert [one.detail for one in records] == [
        "account eva: added, roles viewer auditor, groups night, sites north",
        "account eva: set, roles viewer, groups night, sites north, disabled",
        "account eva: set, roles viewer, groups night, sites north",
        "account eva: removed",
    ]
    assert all(one.source.protocol == "CLI" and one.source.user for one in records)


def test_who_forgot_the_password_or_lost_the_factor_is_helped(isocenter) -> None:
    first = isocenter("account", "add", "eva", "--role", "viewer")
    isocenter("account", "add", "Eva", "--role", "viewer", code=1)
    assert "there is an account eva already" in isocenter.err
    second = isocenter("account", "invite", "Eva")
    assert LINK.fullmatch(second)
    assert first != second
    keep(isocenter, "eva", password=kept(), factor="A" * 32, recovery=("x",))
    (eva,) = listed(isocenter)
    assert (eva["password"], eva["second_factor"]) == (True, True)
    assert "second factor" in isocenter("account", "list")
    told = isocenter("account", "drop-factor", "eva")
    assert told == "eva signs in without a second factor now\n"
    assert [one["second_factor"] for one in listed(isocenter)] == [False]


def test_whoever_operates_the_machine_removes_the_last_administrator_too(isocenter) -> None:
    isocenter("account", "add", "ada", "--role", "administrator")
    keep(isocenter, "ada", password=kept())
    assert isocenter("account", "remove", "ada") == "removed: ada\n"


def test_a_link_has_the_address_by_which_people_call_us(isocenter, monkeypatch) -> None:
    monkeypatch.setenv("ISOCENTER_WEB__PUBLIC_URL", "https://pacs.example.org")
    link = isocenter("account", "add", "eva", "--role", "viewer")
    assert link.startswith("https://pacs.example.org/invitation/")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("add", "eva", "--role", "king"), "roles.0: .*'king' is no role; roles are viewer"),
        (("add", "e va"), "no name of an account"),
        (("set", "eva", "--role", "viewer"), "there is no account eva"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(isocenter, words, why) -> None:
    isocenter("account", *words, code=1)
    assert re.search(f"^error: .*{why}", isocenter.err)
    assert isocenter.left() == []


def test_without_a_data_directory_nothing_is_made(isocenter, tmp_path) -> None:
    nowhere = tmp_path / "nowhere"
    isocenter("account", "list", "--data", str(nowhere), on_data=False, code=1)
    assert "does not exist" in isocenter.err
    assert not nowhere.exists()
