"""A scope (`core.scope`) as an SQL test of one row of `studies` or `patients`.

What a rule looks at stands in the document of a study, so a row is decided upon by its document
alone, however many patients and sites a policy names: SQL calls `core.scope.holds`. The same
studies are looked at again and again, by the same people: what was decided lately is remembered.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from dataclasses import dataclass

import orjson

from isocenter.core.matching import Level
from isocenter.core.scope import EVERYTHING, Scope, holds

_HELD = 256  # scopes of one connection
_DECIDED = 4096  # documents of which it is remembered


@dataclass(frozen=True, slots=True)
class ScopeTest:
    """SQL about the row that is called `e`; empty: it holds of every row."""

    sql: str = ""
    values: tuple[int, ...] = ()

    @property
    def further(self) -> str:
        """The test behind others."""
        return f" AND {self.sql}" if self.sql else ""


class Scopes:
    """The scopes of the searches of one connection, which SQL names by numbers."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._held: OrderedDict[int, tuple[int, Scope]] = OrderedDict()  # by identity
        self._of: dict[int, Scope] = {}  # by number
        self._last = 0
        self._decided: dict[tuple[int, bytes], bool] = {}
        db.create_function("in_scope", 2, self._holds, deterministic=True)

    def test(self, level: Level, scope: Scope | None) -> ScopeTest:
        """The test of the next search. A patient is seen where one of its studies is."""
        if scope is None or scope == EVERYTHING:
            return ScopeTest()
        values = (self._number(scope),)
        if level is not Level.PATIENT:
            return ScopeTest("in_scope(?, e.doc)", values)
        of_patient = "SELECT 1 FROM studies v WHERE v.patient = e.id AND v.instances > 0"
        return ScopeTest(f"EXISTS ({of_patient} AND in_scope(?, v.doc))", values)

    def _number(self, scope: Scope) -> int:
        """Scopes are made once for a caller, so one is known by its identity while it is held."""
        known = self._held.get(id(scope))
        if known is not None:
            self._held.move_to_end(id(scope))
            return known[0]
        self._last += 1
        self._held[id(scope)] = self._last, scope
        self._of[self._last] = scope
        if len(self._held) > _HELD:
            _, (number, _) = self._held.popitem(last=False)
            del self._of[number]
        return self._last

    def _holds(self, number: int, document: bytes) -> bool:
        decided = self._decided.get((number, document))
        if decided is None:
            decided = holds(self._of[number], orjson.loads(document))
            if len(self._decided) >= _DECIDED:
                self._decided.clear()
            self._decided[number, document] = decided
        return decided
