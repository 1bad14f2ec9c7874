"""What administrators do with accounts, tokens, sessions and marks: each needs the right, and is in
the audit trail before it is done."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from isocenter.core.access import SYSTEM, Right
from isocenter.core.access_api import Asker
from isocenter.core.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from isocenter.runtime.access.accounts import new_factor
from isocenter.runtime.access.administration import (
    AccessAdministration,
    changed_account,
    mark_of,
    new_account,
)
from isocenter.runtime.access.doors import OPERATOR
from isocenter.runtime.access.marks import Mark
from isocenter.runtime.access.sessions import id_of
from isocenter.runtime.access.tokens import new_token
from support.access_rig import HERE, PASSWORD, Access, asker

ADA = asker("administrator")
MACHINE = Asker(SYSTEM, HERE)
LAST = "is the last who administers accounts; make another administrator first"


class Scene:
    """An installation with something of everything, and who administers it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.session = ""
        self.token = ""
        self.mark = Mark(patient="P1", issuer="HR")

    @property
    def does(self) -> AccessAdministration:
        return self.access.administration

    async def set_up(self) -> Scene:
        await self.access.account("ada", "administrator")
        self.session = id_of(await self.access.signed_in("eva", factor=new_factor()))
        self.token = (await self.make_token(MACHINE)).split("_")[1]
        await self.does.mark(MACHINE, {"patient": "P1", "issuer": "HR"})
        self.access.audit.records.clear()
        return self

    async def make_token(self, who: Asker) -> str:
        token, secret = new_token("portal", ["integrator"], 1, only=[Right.READ])
        return await self.does.make_token(who, token, secret)

    async def disable(self, who: Asker) -> None:
        eva = await self.access.doors.accounts.get("eva")
        await self.does.change(who, changed_account(eva, disabled=True, sites=["south"]))


@pytest.fixture
async def scene(access: Access) -> Scene:
    return await Scene(access).set_up()


Deed = Callable[[Scene, Asker], Awaitable[object]]

LOOKS: dict[str, Deed] = {
    "accounts": lambda s, who: s.does.accounts(who),
    "account": lambda s, who: s.does.account(who, "eva"),
    "tokens": lambda s, who: s.does.tokens(who),
    "sessions": lambda s, who: s.does.sessions(who),
    "marks": lambda s, who: s.does.marks(who),
}
CHANGES: dict[str, tuple[Deed, str]] = {
    "add": (
        lambda s, who: s.does.add(who, new_account("ben", roles=["viewer"], groups=["night"])),
        r"account ben: added, roles viewer, groups night",
    ),
    "change": (
        lambda s, who: s.disable(who),
        r"account eva: set, roles viewer, sites south, disabled",
    ),
    "remove": (lambda s, who: s.does.remove(who, "Eva"), r"account eva: removed"),
    "invite": (lambda s, who: s.does.invite(who, "eva"), r"account eva: one-time link made"),
    "drop factor": (
        lambda s, who: s.does.drop_factor(who, "eva"),
        r"account eva: second factor removed",
    ),
    "make token": (
        lambda s, who: s.make_token(who),
        r"token of portal: made, integrator, only read, until \d{4}-\d\d-\d\d",
    ),
    "revoke token": (
        lambda s, who: s.does.revoke_token(who, s.token),
        r"token [0-9a-f]{16} of portal: revoked",
    ),
    "end session": (
        lambda s, who: s.does.end_session(who, s.session),
        r"session of eva: ended",
    ),
    "mark": (
        lambda s, who: s.does.mark(who, {"study": "1.2", "reason": "staff"}),
        r"marked as confidential: staff",
    ),
    "unmark": (
        lambda s, who: s.does.unmark(who, s.mark.name),
        r"not confidential any more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*LOOKS, *CHANGES])
@pytest.mark.parametrize("role", ["viewer", "technologist", "integrator", "auditor", ""])
async def test_everything_needs_the_right(scene: Scene, name: str, role: str) -> None:
    deed = LOOKS[name] if name in LOOKS else CHANGES[name][0]
    before = scene.access.blobs.contents()
    why = "may not mark" if name in ("mark", "unmark") else "may not access"
    with pytest.raises(Refused, match=f"{why}; of the roles, administrator may"):
        await deed(scene, asker(*filter(None, [role])))
    assert scene.access.blobs.contents() == before
    assert scene.access.audit.records == []


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_in_the_trail_before_it_is_made(scene: Scene, name: str) -> None:
    deed, told = CHANGES[name]
    before = scene.access.blobs.contents()
    scene.access.audit.error = Unavailable("the log is down")
    with pytest.raises(Unavailable):
        await deed(scene, ADA)
    assert scene.access.blobs.contents() == before
    scene.access.audit.error = None
    await deed(scene, ADA)
    assert scene.access.blobs.contents() != before
    ((action, fields),) = scene.access.audit.records
    assert (action, fields["source"]) == ("security", ADA.source)
    assert re.fullmatch(told, fields["detail"])


@pytest.mark.parametrize("name", [*LOOKS, *CHANGES])
async def test_whoever_operates_the_machine_may_do_it_all(scene: Scene, name: str) -> None:
    deed = LOOKS[name] if name in LOOKS else CHANGES[name][0]
    await deed(scene, MACHINE)


async def test_a_token_that_may_only_mark_takes_marks_off_too(scene: Scene) -> None:
    marker = asker("administrator", only=frozenset({Right.MARK}))
    for change in ("mark", "unmark"):
        await CHANGES[change][0](scene, marker)
    assert [one.study for one in await scene.does.marks(ADA)] == ["1.2"]


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (lambda s: s.does.account(ADA, "ben"), "there is no account ben"),
        (lambda s: s.does.change(ADA, new_account("ben")), "there is no account ben"),
        (lambda s: s.does.remove(ADA, "ben"), "there is no account ben"),
        (lambda s: s.does.invite(ADA, "ben"), "there is no account ben"),
        (lambda s: s.does.drop_factor(ADA, "ben"), "there is no account ben"),
        (lambda s: s.does.revoke_token(ADA, "0" * 16), "there is no token"),
        (lambda s: s.does.end_session(ADA, "0" * 32), "this session is over"),
        (lambda s: s.does.unmark(ADA, "0" * 32), "there is no such mark"),
    ],
)
async def test_what_is_not_there_is_told_and_leaves_no_record(
    scene: Scene, deed: Callable[[Scene], Awaitable[object]], why: str
) -> None:
    with pytest.raises(NotFound, match=why):
        await deed(scene)
    assert scene.access.audit.records == []


# --- accounts ------------------------------------------------------------------------------------


async def test_a_new_account_is_entered_by_its_one_time_link(scene: Scene) -> None:
    secret = await scene.does.add(ADA, new_account(" Ben ", roles=["viewer"], shown="Ben B."))
    ben = await scene.does.account(ADA, "ben")
    assert (ben.shown, ben.roles, ben.password) == ("Ben B.", ("viewer",), "")
    assert await scene.access.doors.accounts.invited(secret) == ben


async def test_there_is_one_account_of_a_name(scene: Scene) -> None:
    before = await scene.does.account(ADA, "eva")
    with pytest.raises(Conflict, match="there is an account eva already"):
        await scene.does.add(ADA, new_account("EVA", roles=["administrator"]))
    assert await scene.does.account(ADA, "eva") == before
    assert scene.access.audit.records == []


async def test_a_change_leaves_what_somebody_signs_in_with(scene: Scene) -> None:
    before = await scene.does.account(ADA, "eva")
    forged = {"password": "", "factor": "", "recovery": ["x"], "since": "2001-01-01T00:00:00Z"}
    await scene.does.change(ADA, changed_account(before, roles=["technologist"], **forged))
    after = await scene.does.account(ADA, "eva")
    assert after == before.model_copy(update={"roles": ("technologist",)})


async def test_who_is_removed_has_no_session_and_no_link(scene: Scene) -> None:
    access = scene.access
    secret = await access.signed_in("ben")
    link = await scene.does.invite(ADA, "ben")
    await scene.does.remove(ADA, "ben")
    assert not await access.lets_in(secret)
    assert all(one.session.person != "ben" for one in await scene.does.sessions(ADA))
    with pytest.raises(NotFound):
        await access.doors.accounts.invited(link)


async def test_who_lost_the_second_factor_signs_in_anew_without(scene: Scene) -> None:
    access = scene.access
    secret = await access.signed_in("ben", factor=new_factor(), recovery=("x",))
    await scene.does.drop_factor(ADA, "ben")
    assert not await access.lets_in(secret)
    ben = await scene.does.account(ADA, "ben")
    assert (ben.factor, ben.recovery) == ("", ())
    assert await access.lets_in(await access.sign_in("ben", PASSWORD))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"roles": ["king"]}, "roles.0: .*'king' is no role; roles are viewer"),
        ({"sites": ["own"]}, "sites.0: .*a site's name has up to"),
        ({"shown": "x" * 65}, "shown: String should have at most 64"),
        ({"groups": "night"}, "groups: Input should be a valid tuple"),
        ({"unknown": 1}, "unknown: Extra inputs are not permitted"),
    ],
)
def test_what_an_account_cannot_have_is_told(fields: dict[str, object], why: str) -> None:
    with pytest.raises(Invalid, match=f"this is no account: {why}"):
        new_account("eva", **fields)
    with pytest.raises(Invalid, match=f"this is no account: {why}"):
        changed_account(new_account("eva"), **fields)


def test_what_is_wrong_is_told_without_the_value() -> None:
    with pytest.raises(Invalid) as error:
        new_account("eva", shown="secret" * 20)
    assert "secret" not in str(error.value)


# --- the last administrator ----------------------------------------------------------------------

ENDS: dict[str, Callable[[Access, Asker], Awaitable[None]]] = {}


def _ends(deed: Callable[[Access, Asker], Awaitable[None]]) -> None:
    ENDS[deed.__name__] = deed


@_ends
async def removed(access: Access, who: Asker) -> None:
    await access.administration.remove(who, "ada")


@_ends
async def disabled(access: Access, who: Asker) -> None:
    await _change(access, who, disabled=True)


@_ends
async def made_another(access: Access, who: Asker) -> None:
    await _change(access, who, roles=["viewer", "technologist"])


async def _change(access: Access, who: Asker, **fields: object) -> None:
    ada = await access.doors.accounts.get("ada")
    await access.administration.change(who, changed_account(ada, **fields))


@pytest.mark.parametrize("how", ENDS)
async def test_the_last_administrator_stays(access: Access, how: str) -> None:
    await access.account("ada", "administrator")
    await access.account("eva", "viewer")
    await access.account("ben", "administrator", disabled=True)
    await access.account("cleo", "administrator", password="")
    before = access.blobs.contents()
    with pytest.raises(Refused, match=f"ada {LAST}"):
        await ENDS[how](access, ADA)
    assert access.blobs.contents() == before
    assert access.recorded == []


@pytest.mark.parametrize("how", ENDS)
async def test_one_of_two_administrators_goes(access: Access, how: str) -> None:
    await access.account("ada", "administrator")
    await access.account("ben", "administrator", "viewer")
    await ENDS[how](access, ADA)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("who", [SYSTEM, OPERATOR], ids=["command line", "trusted loopback"])
async def test_whoever_operates_the_machine_removes_the_last_too(
    access: Access, how: str, who: object
) -> None:
    await access.account("ada", "administrator")
    await ENDS[how](access, Asker(who, HERE))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ENDS)
async def test_an_identity_provider_may_know_other_administrators(access: Access, how: str) -> None:
    access.doors = replace(access.doors, provider=object())
    await access.account("ada", "administrator")
    await ENDS[how](access, ADA)


async def test_the_last_administrator_is_changed_otherwise(access: Access) -> None:
    await access.account("ada", "administrator")
    await _change(access, ADA, roles=["administrator", "viewer"], shown="Ada")
    assert (await access.doors.accounts.get("ada")).shown == "Ada"


async def test_who_cannot_sign_in_is_not_the_last(access: Access) -> None:
    await access.account("ada", "administrator", password="")
    await access.administration.remove(ADA, "ada")


# --- tokens and sessions -------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_revoked_by_its_id(scene: Scene) -> None:
    shown = await scene.make_token(ADA)
    caller = await scene.access.doors.by_bearer(shown)
    assert (caller.name, caller.rights) == ("portal", {Right.READ})
    known = [one for one in await scene.does.tokens(ADA) if one.id == shown.split("_")[1]]
    assert [one.by for one in known] == [ADA.source.who]
    assert (await scene.does.revoke_token(ADA, known[0].id)).name == "portal"
    assert await scene.access.doors.tokens.caller(shown) is None


async def test_anybodys_session_is_ended(scene: Scene) -> None:
    access = scene.access
    secret = await access.signed_in("ben")
    assert {one.session.person for one in await scene.does.sessions(ADA)} == {"eva", "ben"}
    await scene.does.end_session(ADA, id_of(secret))
    assert not await access.lets_in(secret)


# --- marks ---------------------------------------------------------------------------------------


async def test_who_looks_at_what_is_confidential_is_in_the_trail(scene: Scene) -> None:
    await scene.does.mark(ADA, {"study": "1.2"})
    assert {(one.patient, one.study) for one in await scene.does.marks(ADA)} == {
        ("P1", ""), ("", "1.2"),
    }  # fmt: skip
    (_, marked), (action, looked) = scene.access.audit.records
    assert (marked["patient_ids"], marked["studies"]) == ((), ("1.2",))
    assert (action, looked["patient_ids"], looked["studies"]) == ("query", ("P1",), ("1.2",))


async def test_the_trail_names_whose_mark_is_taken_off(scene: Scene) -> None:
    await scene.does.unmark(ADA, scene.mark.name)
    ((_, told),) = scene.access.audit.records
    assert (told["patient_ids"], told["detail"]) == (("P1",), "not confidential any more")
    assert await scene.does.marks(ADA) == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"issuer": "HR"},
        {"patient": "P1", "study": "1.2"},
        {"study": "1.2", "issuer": "HR"},
        {"study": "1.x"},
        {"patient": "x" * 65},
        {"patient": "P1", "reason": "x" * 201},
        {"patient": "  "},
    ],
)
def test_what_cannot_be_marked_is_told(fields: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="this cannot be marked"):
        mark_of(fields)
