"""Criteria of a search as SQL over the tables of `schema`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from isocenter.adapters.index import schema
from isocenter.core.attributes import BY_TAG
from isocenter.core.matching import Between, Criterion, Equal, Level, Test, Wildcard, Word

STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
_STUDY_DATE = "00080020"
_LAST = "\U0010ffff"
_DESCENDING = str.maketrans("0123456789", "9876543210")


class Cost(IntEnum):
    """What it takes to find the entities of a condition."""

    POINT = 0  # a few points of an index
    PREFIX = 1  # one stretch of an index
    RANGE = 2  # a stretch that is often long
    SCAN = 3  # all values of the attribute


@dataclass(frozen=True, slots=True)
class Condition:
    """A superset of the patients or studies that one criterion leaves."""

    ids: str  # SELECT of their ids
    values: tuple[Any, ...]  # its parameters
    cost: Cost
    settles: Criterion | None = None  # the criterion, if the set is exact
    probe: str = ""  # a test of one row of `studies` or `patients`, with the same parameters


@dataclass(frozen=True, slots=True)
class Range:
    """An open interval of `sort`."""

    low: str
    high: str
    settled: Criterion | None = None  # the study date's criterion


def order(partition: str, criteria: Sequence[Criterion]) -> Range:
    """The rows of a partition, of those days if the study date is one range."""
    start = partition + schema.SEPARATOR
    for criterion in criteria:
        match criterion:
            case Criterion(tag="00080020", alternatives=((Equal(term=day),),)):
                low = high = day
            case Criterion(tag="00080020", alternatives=((Between(low=low, high=high),),)):
                pass
            case _:
                continue
        # Descending digits; "00000000" stands for no date and is never in a range.
        newest = "" if high > "99999999" else high.translate(_DESCENDING)
        oldest = (low or "00000001").translate(_DESCENDING)
        return Range(start + newest, start + oldest + _LAST, criterion)
    return Range(start, start + _LAST)


def of(partition: int, level: Level, criterion: Criterion) -> Condition | None:
    """How to look up what a criterion leaves of the patients (PATIENT level) or studies; None
    where there is no index for it."""
    uids = equal_terms(criterion)
    if criterion.tag in _BY_UID:
        if not uids:
            return None
        select = f"{_BY_UID[criterion.tag]} IN ({marks(uids)})"
        settles = criterion if criterion.tag == STUDY_UID else None
        return Condition(select, uids, Cost.POINT, settles)
    row = BY_TAG[criterion.tag]
    if row.level not in (Level.PATIENT, Level.STUDY) or row.tag in schema.WITHOUT_TERMS:
        return None
    number = schema.field(partition, level, row)
    if criterion.words:
        word = _longest_word(criterion)
        number = schema.field(partition, level, row, words=True)
        return _terms(number, *_sounding(word), Cost.PREFIX, None) if word else None
    if uids and len(uids) == len(criterion.alternatives):
        return _terms(number, f"value IN ({marks(uids)})", uids, Cost.POINT, criterion)
    tests = [_test(tests[0]) for tests in criterion.alternatives]
    where = " OR ".join(f"({text})" for text, _, _, _ in tests)
    values = tuple(value for _, parameters, _, _ in tests for value in parameters)
    exact = all(e for *_, e in tests) and all(len(t) == 1 for t in criterion.alternatives)
    cost = max(c for _, _, c, _ in tests)
    return _terms(number, f"({where})", values, cost, criterion if exact else None)


_BY_UID = {
    STUDY_UID: "SELECT id AS entity FROM studies WHERE uid",
    SERIES_UID: "SELECT study AS entity FROM series WHERE uid",
    INSTANCE_UID: "SELECT s.study AS entity FROM versions v JOIN series s ON s.id = v.series"
    " WHERE v.uid",
}


def equal_terms(criterion: Criterion) -> tuple[str, ...]:
    """The terms of a criterion that asks for nothing but equality, else none."""
    found = [
        tests[0].term
        for tests in criterion.alternatives
        if len(tests) == 1 and isinstance(tests[0], Equal)
    ]
    return tuple(found) if len(found) == len(criterion.alternatives) else ()


def marks(values: Sequence[object]) -> str:
    """Parameter marks for these values."""
    return ",".join("?" * len(values))


def _terms(
    number: int, where: str, values: tuple[str, ...], cost: Cost, exact: Criterion | None
) -> Condition:
    ids, probe = _of_terms(where)
    by_point = cost is Cost.POINT and exact
    return Condition(ids, (number, *values), cost, exact, probe if by_point else "")


@lru_cache(maxsize=512)
def _of_terms(where: str) -> tuple[str, str]:
    """SELECT of the ids that have such a term, and the test of one of them."""
    select = f"FROM terms WHERE field = ? AND {where}"
    return f"SELECT row AS entity {select}", f"EXISTS (SELECT 1 {select} AND row = e.id)"


def _test(test: Test) -> tuple[str, tuple[str, ...], Cost, bool]:
    """SQL of one test of a term, its parameters, its cost, and whether it is exact."""
    if isinstance(test, Equal):
        return "value = ?", (test.term,), Cost.POINT, True
    if isinstance(test, Between):
        return "value BETWEEN ? AND ?", (test.low, test.high), Cost.RANGE, True
    where, values = _prefix(test.prefix)
    if test.carets:
        return where, values, Cost.PREFIX if test.prefix else Cost.SCAN, False
    glob = re.sub(r"\*+", "*", test.pattern.replace("[", "[[]"))
    cost = Cost.PREFIX if test.prefix else Cost.SCAN
    return f"{where} AND value GLOB ?", (*values, glob), cost, True


def _prefix(start: str) -> tuple[str, tuple[str, ...]]:
    return "value >= ? AND value < ?", (start, start + _LAST)


def _sounding(word: Word) -> tuple[str, tuple[str, ...]]:
    where, values = _prefix(word.start)
    return (f"({where} OR value = ?)", (*values, word.sound)) if word.sound else (where, values)


def _longest_word(criterion: Criterion) -> Word | None:
    """A word that every matching name has, or one like it; None if there is none: names that match
    a wild card need not hold the key's words."""
    patterns = [t for tests in criterion.alternatives for t in tests if isinstance(t, Wildcard)]
    if any(set(t.pattern.rstrip("*")) & {"*", "?"} for t in patterns):
        return None
    return max(criterion.words, key=lambda word: len(word.start))
