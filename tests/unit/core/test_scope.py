"""Expressions of which studies somebody may see: what they mean, and that they are made simple
without another meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.attributes import SITES
from isocenter.core.matching import JsonAttributes
from isocenter.core.scope import (
    EVERYTHING,
    NOTHING,
    Every,
    Scope,
    Some,
    Without,
    every,
    has,
    holds,
    like,
    some,
    without,
)
from support.index_samples import scopes
from support.policies import study

PATIENT_ID, MODALITIES = "00100020", "00080061"
NORTH = has(SITES.tag, SITES.vr, ["north"])
CT = has(MODALITIES, "CS", ["CT"])
MR = has(MODALITIES, "CS", ["MR"])


@st.composite
def studies(draw: st.DrawFn) -> JsonAttributes:
    """Studies at which the leaves of `scopes` look, and with values that these nearly have."""
    some_of = lambda values: st.lists(st.sampled_from(values), max_size=2, unique=True)  # noqa: E731
    return study(
        draw(st.sampled_from(["1.2.1", "1.2.2", "1.2.3", "1.2.300"])),
        patient=draw(st.sampled_from(["", "ID1", "ID2", "id1", "ID[1]", "xD2", "ID1 "])),
        issuer=draw(st.sampled_from(["", "SITE A", "SITE B"])),
        modalities=draw(some_of(["CT", "MR", "PR"])),
        sites=draw(some_of(["north", "south"])),
    )


# --- what they mean ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "patient", "expected"),
    [
        (["P1"], "P1", True),
        (["P1", "P2"], "P2", True),
        (["P1"], "P1 ", True),  # PS3.5 6.2: padding
        (["P1"], "p1", False),
        (["P1"], "P10", False),
        (["P*"], "P1", False),
        (["P*"], "P*", True),
        (["P?"], "P?", True),
        (["P1"], "", False),
    ],
)
def test_a_study_has_one_of_some_values_as_they_stand(values, patient, expected) -> None:
    assert holds(has(PATIENT_ID, "LO", values), study(patient=patient)) is expected


@pytest.mark.parametrize(
    ("patterns", "patient", "expected"),
    [
        (["P*"], "P1", True),
        (["P*"], "P", True),
        (["P*"], "XP1", False),
        (["P?"], "P1", True),
        (["P?"], "P10", False),
        (["P1"], "P1", True),
        (["P1"], "P10", False),
        (["A*", "*1"], "P1", True),
        (["P.*"], "P1", False),
        (["[P]*"], "P1", False),
        (["*"], "P1", True),
        (["*"], "", False),
    ],
)
def test_a_study_has_a_value_like_one_of_some_patterns(patterns, patient, expected) -> None:
    assert holds(like(PATIENT_ID, "LO", patterns), study(patient=patient)) is expected


def test_of_several_values_of_a_study_one_is_enough() -> None:
    both = study(modalities=["MR", "PR"], sites=["south", "north"])
    assert holds(MR, both)
    assert holds(NORTH, both)
    assert not holds(CT, both)


def test_without_values_there_is_nothing_that_a_study_could_have() -> None:
    assert has(PATIENT_ID, "LO", []) == like(PATIENT_ID, "LO", []) == NOTHING


def test_all_parts_one_part_or_not_the_part_hold() -> None:
    here, there = study(modalities=["CT"], sites=["north"]), study(modalities=["CT"])
    for one, both, either, neither in ((here, True, True, False), (there, False, True, False)):
        assert holds(every([CT, NORTH]), one) is both
        assert holds(some([CT, NORTH]), one) is either
        assert holds(without(some([CT, NORTH])), one) is neither
    assert holds(without(NORTH), there)


def test_everything_and_nothing_are_what_they_say() -> None:
    assert holds(EVERYTHING, {})
    assert not holds(NOTHING, {})
    assert every([]) == EVERYTHING
    assert some([]) == NOTHING


# --- how they are made simple --------------------------------------------------------------------


def test_parts_that_say_nothing_are_left_out() -> None:
    assert every([EVERYTHING, CT, CT]) == CT
    assert some([NOTHING, CT, CT]) == CT
    assert every([CT, NORTH, CT]) == Every((CT, NORTH))
    assert some([CT, NORTH, CT]) == Some((CT, NORTH))


def test_a_part_that_decides_alone_is_all_that_is_left() -> None:
    assert every([CT, NOTHING]) == NOTHING
    assert some([CT, EVERYTHING]) == EVERYTHING


def test_what_is_taken_away_twice_is_there_again() -> None:
    assert without(CT) == Without(CT)
    assert without(without(CT)) == CT
    assert without(NOTHING) == EVERYTHING
    assert without(EVERYTHING) == NOTHING


@given(parts=st.lists(scopes(), max_size=4), one=studies())
def test_simple_ones_hold_where_the_others_do(parts: list[Scope], one: JsonAttributes) -> None:
    assert holds(every(parts), one) is all(holds(part, one) for part in parts)
    assert holds(some(parts), one) is any(holds(part, one) for part in parts)
    for part in parts:
        assert holds(without(part), one) is not holds(part, one)
