"""Links to a study for others: what they lead to, how often, and until when."""

from __future__ import annotations

import asyncio
import math
import re

import pytest

from isocenter.core.access import Kind, Marks, Right
from isocenter.core.errors import Invalid, NotFound, Refused, TooMany, Unavailable, Withheld
from isocenter.runtime.access.links import MAX_DAYS, KnownLink, Link, ends_after, id_of
from support.access_rig import BROWSER, HERE, THERE, Access, Clock, asker, kept
from support.policies import allow, guard_of, study

OVER = "this link is over; ask whoever sent it for a new one"
PASSCODE = "blue-7"
EVA, BEN, ADA = asker("viewer", name="eva"), asker("viewer", name="ben"), asker("administrator")


@pytest.fixture
def access() -> Access:
    """One who knows two studies, of which viewers may see one."""
    studies = study("1.2", sites=["north"]), study("1.3", sites=["south"])
    return Access(guard=guard_of([allow(sites=("north",))], *studies))


async def shared(access: Access, **more: object) -> str:
    """The secret of a link to 1.2, made by Eva."""
    return await access.sharing.share(EVA, "1.2", "Dr. Fox", **{"days": 1, **more})  # type: ignore[arg-type]


async def with_passcode(access: Access) -> str:
    """The same as `share` makes, but what is kept of the passcode costs less."""
    link = Link(
        study="1.2", label="Dr. Fox", made_by="eva", ends_at=ends_after(1), passcode=kept(PASSCODE)
    )
    return await access.doors.links.make(link, "", HERE)


async def opened(access: Access, secret: str, passcode: str = "") -> str:
    """The secret of a session by a link."""
    _, session = await access.sharing.open_link(secret, passcode, BROWSER, HERE)
    return session


# --- making them ---------------------------------------------------------------------------------


async def test_whoever_opens_a_link_sees_its_study_and_nothing_else(access: Access) -> None:
    caller = await access.caller(await opened(access, await shared(access)))
    assert (caller.kind, caller.studies, caller.emergencies) == (Kind.LINK, ("1.2",), ())
    assert caller.rights == {Right.SEARCH, Right.READ}
    await access.guard.check(caller, Right.READ, "main", "1.2")
    with pytest.raises(Withheld):
        await access.guard.check(caller, Right.READ, "main", "1.3")
    with pytest.raises(Refused):
        await access.guard.check(caller, Right.DOWNLOAD, "main", "1.2")


async def test_a_link_may_let_objects_be_taken_away(access: Access) -> None:
    caller = await access.caller(await opened(access, await shared(access, download=True)))
    await access.guard.check(caller, Right.DOWNLOAD, "main", "1.2")
    for never in (Right.STORE, Right.DELETE, Right.SHARE, Right.EMERGENCY, Right.AUDIT):
        assert never not in caller.rights


async def test_only_who_sees_a_study_and_may_share_makes_a_link(access: Access) -> None:
    for who in ("technologist", "integrator", "auditor"):
        with pytest.raises(Refused, match=f"{who}.* may not share"):
            await access.sharing.share(asker(who), "1.2", "x", days=1)
    for hidden in ("1.3", "1.9"):
        with pytest.raises(NotFound):
            await access.sharing.share(EVA, hidden, "x", days=1)
    lacking = asker("viewer", only=frozenset({Right.SHARE, Right.READ}))
    with pytest.raises(Refused, match="not given the right to download"):
        await access.sharing.share(lacking, "1.2", "x", days=1, download=True)
    assert await access.doors.links.all() == []
    assert access.recorded == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"days": 0}, "lasts up to 366 days"),
        ({"days": MAX_DAYS + 1}, "lasts up to 366 days"),
        ({"days": math.nan}, "lasts up to 366 days"),
        ({"openings": -1}, "any number of times"),
        ({"passcode": "12345"}, "6 to 256 characters"),
        ({"passcode": "x" * 257}, "6 to 256 characters"),
        ({"label": " "}, "for whom"),
        ({"label": "x" * 101}, "for whom"),
    ],
)
async def test_what_no_link_can_have_is_told(access: Access, given: dict, why: str) -> None:
    label = given.pop("label", "Dr. Fox")
    with pytest.raises(Invalid, match=why):
        await access.sharing.share(EVA, "1.2", label, **{"days": 1, **given})
    assert access.blobs.contents() == {}


async def test_a_link_is_in_the_trail_before_it_is_made(access: Access) -> None:
    access.audit.error = Unavailable("the log is down")
    with pytest.raises(Unavailable):
        await shared(access)
    assert access.blobs.contents() == {}
    access.audit.error = None
    await shared(access, openings=3, download=True)
    ((action, told),) = access.audit.records
    assert (action, told["studies"], told["source"]) == ("security", ("1.2",), EVA.source)
    bounds = r"link made for Dr\. Fox: until \S+ \S+ UTC, 3 openings, with download"
    assert re.fullmatch(bounds, told["detail"])


# --- opening them --------------------------------------------------------------------------------


async def test_every_opening_is_counted_and_in_the_trail(access: Access) -> None:
    secret = await shared(access)
    for _ in range(3):
        await opened(access, secret)
    assert await access.doors.links.openings_of(id_of(secret)) == 3
    (_, (action, told), *_) = access.audit.records
    assert (action, told["studies"]) == ("sign-in", ("1.2",))
    assert told["source"].user == f"Dr. Fox ({id_of(secret)[:8]})"
    assert access.recorded[1:] == ["link of eva for Dr. Fox opened"] * 3


async def test_after_its_openings_a_link_is_over_and_what_was_opened_goes_on(
    access: Access,
) -> None:
    secret = await shared(access, openings=2)
    sessions = [await opened(access, secret) for _ in range(2)]
    with pytest.raises(NotFound, match=OVER):
        await access.doors.links.behind(secret)
    with pytest.raises(NotFound, match=OVER):
        await opened(access, secret)
    assert all([await access.lets_in(one) for one in sessions])


@pytest.mark.parametrize("processes", [1, 3])
async def test_of_many_openings_at_the_same_moment_exactly_as_many_succeed(
    access: Access, processes: int
) -> None:
    secret = await shared(access, openings=3)
    doors = [access, *(access.another() for _ in range(processes - 1))]
    opening = [opened(doors[number % processes], secret) for number in range(20)]
    done = await asyncio.gather(*opening, return_exceptions=True)
    assert sum(isinstance(one, str) for one in done) == 3
    assert all(isinstance(one, str | NotFound) for one in done)
    assert await access.doors.links.openings_of(id_of(secret)) == 3


async def test_without_a_bound_all_openings_at_the_same_moment_count(access: Access) -> None:
    secret = await shared(access)
    await asyncio.gather(*(opened(access, secret) for _ in range(8)))
    assert await access.doors.links.openings_of(id_of(secret)) == 8


async def test_a_passcode_is_asked_for_and_a_wrong_one_opens_nothing(access: Access) -> None:
    secret = await with_passcode(access)
    for wrong in ("", "blue-8", PASSCODE + " "):
        with pytest.raises(Refused, match="the passcode is wrong"):
            await opened(access, secret, wrong)
    assert await access.doors.links.openings_of(id_of(secret)) == 0
    failures = [told["error"] for _, told in access.audit.records]
    assert failures == ["the passcode is wrong"] * 3
    assert await access.lets_in(await opened(access, secret, PASSCODE))


async def test_share_keeps_a_passcode_that_opens(access: Access) -> None:
    secret = await shared(access, passcode=PASSCODE)
    known = await access.doors.links.behind(secret)
    assert known.link.passcode.startswith("$argon2id$")
    assert await access.lets_in(await opened(access, secret, PASSCODE))
    assert "with a passcode" in access.recorded[0]


async def test_nobody_goes_on_guessing_a_passcode(access: Access) -> None:
    secret = await with_passcode(access)
    for _ in range(5):
        with pytest.raises(Refused):
            await opened(access, secret, "blue-8")
    with pytest.raises(TooMany, match="too many attempts failed"):
        await opened(access, secret, PASSCODE)
    _, session = await access.sharing.open_link(secret, PASSCODE, BROWSER, THERE)
    assert await access.lets_in(session)


@pytest.mark.parametrize("secret", ["", "x", "../links", "é"])
async def test_what_is_no_link_leads_nowhere(access: Access, secret: str) -> None:
    kept_as = id_of(await shared(access))
    for wrong in (secret, kept_as):
        with pytest.raises(NotFound, match=OVER):
            await opened(access, wrong)


async def test_an_opening_that_cannot_be_recorded_opens_nothing(access: Access) -> None:
    secret = await shared(access)
    before = {key for key in access.blobs.contents() if "sessions/" in key}
    access.audit.error = Unavailable("the log is down")
    with pytest.raises(Unavailable):
        await opened(access, secret)
    assert {key for key in access.blobs.contents() if "sessions/" in key} == before


# --- their end -----------------------------------------------------------------------------------


async def test_after_its_time_a_link_is_over_for_who_opened_it_too(
    access: Access, clock: Clock
) -> None:
    secret = await shared(access, days=0.01)
    session = await opened(access, secret)
    clock.move(days=0.01, seconds=-5)
    assert await access.lets_in(session)
    clock.move(seconds=6)
    assert not await access.lets_in(session)
    with pytest.raises(NotFound, match=OVER):
        await opened(access, secret)


async def test_a_revoked_link_is_over_for_who_opened_it_too(access: Access) -> None:
    secret = await shared(access)
    session = await opened(access, secret)
    await access.sharing.revoke(EVA, id_of(secret))
    assert not await access.lets_in(session)
    with pytest.raises(NotFound, match=OVER):
        await opened(access, secret)
    assert access.recorded[-1] == "link for Dr. Fox: revoked"
    with pytest.raises(NotFound, match="no such link"):
        await access.sharing.revoke(EVA, id_of(secret))
    with pytest.raises(NotFound, match="no such link"):
        await access.doors.links.revoke(id_of(secret), HERE)


async def test_a_link_is_ended_by_who_made_it_and_by_administrators(access: Access) -> None:
    one, other = id_of(await shared(access)), id_of(await shared(access))
    for nobody in (BEN, asker("viewer", name="")):
        assert await access.sharing.links(nobody) == []
        with pytest.raises(NotFound, match="no such link"):
            await access.sharing.revoke(nobody, one)
    for refused in ("technologist", "integrator", "auditor"):
        with pytest.raises(Refused, match="may not share"):
            await access.sharing.links(asker(refused))
        with pytest.raises(Refused, match="may not share"):
            await access.sharing.revoke(asker(refused), one)
    assert {link.id for link in await access.sharing.links(EVA)} == {one, other}
    assert {link.id for link in await access.sharing.links(ADA)} == {one, other}
    await access.sharing.revoke(EVA, one)
    await access.sharing.revoke(ADA, other)
    assert await access.sharing.links(ADA) == []


async def test_a_link_that_cannot_be_recorded_as_revoked_goes_on(access: Access) -> None:
    secret = await shared(access)
    access.audit.error = Unavailable("the log is down")
    with pytest.raises(Unavailable):
        await access.sharing.revoke(EVA, id_of(secret))
    assert await access.doors.links.behind(secret)


async def test_a_link_goes_on_when_who_made_it_has_left_or_may_no_longer_see_the_study(
    access: Access,
) -> None:
    secret = await shared(access)
    session = await opened(access, secret)
    changed = guard_of([allow(sites=("south",))], study("1.2"), marks=Marks(studies=("1.2",)))
    later = Access(access.blobs, guard=changed)
    caller = await later.caller(session)
    await changed.check(caller, Right.READ, "main", "1.2")
    with pytest.raises(Withheld):
        await changed.check(EVA.caller, Right.READ, "main", "1.2")
    assert await later.lets_in(await opened(later, secret))
    assert [one.link.made_by for one in await later.sharing.links(ADA)] == ["eva"]
    await later.sharing.revoke(ADA, id_of(secret))
    assert not await later.lets_in(session)


async def test_links_are_listed_the_newest_first_and_who_looks_is_in_the_trail(
    access: Access, clock: Clock
) -> None:
    made = []
    for _ in range(3):
        made.append(id_of(await shared(access)))
        clock.move(seconds=1)
    assert [one.id for one in await access.sharing.links(EVA)] == made[::-1]
    action, told = access.audit.records[-1]
    assert (action, told["studies"], told["detail"]) == ("query", ("1.2",), "links to studies")


def test_a_link_is_called_by_whom_it_is_for() -> None:
    link = Link(study="1.2", label=" Dr. Fox ", made_by="eva", ends_at=ends_after(1))
    assert KnownLink("0123456789abcdef", link).caller.name == "Dr. Fox (01234567)"
