"""Who may do what with which studies, rule by rule; and that a scope is all decisions at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from isocenter.core.access import (
    DEVICE,
    EVERYONE,
    GUEST,
    NOBODY,
    OF_STUDIES,
    OWN,
    ROLES,
    SYSTEM,
    Caller,
    Kind,
    Marks,
    Patient,
    Patients,
    Policy,
    Right,
    Rule,
    decide,
    scope,
)
from isocenter.core.matching import JsonAttributes
from isocenter.core.scope import EVERYTHING, NOTHING, holds
from support.policies import allow, deny, person, study
from support.policy_samples import RIGHTS_OF_STUDIES, callers, policies, studies

SEARCH, READ, STORE, DELETE = Right.SEARCH, Right.READ, Right.STORE, Right.DELETE
LOOKING = {SEARCH, READ, Right.DOWNLOAD}
VIEWER = person("viewer")
P1 = study(patient="P1")


def allowed(
    rules: list[Rule], caller: Caller, one: JsonAttributes, right: Right = READ, **more: Any
) -> bool:
    """What is decided of a study, which the scope says too."""
    policy = Policy(tuple(rules), **more)
    decision = decide(policy, caller, right, one)
    assert holds(scope(policy, caller, right), one) is decision.allowed, decision
    return decision.allowed


# --- roles ---------------------------------------------------------------------------------------

ROLES_THAT_MAY = {
    Right.SEARCH: {"viewer", "technologist", "integrator", "administrator", DEVICE, GUEST},
    Right.READ: {"viewer", "technologist", "integrator", "administrator", DEVICE, GUEST},
    Right.DOWNLOAD: {"viewer", "technologist", "integrator", "administrator", DEVICE, GUEST},
    Right.STORE: {"technologist", "integrator", "administrator", DEVICE},
    Right.DELETE: {"administrator"},
    Right.SHARE: {"viewer", "administrator"},
    Right.MARK: {"administrator"},
    Right.EMERGENCY: {"viewer", "technologist"},
    Right.AES: {"administrator"},
    Right.ACCESS: {"administrator"},
    Right.AUDIT: {"auditor"},
    Right.HOLD: {"auditor"},
}


@pytest.mark.parametrize("right", Right)
def test_a_right_belongs_to_certain_roles(right) -> None:
    for role in (*ROLES, DEVICE, GUEST):
        caller = person(role)
        assert decide(Policy(), caller, right).allowed is (role in ROLES_THAT_MAY[right]), role
        assert allowed([EVERYONE], caller, P1, right) is (role in ROLES_THAT_MAY[right]), role


def test_somebody_with_several_roles_may_what_one_of_them_may() -> None:
    caller = person("auditor", "viewer")
    assert decide(Policy(), caller, Right.AUDIT).allowed
    assert allowed([EVERYONE], caller, P1, READ)
    assert not allowed([EVERYONE], caller, P1, STORE)


@pytest.mark.parametrize("caller", [NOBODY, person(), person("physician")])
def test_without_a_known_role_nothing_is_allowed(caller) -> None:
    assert caller.rights == frozenset()
    for right in Right:
        assert not decide(Policy(), caller, right).allowed
        assert not allowed([EVERYONE], caller, P1, right)
        assert scope(Policy(), caller, right) == NOTHING


def test_of_the_rights_of_a_role_only_those_are_left_that_were_given() -> None:
    caller = person("administrator", only=frozenset({READ, Right.AUDIT}))
    assert caller.rights == {READ}
    assert allowed([EVERYONE], caller, P1, READ)
    assert not allowed([EVERYONE], caller, P1, DELETE)
    assert person("viewer", only=frozenset()).rights == frozenset()


def test_a_rule_gives_nobody_a_right_that_their_role_has_not() -> None:
    assert not allowed([allow(*Right)], VIEWER, P1, DELETE)


def test_the_installation_itself_may_do_everything() -> None:
    marks = Marks((Patient("P1"),), ("1.2",))
    for right in Right:
        assert decide(Policy(()), SYSTEM, right).allowed
        assert allowed([deny()], SYSTEM, P1, right, marks=marks)
        assert scope(Policy((deny(),), marks), SYSTEM, right) == EVERYTHING


def test_rights_over_the_installation_are_not_bound_to_studies() -> None:
    administrator = person("administrator")
    for right in frozenset(Right) - OF_STUDIES - {Right.EMERGENCY, Right.AUDIT, Right.HOLD}:
        assert decide(Policy((deny(),)), administrator, right, P1).allowed


# --- rules ---------------------------------------------------------------------------------------


def test_without_rules_of_its_own_a_policy_allows_what_roles_do() -> None:
    assert Policy().rules == (EVERYONE,)
    assert scope(Policy(), VIEWER, READ) == EVERYTHING


def test_what_nothing_allows_is_denied() -> None:
    assert not allowed([], VIEWER, P1)
    assert scope(Policy(()), VIEWER, READ) == NOTHING
    assert not allowed([allow(SEARCH)], VIEWER, P1, READ)
    assert not allowed([allow(who=("person:otto",))], VIEWER, P1)


@pytest.mark.parametrize("first", ["allow", "deny"])
def test_deny_beats_allow(first) -> None:
    rules = [allow(), deny(patients=(Patients(("P1",)),))]
    rules = rules if first == "allow" else rules[::-1]
    assert not allowed(rules, VIEWER, P1)
    assert allowed(rules, VIEWER, study(patient="P2"))


def test_a_rule_denies_only_the_rights_that_it_names() -> None:
    rules = [allow(), deny(READ)]
    assert allowed(rules, VIEWER, P1, SEARCH)
    assert not allowed(rules, VIEWER, P1, READ)


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("*", True),
        ("person:*", True),
        ("person:eva", True),
        ("role:viewer", True),
        ("group:ward 3", True),
        ("person:otto", False),
        ("person:Eva", False),
        ("program:*", False),
        ("program:eva", False),
        ("role:administrator", False),
        ("group:ward", False),
        ("eva", False),
    ],
)
def test_a_rule_is_about_those_whom_it_names(who, expected) -> None:
    caller = person("viewer", groups=("ward 3",))
    assert allowed([allow(who=(who,))], caller, P1) is expected
    assert allowed([allow(), deny(who=(who,))], caller, P1) is not expected
    assert allowed([allow(who=("person:nobody", who))], caller, P1) is expected


def test_an_ae_is_named_by_its_title() -> None:
    scanner = Caller(Kind.AE, "CT1", (DEVICE,))
    assert allowed([allow(who=("ae:CT1",))], scanner, P1, STORE)
    assert not allowed([allow(who=("ae:CT2", "person:CT1"))], scanner, P1, STORE)


def test_what_a_rule_says_of_studies_must_all_be_true() -> None:
    rules = [allow(sites=("north",), modalities=("CT", "MR"), studies=("1.2", "1.3"))]
    assert allowed(rules, VIEWER, study("1.3", modalities=["MR"], sites=["north"]))
    assert not allowed(rules, VIEWER, study("1.4", modalities=["MR"], sites=["north"]))
    assert not allowed(rules, VIEWER, study("1.3", modalities=["US"], sites=["north"]))
    assert not allowed(rules, VIEWER, study("1.3", modalities=["MR"], sites=["south"]))
    assert not allowed(rules, VIEWER, study("1.3", modalities=["MR"]))


def test_of_the_modalities_of_a_study_a_rule_needs_one() -> None:
    assert allowed([allow(modalities=("PR",))], VIEWER, study(modalities=["CT", "PR"]))
    assert not allowed([allow(), deny(modalities=("PR",))], VIEWER, study(modalities=["CT", "PR"]))


def test_own_sites_are_those_of_the_caller() -> None:
    rules = [allow(sites=(OWN,))]
    north = person("viewer", sites=("north", "east"))
    assert allowed(rules, north, study(sites=["east"]))
    assert allowed(rules, north, study(sites=["south", "north"]))
    assert not allowed(rules, north, study(sites=["south"]))
    assert not allowed(rules, north, study())
    assert not allowed(rules, VIEWER, study(sites=["north"]))
    assert not allowed(rules, VIEWER, study())


def test_beside_their_own_sites_a_rule_may_name_others() -> None:
    rules = [allow(sites=(OWN, "south"))]
    assert allowed(rules, person("viewer", sites=("north",)), study(sites=["north"]))
    assert allowed(rules, person("viewer", sites=("north",)), study(sites=["south"]))
    assert allowed(rules, VIEWER, study(sites=["south"]))
    assert not allowed(rules, VIEWER, study(sites=["north"]))


def test_patients_are_named_by_patterns_and_by_their_issuer() -> None:
    staff = Patients(("EMP*", "X-?"), "HR")
    rules = [allow(), deny(patients=(staff, Patients(("VIP",))))]
    for id_, issuer in (("EMP7", "HR"), ("EMP", "HR"), ("X-1", "HR"), ("VIP", ""), ("VIP", "HR")):
        assert not allowed(rules, VIEWER, study(patient=id_, issuer=issuer)), (id_, issuer)
    for id_, issuer in (("EMP7", "HOSPITAL"), ("EMP7", ""), ("X-12", "HR"), ("emp7", "HR")):
        assert allowed(rules, VIEWER, study(patient=id_, issuer=issuer)), (id_, issuer)


def test_a_study_without_a_patient_id_is_of_no_group() -> None:
    assert not allowed([allow(patients=(Patients(("*",)),))], VIEWER, study())
    assert allowed([allow(), deny(patients=(Patients(("*",)),))], VIEWER, study())


# --- what is confidential ------------------------------------------------------------------------

REACHING = allow(who=("person:eva",), confidential=True)


@pytest.mark.parametrize(
    "marks", [Marks((Patient("P1"),)), Marks((Patient("P1", "HR"),)), Marks(studies=("1.2",))]
)
def test_what_is_marked_is_beyond_rules_that_do_not_reach_it(marks) -> None:
    one, another = study(patient="P1", issuer="HR"), study("1.3", patient="P2")
    assert not allowed([allow()], VIEWER, one, marks=marks)
    assert allowed([allow()], VIEWER, another, marks=marks)
    assert allowed([allow(), REACHING], VIEWER, one, marks=marks)
    assert not allowed([allow(), REACHING], person("viewer", name="otto"), one, marks=marks)


def test_images_of_confidential_patients_come_in_and_more_is_marked() -> None:
    marks = Marks((Patient("P1"),))
    administrator = person("administrator")
    for right in OF_STUDIES:
        expected = right in (STORE, Right.MARK)
        assert allowed([allow()], administrator, P1, right, marks=marks) is expected, right


def test_a_marked_patient_is_that_of_the_issuer_only() -> None:
    marks = Marks((Patient("P1", "HR"),))
    assert allowed([allow()], VIEWER, study(patient="P1", issuer="HOSPITAL"), marks=marks)
    assert allowed([allow()], VIEWER, study(patient="P1"), marks=marks)


def test_a_marked_patient_id_stands_for_itself() -> None:
    marks = Marks((Patient("P*"),))
    assert not allowed([allow()], VIEWER, study(patient="P*"), marks=marks)
    assert allowed([allow()], VIEWER, P1, marks=marks)


def test_a_rule_that_reaches_what_is_confidential_is_still_bound_to_its_studies() -> None:
    rules = [allow(sites=("north",), confidential=True)]
    marks = Marks((Patient("P1"),))
    assert allowed(rules, VIEWER, study(patient="P1", sites=["north"]), marks=marks)
    assert not allowed(rules, VIEWER, study(patient="P1", sites=["south"]), marks=marks)


def test_deny_beats_a_rule_that_reaches_what_is_confidential() -> None:
    marks = Marks((Patient("P1"),))
    assert not allowed([REACHING, deny(sites=("north",))], VIEWER, study(sites=["north"]))
    assert not allowed([REACHING, deny()], VIEWER, P1, marks=marks)


# --- emergencies ---------------------------------------------------------------------------------


def test_in_an_emergency_a_patient_is_seen_whom_nothing_grants() -> None:
    caller = person("viewer", emergencies=(Patient("P1"),))
    for right in LOOKING:
        assert allowed([], caller, P1, right)
        assert allowed([allow()], caller, P1, right, marks=Marks((Patient("P1"),)))
        assert not allowed([], caller, study(patient="P2"), right)
        assert not allowed([], caller, study(), right)


def test_an_emergency_is_about_the_patient_of_an_issuer_where_that_is_known() -> None:
    caller = person("viewer", emergencies=(Patient("P1", "HOSPITAL"),))
    assert allowed([], caller, study(patient="P1", issuer="HOSPITAL"))
    assert not allowed([], caller, study(patient="P1", issuer="HR"))
    assert not allowed([], caller, P1)


@pytest.mark.parametrize("id_", ["*", "P*", "P?", "?1"])
def test_a_patient_id_of_an_emergency_stands_for_itself(id_) -> None:
    caller = person("viewer", emergencies=(Patient(id_),))
    assert allowed([], caller, study(patient=id_))
    assert not allowed([], caller, P1)


def test_an_emergency_lets_nobody_change_anything() -> None:
    caller = person("administrator", emergencies=(Patient("P1"),))
    for right in OF_STUDIES - LOOKING:
        assert not allowed([], caller, P1, right)


def test_deny_beats_an_emergency() -> None:
    caller = person("viewer", emergencies=(Patient("P1"),))
    assert not allowed([allow(), deny(patients=(Patients(("P1",)),))], caller, P1)


def test_an_emergency_gives_no_right_that_was_not_given() -> None:
    caller = person("viewer", emergencies=(Patient("P1"),), only=frozenset({SEARCH}))
    assert allowed([], caller, P1, SEARCH)
    assert not allowed([], caller, P1, READ)


# --- links ---------------------------------------------------------------------------------------


def test_a_link_leads_to_its_studies_and_to_no_other() -> None:
    guest = Caller(Kind.LINK, "L1", (GUEST,), studies=("1.2", "1.3"))
    for rules in ([], [allow()]):
        assert allowed(rules, guest, study("1.2"))
        assert allowed(rules, guest, study("1.3"), SEARCH)
        assert not allowed(rules, guest, study("1.4"))
        assert not allowed(rules, guest, study("1.2"), STORE)
    assert not allowed([allow()], Caller(Kind.LINK, "L2", (GUEST,), studies=()), study("1.2"))


# --- why -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "right", "one", "why"),
    [
        (SYSTEM, READ, P1, "the installation itself may do everything"),
        (VIEWER, READ, None, "person:eva (viewer) may read"),
        (VIEWER, DELETE, P1, "person:eva (viewer) may not delete; of the roles, administrator may"),
        (NOBODY, Right.AUDIT, None,
         "person: (without a role) may not audit; of the roles, auditor may"),
        (person("viewer", only=frozenset()), READ, P1,
         "person:eva was not given the right to read"),
        (VIEWER, READ, P1, "denied by the rule 'not P1'"),
        (VIEWER, READ, study(patient="P2", sites=["north"]), "allowed by the rule 'the north'"),
        (VIEWER, READ, study(patient="P3", sites=["north"]),
         "the study or its patient is confidential"),
        (VIEWER, READ, study(patient="P2"), "no rule lets person:eva read this study"),
        (person("viewer", emergencies=(Patient("P3"),)), READ, study(patient="P3"),
         "emergency access to the patient"),
        (Caller(Kind.LINK, "L", (GUEST,), studies=("1.2",)), READ, P1,
         "the link leads to this study"),
        (Caller(Kind.LINK, "L", (GUEST,), studies=("1.3",)), READ, P1,
         "the link leads to another study"),
    ],
)  # fmt: skip
def test_a_decision_says_why(caller, right, one, why) -> None:
    rules = (
        allow(name="the north", sites=("north",)),
        deny(name="not P1", patients=(Patients(("P1",)),)),
    )
    assert decide(Policy(rules, Marks((Patient("P3"),))), caller, right, one).why == why


# --- all of it -----------------------------------------------------------------------------------


@settings(max_examples=500)
@given(policy=policies(), caller=callers(), right=st.sampled_from(RIGHTS_OF_STUDIES), one=studies())
def test_a_scope_holds_what_decisions_allow(
    policy: Policy, caller: Caller, right: Right, one: JsonAttributes
) -> None:
    decision = decide(policy, caller, right, one)
    event("allowed" if decision.allowed else "denied")
    assert holds(scope(policy, caller, right), one) is decision.allowed, decision
