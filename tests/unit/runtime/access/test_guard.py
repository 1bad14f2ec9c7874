"""Decisions for the services, by the policy in force and what is known of a study."""

from __future__ import annotations

import pytest

from isocenter.core.access import (
    OF_STUDIES,
    OWN,
    SYSTEM,
    Caller,
    Kind,
    Marks,
    Patient,
    Policy,
    Right,
    scope,
)
from isocenter.core.errors import NotFound, Refused, Unavailable
from isocenter.core.scope import EVERYTHING, NOTHING
from isocenter.runtime.access.guard import PolicyGuard
from support.policies import KnownStudies, allow, deny, facts_of, guard_of, person, study, withheld

NORTH, SOUTH = study("1.2", sites=["north"]), study("1.3", sites=["south"])
RULES = (allow(sites=(OWN,)),)
VIEWER = person("viewer", sites=("north",))
ADMINISTRATOR = person("administrator", sites=("north",))


class Rig:
    """A guard, the policy that it goes by, and what it asks."""

    def __init__(self, *rules, marks: Marks | None = None) -> None:
        self.policy = Policy(rules or RULES, marks or Marks())
        self.query = KnownStudies(NORTH, SOUTH)
        self.guard = PolicyGuard(lambda: self.policy, facts_of(self.query))


async def test_a_study_is_decided_upon_by_what_is_known_of_it() -> None:
    rig = Rig()
    await rig.guard.check(VIEWER, Right.READ, "main", "1.2")
    with withheld("no rule lets person:eva read this study"):
        await rig.guard.check(VIEWER, Right.READ, "main", "1.3")


async def test_what_is_withheld_is_to_others_as_if_it_were_not_there() -> None:
    with pytest.raises(NotFound):
        await Rig().guard.check(VIEWER, Right.READ, "main", "1.3")


async def test_a_study_of_which_nothing_is_known_is_withheld() -> None:
    rig = Rig()
    for partition, uid in (("main", "1.9"), ("other", "1.2")):
        with withheld("nothing is known of the study"):
            await rig.guard.check(VIEWER, Right.READ, partition, uid)


async def test_without_facts_only_who_may_everything_may_anything() -> None:
    guard = PolicyGuard(lambda: Policy(RULES))
    with withheld("nothing is known of the study"):
        await guard.check(VIEWER, Right.READ, "main", "1.2")
    await guard.check(SYSTEM, Right.READ, "main", "1.2")
    await PolicyGuard(Policy).check(VIEWER, Right.READ, "main", "1.2")


@pytest.mark.parametrize("right", sorted(OF_STUDIES, key=lambda one: one.value))
async def test_who_may_something_with_all_studies_waits_for_no_facts(right) -> None:
    rig = Rig(allow())
    rig.query.error = Unavailable("the index is down")
    await rig.guard.check(ADMINISTRATOR, right, "main", "1.2")
    await rig.guard.check(SYSTEM, right, "main", "1.2")
    assert rig.query.asked == []


async def test_what_a_role_does_not_allow_is_refused_before_anything_is_looked_at() -> None:
    rig = Rig()
    why = r"person:eva \(viewer\) may not delete; of the roles, administrator may"
    with pytest.raises(Refused, match=why):
        await rig.guard.check(VIEWER, Right.DELETE, "main", "1.2")
    assert rig.query.asked == []


async def test_a_right_that_no_rule_binds_is_the_same_for_every_study() -> None:
    rig = Rig(deny())
    await rig.guard.check(ADMINISTRATOR, Right.AES, "main", "1.2")
    with pytest.raises(Refused):
        await rig.guard.check(VIEWER, Right.AES, "main", "1.2")
    assert rig.query.asked == []


async def test_while_nothing_can_be_known_nothing_is_decided() -> None:
    rig = Rig()
    rig.query.error = Unavailable("the index is down", fix="start it")
    with pytest.raises(Unavailable, match="start it"):
        await rig.guard.check(VIEWER, Right.READ, "main", "1.2")


async def test_a_link_and_an_emergency_are_decided_upon_too() -> None:
    rig = Rig(allow(sites=("north",)), marks=Marks(studies=("1.2",)))
    link = Caller(Kind.LINK, "L1", ("guest",), studies=("1.2",))
    await rig.guard.check(link, Right.READ, "main", "1.2")
    with withheld("another study"):
        await rig.guard.check(link, Right.READ, "main", "1.3")
    with withheld("confidential"):
        await rig.guard.check(VIEWER, Right.READ, "main", "1.2")
    guard = guard_of((), study("1.4", patient="P1"))
    await guard.check(person("viewer", emergencies=(Patient("P1"),)), Right.READ, "main", "1.4")


def test_a_right_is_required_whatever_the_studies() -> None:
    guard = Rig(deny()).guard
    guard.require(VIEWER, Right.READ)
    guard.require(SYSTEM, Right.AUDIT)
    with pytest.raises(Refused, match="of the roles, technologist, integrator, administrator may"):
        guard.require(VIEWER, Right.STORE)
    with pytest.raises(Refused, match="was not given the right to read"):
        guard.require(person("viewer", only=frozenset({Right.SEARCH})), Right.READ)


def test_a_scope_is_that_of_the_policy() -> None:
    rig = Rig()
    assert rig.guard.scope(VIEWER, Right.READ) == scope(rig.policy, VIEWER, Right.READ)
    assert rig.guard.scope(VIEWER, Right.STORE) == NOTHING
    assert rig.guard.scope(SYSTEM, Right.STORE) == EVERYTHING
    assert PolicyGuard(Policy).scope(VIEWER, Right.READ) == EVERYTHING


async def test_the_policy_is_the_one_of_now() -> None:
    rig = Rig()
    await rig.guard.check(VIEWER, Right.READ, "main", "1.2")
    before = rig.guard.scope(VIEWER, Right.READ)
    rig.policy = Policy((*RULES, deny(name="not any more")))
    assert before != rig.guard.scope(VIEWER, Right.READ) == NOTHING
    with withheld("not any more"):
        await rig.guard.check(VIEWER, Right.READ, "main", "1.2")
    with pytest.raises(Refused, match="not any more"):
        rig.guard.check_new(person("technologist"), Right.STORE, NORTH)


async def test_before_it_is_known_what_is_confidential_only_the_installation_decides() -> None:
    known = False
    guard = PolicyGuard(Policy, complete=lambda: known)
    technologist = person("technologist")
    with pytest.raises(Unavailable, match="not known yet what is confidential"):
        guard.scope(VIEWER, Right.SEARCH)
    with pytest.raises(Unavailable, match="not known yet what is confidential"):
        await guard.check(VIEWER, Right.READ, "main", "1.2")
    with pytest.raises(Unavailable, match="not known yet what is confidential"):
        guard.check_new(technologist, Right.STORE, NORTH)
    assert guard.scope(SYSTEM, Right.SEARCH) == EVERYTHING
    await guard.check(SYSTEM, Right.READ, "main", "1.2")
    guard.check_new(SYSTEM, Right.STORE, NORTH)
    await guard.check(ADMINISTRATOR, Right.AES, "main", "1.2")
    known = True
    await guard.check(VIEWER, Right.READ, "main", "1.2")
    guard.check_new(technologist, Right.STORE, NORTH)


def test_what_somebody_brings_is_decided_upon_by_what_it_says() -> None:
    rig = Rig()
    technologist = person("technologist", sites=("north",))
    rig.guard.check_new(technologist, Right.STORE, NORTH)
    with pytest.raises(Refused, match="no rule lets person:eva store this study"):
        rig.guard.check_new(technologist, Right.STORE, SOUTH)
    with pytest.raises(Refused, match=r"\(viewer\) may not store"):
        rig.guard.check_new(VIEWER, Right.STORE, NORTH)
    rig.guard.check_new(SYSTEM, Right.STORE, SOUTH)
    assert rig.query.asked == []
