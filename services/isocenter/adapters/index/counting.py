"""Counts of the SQLite index: the answers to a search, without reading any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isocenter.adapters.index.conditions import TOP, Condition
from isocenter.adapters.index.planning import Plan
from isocenter.core.attributes import BY_TAG
from isocenter.core.matching import Criterion, Equal, Level

COUNTED = {Level.SERIES: "series", Level.INSTANCE: "instances"}  # columns of studies

# Levels whose conditions select the rows that are counted.
_OWN: Mapping[Level, tuple[Level, ...]] = {
    Level.PATIENT: TOP, Level.STUDY: TOP, Level.SERIES: (Level.SERIES,), Level.INSTANCE: (),
}  # fmt: skip

Statement = tuple[str, list[Any]]  # SQL, and its parameters

# Of the built-in attributes `core.attributes` keeps one value.
_SINGLE_VALUED = frozenset({"DA", "TM", "DT"})


def statement(what: Plan, *, few_in_order: bool) -> Statement | None:
    """SQL that counts the answers; None: they must be walked. `few_in_order`: the study date leaves
    so few studies that it is the best way to find them."""
    covered = {id(c.criterion) for c in what.conditions if c.exact} | {id(what.order.settled)}
    criteria = (*what.top, *what.series, *what.instances)
    if len(what.instances) > 1 or not all(id(criterion) in covered for criterion in criteria):
        return None
    top = [c for c in what.conditions if c.level in TOP]
    below = [c for c in what.conditions if c.level not in TOP]
    own = [c for c in what.conditions if c.level in _OWN[what.search.level]]
    if own and len(own) == len(what.conditions) and _of_terms_alone(what, own):
        some = " INTERSECT ".join([condition.own for condition in own])
        return f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({some}))", _values(own)  # noqa: S608
    if below:
        if not all(map(_countable, what.instances)):
            return None
        return _of_series(what, top, below, few_in_order=few_in_order)
    counted = COUNTED.get(what.search.level)
    sums = f"coalesce(sum({counted}), 0)" if counted else "count(*)"
    where, values = _within(what, top, few_in_order=few_in_order)
    return f"SELECT {sums} FROM {what.table} e WHERE {where}", values  # noqa: S608 - names are ours


def _countable(criterion: Criterion) -> bool:
    """Whether no instance has several terms that a criterion accepts."""
    if criterion.vr in _SINGLE_VALUED and criterion.tag in BY_TAG:
        return True
    return len(criterion.alternatives) == 1 and isinstance(criterion.alternatives[0][0], Equal)


def _of_terms_alone(what: Plan, conditions: Sequence[Condition]) -> bool:
    """Whether conditions need not be narrowed to the partition, the range of the order and the
    scope."""
    everything = what.order.settled is None and not what.scope.sql
    return everything and any(c.in_partition for c in conditions)


def _of_series(
    what: Plan, top: Sequence[Condition], below: Sequence[Condition], *, few_in_order: bool
) -> Statement:
    """Series, or the instances of series, by attributes of their own."""
    series = [c for c in below if c.level is Level.SERIES]
    column, values = "id", []
    if what.instances:
        (shares,) = [c for c in below if c.level is Level.INSTANCE]
        select = shares.own.replace("SELECT series", "SELECT coalesce(sum(n), 0)", 1)
        column, values = "series", list(shares.values)
    elif what.search.level is Level.INSTANCE:
        select = "SELECT coalesce(sum(instances), 0) FROM series WHERE instances > 0"
    else:
        select = "SELECT count(*) FROM series WHERE instances > 0"
    text = select + "".join(f" AND {column} IN ({c.own})" for c in series)
    values += _values(series)
    if top or not _of_terms_alone(what, below):
        where, more = _within(what, top, few_in_order=few_in_order)
        text += (
            f" AND {column} IN (SELECT id FROM series WHERE study IN"  # noqa: S608 - names are ours
            f" (SELECT id FROM studies e WHERE {where}))"
        )
        values += more
    return text, values


def _within(what: Plan, top: Sequence[Condition], *, few_in_order: bool) -> tuple[str, list[Any]]:
    """The patients or studies within the range of the order and the scope that the conditions
    leave. At most the
    first, cheapest condition looks rows up; those with a + test them."""
    where = [f"{'+' if i or few_in_order else ''}id IN ({c.own})" for i, c in enumerate(top)]
    return (
        " AND ".join([*where, "sort > ?", "sort < ?"]) + what.scope.further,
        [*_values(top), what.order.low, what.order.high, *what.scope.values],
    )


def _values(conditions: Sequence[Condition]) -> list[Any]:
    return [value for condition in conditions for value in condition.values]
