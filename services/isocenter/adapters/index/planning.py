"""A search of the SQLite index, taken apart: what is walked, and by which conditions."""

from __future__ import annotations

from dataclasses import dataclass

from isocenter.adapters.index.added import numbers_of
from isocenter.adapters.index.conditions import TOP, Condition, Range
from isocenter.adapters.index.conditions import of as condition_of
from isocenter.adapters.index.conditions import order as order_of
from isocenter.adapters.index.ordering import AskedOrder
from isocenter.adapters.index.schema import Connection
from isocenter.adapters.index.scoping import ScopeTest
from isocenter.core.attributes import DEPTH, Attribute, Attributes
from isocenter.core.matching import Criterion, Level, Search, criterion_of


@dataclass(frozen=True, slots=True)
class Plan:
    """A search, taken apart."""

    search: Search
    table: str  # of the entities that are walked
    order: Range  # of `sort`: the partition, narrowed by the study date
    conditions: tuple[Condition, ...]  # of one criterion each, the cheapest first
    top: tuple[Criterion, ...]  # of patients or studies
    series: tuple[Criterion, ...]
    instances: tuple[Criterion, ...]
    wanted: frozenset[str]  # tags to answer with
    asked_order: AskedOrder | None  # instead of that of `sort`
    scope: ScopeTest  # of the entities

    def left(self, *settled: Condition) -> tuple[Criterion, ...]:
        """Criteria of the walked entities that the order and these conditions do not settle."""
        done = {id(self.order.settled), *[id(condition.settles) for condition in settled]}
        return tuple([c for c in self.top if id(c) not in done])


def plan(
    db: Connection, search: Search, attributes: Attributes, partitions: dict[str, int]
) -> Plan | None:
    """Take a search apart; None if nothing is known of its partition. Raises `Invalid`.

    `partitions` remembers the numbers of those that have been asked for.
    """
    criteria: list[tuple[Attribute, Criterion]] = []
    for key in search.keys:
        row = attributes.searchable(key.tag, search.level)
        if row and (criterion := criterion_of(search, key)):
            criteria.append((row, criterion))
    partition = partitions.get(search.partition)
    if partition is None:
        name = (search.partition,)
        found = db.execute("SELECT id FROM partitions WHERE name = ?", name).fetchone()
        if found is None:
            return None
        partition = partitions[search.partition] = found[0]
    top = tuple([c for row, c in criteria if row.level in TOP])
    # Asked anew each time: another process may have begun to fill them.
    numbers = numbers_of(db, attributes) if any(row.added for row, _ in criteria) else {}
    conditions = [
        condition_of(partition, search.level, row, c, numbers.get(row.tag, 0))
        for row, c in criteria
    ]
    return Plan(
        search,
        table="patients" if search.level is Level.PATIENT else "studies",
        order=order_of(search.partition, top),
        conditions=tuple(sorted(filter(None, conditions), key=_cost)),
        top=top,
        series=tuple([c for row, c in criteria if row.level is Level.SERIES]),
        instances=tuple([c for row, c in criteria if row.level is Level.INSTANCE]),
        wanted=attributes.answered(search.level, search.include, everything=search.include_all),
        asked_order=AskedOrder(partition, search.order) if search.order else None,
        scope=db.scopes.test(search.level, search.scope),
    )


def _cost(condition: Condition) -> tuple[int, int]:
    return condition.cost, DEPTH[condition.level]
