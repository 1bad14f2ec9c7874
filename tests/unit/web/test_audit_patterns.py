"""Unusual accesses: each kind is seen where it is, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.audit import AuditFilter, Tally
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.access.sharing import EMERGENCY
from isocenter.web.audit_patterns import (
    ACCESSES,
    ENTRIES,
    FAILURES,
    MANY_SUBJECTS,
    PAST,
    Kind,
    Pattern,
    Subjects,
    busiest,
    by_person,
    emergencies,
    failures,
    in_order,
    many_subjects,
    unusual,
)

RECENT = datetime(2026, 11, 20, tzinfo=UTC)  # a Friday
MONDAY = RECENT + timedelta(days=3)
SATURDAY = RECENT + timedelta(days=1)


def tally(hour: datetime, count: int, who: str = "eva") -> Tally:
    return Tally((hour.strftime("%Y-%m-%dT%H"), who), count)


def past(days: Iterable[int], hours: Iterable[int] = (9, 14), count: int = 10) -> list[Tally]:
    """The same on every one of these days before."""
    return [
        tally(RECENT - timedelta(days=day) + timedelta(hours=hour), count)
        for day in days
        for hour in hours
    ]


WORKDAYS = [day for day in range(1, 29) if (RECENT - timedelta(days=day)).weekday() < 5]


def seen(*recent: Tally, before: Iterable[Tally] | None = None) -> list[tuple[Kind, int]]:
    before = past(WORKDAYS) if before is None else before
    found = unusual(by_person([*before, *recent]), RECENT)
    return [(one.kind, one.count) for one in found]


# --- hours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hour", [8, 9, 10, 13, 14, 15])
def test_the_usual_hours_and_those_next_to_them_are_usual(hour: int) -> None:
    assert seen(tally(MONDAY + timedelta(hours=hour), 5)) == []


@pytest.mark.parametrize("hour", [0, 3, 7, 11, 12, 16, 23])
def test_other_hours_are_not(hour: int) -> None:
    assert seen(tally(MONDAY + timedelta(hours=hour), 5)) == [(Kind.HOURS, 5)]


def test_hours_that_follow_each_other_are_one_pattern() -> None:
    night = [tally(MONDAY + timedelta(hours=hour), 2) for hour in (1, 2, 3, 5)]
    found = unusual(by_person([*past(WORKDAYS), *night]), RECENT)
    assert [(one.since, one.until, one.count, one.days) for one in found] == [
        (MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=4), 6, len(WORKDAYS)),
        (MONDAY + timedelta(hours=5), MONDAY + timedelta(hours=6), 2, len(WORKDAYS)),
    ]


def test_an_hour_worked_in_once_is_no_habit_and_midnight_is_no_border() -> None:
    once = [*past(WORKDAYS), *past([1], hours=[2])]
    assert seen(tally(MONDAY + timedelta(hours=2), 5), before=once) == [(Kind.HOURS, 5)]
    nights = past(WORKDAYS, hours=[23])
    assert seen(tally(MONDAY, 5), before=nights) == []


def test_weekends_are_unusual_for_who_is_always_off() -> None:
    at = SATURDAY + timedelta(hours=9)
    assert seen(tally(at, 5)) == [(Kind.WEEKEND, 5)]
    assert seen(tally(at, 5), before=past(range(1, 29))) == []
    few = past(WORKDAYS[:8])
    assert seen(tally(at, 5), before=few) == []


def test_nothing_is_said_of_who_is_not_known_yet() -> None:
    assert seen(tally(MONDAY + timedelta(hours=3), 500), before=past(WORKDAYS[:4])) == []
    assert seen(tally(MONDAY + timedelta(hours=3), 500), before=[]) == []


def test_only_what_is_recent_is_looked_at() -> None:
    assert seen(before=[*past(WORKDAYS), *past([2], hours=[3], count=500)]) == []


# --- volume --------------------------------------------------------------------------------------


def test_much_more_than_a_usual_day_and_than_ever_is_much() -> None:
    (found,) = unusual(by_person([*past(WORKDAYS), tally(MONDAY + timedelta(hours=9), 61)]), RECENT)
    assert (found.kind, found.count, found.usual, found.most) == (Kind.VOLUME, 61, 20, 20)
    assert (found.since, found.until) == (MONDAY, MONDAY + timedelta(days=1))


@pytest.mark.parametrize("count", [20, 49, 60])
def test_less_is_not(count: int) -> None:
    assert seen(tally(MONDAY + timedelta(hours=9), count)) == []


def test_a_day_as_full_as_others_were_is_not() -> None:
    before = [*past(WORKDAYS[1:], count=2), *past(WORKDAYS[:1], count=50)]
    assert seen(tally(MONDAY + timedelta(hours=9), 149), before=before) == []
    assert seen(tally(MONDAY + timedelta(hours=9), 151), before=before) == [(Kind.VOLUME, 151)]


def test_few_accesses_are_never_much() -> None:
    before = past(WORKDAYS, hours=[9], count=1)
    assert seen(tally(MONDAY + timedelta(hours=9), 49), before=before) == []
    assert seen(tally(MONDAY + timedelta(hours=9), 50), before=before) == [(Kind.VOLUME, 50)]


# --- failures ------------------------------------------------------------------------------------


def entered(hour: int, outcome: AuditOutcome, count: int, who: str = "SCAN9") -> Tally:
    at = MONDAY + timedelta(hours=hour)
    return Tally((at.strftime("%Y-%m-%dT%H"), who, outcome.value), count)


def test_failures_in_a_row_are_one_pattern_until_one_succeeds() -> None:
    bad, worse, good = AuditOutcome.MINOR_FAILURE, AuditOutcome.FAILURE, AuditOutcome.SUCCESS
    found = list(failures([
        entered(1, worse, 4), entered(1, bad, 3), entered(2, worse, 5),  # both hours
        entered(4, worse, 4),  # too few
        entered(6, worse, 50), entered(6, good, 1),  # one got in
        entered(8, worse, 9, "OTHER"),
    ]))  # fmt: skip
    assert [(one.who, one.since.hour, one.until.hour, one.count) for one in found] == [
        ("SCAN9", 1, 3, 12), ("OTHER", 8, 9, 9),
    ]  # fmt: skip
    assert {one.kind for one in found} == {Kind.FAILURES}


# --- many patients -------------------------------------------------------------------------------


def test_hours_with_many_accesses_are_looked_at_the_fullest_first() -> None:
    at = MONDAY + timedelta(hours=9)
    persons = by_person([
        tally(at, MANY_SUBJECTS), tally(at, MANY_SUBJECTS + 1, "ida"), tally(at, 3, "joe"),
        tally(RECENT - timedelta(hours=1), 900), tally(at + timedelta(hours=1), 80),
    ])  # fmt: skip
    assert busiest(persons, RECENT, 9) == [
        ("eva", at + timedelta(hours=1)), ("ida", at), ("eva", at),
    ]  # fmt: skip
    assert busiest(persons, RECENT, 1) == [("eva", at + timedelta(hours=1))]


def test_many_different_patients_in_an_hour_are_told() -> None:
    counted = [
        Subjects("eva", MONDAY, Kind.PATIENTS, MANY_SUBJECTS - 1),
        Subjects("eva", MONDAY, Kind.PATIENTS, MANY_SUBJECTS),
        Subjects("ida", MONDAY, Kind.STUDIES, 90),
    ]
    assert [(one.who, one.kind, one.count) for one in many_subjects(counted)] == [
        ("eva", Kind.PATIENTS, MANY_SUBJECTS), ("ida", Kind.STUDIES, 90),
    ]  # fmt: skip


# --- all -----------------------------------------------------------------------------------------


def test_a_pattern_leads_to_its_records() -> None:
    until = MONDAY + timedelta(hours=1)
    access = Pattern(Kind.HOURS, "eva", MONDAY, until, 3).which
    assert access == AuditFilter(since=MONDAY, until=until, who="eva", actions=ACCESSES)
    failed = Pattern(Kind.FAILURES, "SCAN9", MONDAY, until, FAILURES).which
    assert failed.actions == ENTRIES
    assert AuditOutcome.SUCCESS not in failed.outcomes
    assert failed.outcomes


def test_the_newest_is_first() -> None:
    old, new = (
        Pattern(Kind.HOURS, "eva", at, at + timedelta(hours=1), 1)
        for at in (MONDAY, MONDAY + timedelta(days=1))
    )
    assert in_order([old, new]) == [new, old]


def test_an_emergency_is_told_before_all_else_and_leads_to_its_records() -> None:
    (urgent,) = emergencies([tally(RECENT, 2)])
    assert (urgent.kind, urgent.who, urgent.count) == (Kind.EMERGENCY, "eva", 2)
    later = Pattern(Kind.VOLUME, "tom", MONDAY, MONDAY + timedelta(days=1), 900)
    assert in_order([later, urgent]) == [urgent, later]
    which = urgent.which
    assert which.actions == (AuditAction.SECURITY,)
    assert (which.who, which.since, which.until) == ("eva", RECENT, RECENT + timedelta(hours=1))
    assert which.text == EMERGENCY


def test_nobody_without_a_name_is_compared() -> None:
    assert by_person([tally(MONDAY, 3, "")]) == {}


_TALLIES = st.lists(
    st.tuples(
        st.integers(0, 35 * 24 - 1), st.sampled_from(["eva", "ida", "\u202ex<b>"]),
        st.integers(1, 400),
    ),
    unique_by=lambda one: one[:2],
)  # fmt: skip


@given(_TALLIES)
def test_whatever_happened_patterns_count_what_was_there(made: list[tuple[int, str, int]]) -> None:
    begin = RECENT - PAST
    tallies = [tally(begin + timedelta(hours=hour), count, who) for hour, who, count in made]
    persons = by_person(tallies)
    for one in unusual(persons, RECENT):
        assert one.since >= RECENT
        assert one.count == sum(
            count for hour, count in persons[one.who].items() if one.since <= hour < one.until
        )
