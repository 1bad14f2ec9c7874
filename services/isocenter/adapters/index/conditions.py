"""Criteria of a search as SQL over the tables of `schema`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from isocenter.adapters.index import schema
from isocenter.core.attributes import Attribute
from isocenter.core.matching import Between, Criterion, Equal, Level, Test, Wildcard, Word

STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
TOP = (Level.PATIENT, Level.STUDY)
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

    criterion: Criterion
    ids: str  # SELECT of their ids
    values: tuple[Any, ...]  # its parameters
    cost: Cost
    level: Level  # of the criterion's attribute
    own: str  # SELECT of the rows of this level, of instances those of their series
    exact: bool  # `own` is no more than what the criterion leaves
    probe: str = ""  # a test of one row of `studies` or `patients`, with the same parameters
    in_partition: bool = True  # `own` is of the partition alone, and of what answers

    @property
    def settles(self) -> Criterion | None:
        """The criterion, if nothing of it is left to be tested in patients and studies."""
        return self.criterion if self.exact and self.level in TOP else None


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


def of(
    partition: int, level: Level, row: Attribute, criterion: Criterion, number: int
) -> Condition | None:
    """How to look up what a criterion of an attribute leaves of the patients (PATIENT level) or
    studies; None where there is no index for it. `number` is that of an added attribute, 0 if the
    index has none."""
    uids = equal_terms(criterion)
    if row.tag in _BY_UID:
        if not uids:
            return None
        found, own = (f"{select} IN ({marks(uids)})" for select in _BY_UID[row.tag])
        exact = row.level is not Level.INSTANCE
        return Condition(
            criterion, found, uids, Cost.POINT, row.level, own, exact, in_partition=False
        )
    if row.tag in schema.WITHOUT_TERMS or (row.added and not number):
        return None
    if row.vr == "SQ":
        return _of_items(partition, level, row, criterion)
    if criterion.words:
        word = _longest_word(criterion)
        field = schema.field(partition, level, row, number, words=True)
        narrowed = (*_sounding(word), Cost.PREFIX, False) if word else None
    else:
        field = schema.field(partition, level, row, number)
        narrowed = narrowing(criterion)
    return _condition(criterion, row.level, field, *narrowed) if narrowed else None


def _of_items(
    partition: int, level: Level, row: Attribute, criterion: Criterion
) -> Condition | None:
    """By the attribute of a sequence's items that is looked up most easily: another one may match
    in another item."""
    found = []
    for item in criterion.items:
        if item.tag in row.items:
            where, values, cost, exact = narrowing(item)
            field = schema.field(partition, level, row, 0, item=item.tag)
            exact = exact and len(criterion.items) == 1
            found.append(_condition(criterion, row.level, field, where, values, cost, exact))
    return min(found, key=lambda condition: condition.cost, default=None)


# Of UIDs: SELECT of the ids of their studies, and of their own rows.
_BY_UID = {
    STUDY_UID: (
        "SELECT id AS entity FROM studies WHERE uid",
        "SELECT id FROM studies WHERE uid",
    ),
    SERIES_UID: (
        "SELECT study AS entity FROM series WHERE uid",
        "SELECT id FROM series WHERE uid",
    ),
    INSTANCE_UID: (
        "SELECT s.study AS entity FROM versions v JOIN series s ON s.id = v.series WHERE v.uid",
        "SELECT series FROM versions WHERE uid",
    ),
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


def narrowing(criterion: Criterion) -> tuple[str, tuple[str, ...], Cost, bool]:
    """SQL of the terms that a criterion accepts, its parameters, its cost, and whether these are no
    more than the accepted ones."""
    uids = equal_terms(criterion)
    if uids:
        return f"value IN ({marks(uids)})", uids, Cost.POINT, True
    tests = [_test(tests[0]) for tests in criterion.alternatives]
    where = " OR ".join(f"({text})" for text, _, _, _ in tests)
    values = tuple(value for _, parameters, _, _ in tests for value in parameters)
    exact = all(e for *_, e in tests) and all(len(t) == 1 for t in criterion.alternatives)
    return f"({where})", values, max(c for _, _, c, _ in tests), exact


def _condition(
    criterion: Criterion,
    level: Level,
    field: int,
    where: str,
    values: tuple[str, ...],
    cost: Cost,
    exact: bool,
) -> Condition:
    ids, own, probe = _of_terms(level, where)
    probed = cost is Cost.POINT and (exact or level not in TOP)
    return Condition(
        criterion, ids, (field, *values), cost, level, own, exact, probe if probed else ""
    )


@lru_cache(maxsize=512)
def _of_terms(level: Level, where: str) -> tuple[str, str, str]:
    """SELECT of the ids of patients or studies, and of the rows of an attribute's own level, that
    have such a term, and the test of one patient or study."""
    if level in TOP:
        own = f"SELECT row FROM terms WHERE field = ? AND {where}"  # noqa: S608 - names are ours
        ids = own.replace("row", "row AS entity", 1)
        return ids, own, f"EXISTS ({own} AND row = e.id)"
    table, column = ("terms", "row") if level is Level.SERIES else ("shares", "series")
    having = f"t.field = ? AND {where}"
    of_series = f"FROM {table} t CROSS JOIN series s ON s.id = t.{column} WHERE {having}"
    found = f"SELECT s.study AS entity {of_series}"
    own = f"SELECT {column} FROM {table} t WHERE {having}"  # noqa: S608 - names are ours
    among = f"series s CROSS JOIN {table} t ON t.{column} = s.id"
    return found, own, f"EXISTS (SELECT 1 FROM {among} WHERE {having} AND s.study = e.id)"  # noqa: S608


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
