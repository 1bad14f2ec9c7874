"""Another order of studies than the usual one: rows in pages, each found where the last ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from isocenter.adapters.index.conditions import Condition, Range
from isocenter.adapters.index.schema import order_column
from isocenter.adapters.index.scoping import ScopeTest
from isocenter.core.matching import Order

PAGE = 200


@dataclass(frozen=True, slots=True)
class AskedOrder:
    """The order that a search asks for; equal studies by UID."""

    partition: int
    orders: tuple[Order, ...]

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Columns of `studies`, and whether they descend."""
        return [*((order_column(o.tag), o.descending) for o in self.orders), ("uid", False)]

    @property
    def names(self) -> str:
        """The columns, to be selected."""
        return ", ".join(name for name, _ in self.columns)

    def sort(self, rows: list[tuple[Any, ...]]) -> None:
        """Put rows that begin with these columns in order."""
        for position, (_, descending) in reversed(list(enumerate(self.columns))):
            rows.sort(key=itemgetter(position), reverse=descending)

    def pages(
        self,
        db: sqlite3.Connection,
        within: Range,
        probes: Sequence[Condition],
        scope: ScopeTest,
    ) -> Iterator[list[tuple[str, int, bytes]]]:
        """Sort, id and document of all studies within a range and a scope for which the probes
        hold."""
        # The + keeps SQLite from walking the index of `sort` and sorting what it finds.
        tests = "".join(f" AND {probe.probe}" for probe in probes) + scope.further
        probed = [*(value for probe in probes for value in probe.values), *scope.values]
        directions = ", ".join(f"{name} {'DESC' if d else 'ASC'}" for name, d in self.columns)
        where = ""
        after: list[str] = []
        while True:
            rows = db.execute(
                f"SELECT sort, id, doc, {self.names} FROM studies e"  # noqa: S608 - names are ours
                f" WHERE partition = ? AND +sort > ? AND +sort < ?{tests}{where}"
                f" ORDER BY {directions} LIMIT {PAGE}",
                (self.partition, within.low, within.high, *probed, *after),
            ).fetchall()
            if rows:
                yield [row[:3] for row in rows]
            if len(rows) < PAGE:
                return
            where, after = self._behind(rows[-1][3:])

    def _behind(self, last: Sequence[str]) -> tuple[str, list[str]]:
        """SQL that leaves the rows behind one with these values, and its parameters."""
        alternatives: list[str] = []
        values: list[str] = []
        for position, (name, descending) in enumerate(self.columns):
            equal = "".join(f"{before} = ? AND " for before, _ in self.columns[:position])
            alternatives.append(f"({equal}{name} {'<' if descending else '>'} ?)")
            values += last[: position + 1]
        # The first column by itself as well, so that its index is entered there.
        first, descending = self.columns[0]
        start = f" AND {first} {'<=' if descending else '>='} ?"
        return f"{start} AND ({' OR '.join(alternatives)})", [last[0], *values]
