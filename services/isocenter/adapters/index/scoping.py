"""A scope (`core.scope`) as an SQL test of one row of `studies` or `patients`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from isocenter.adapters.index import schema
from isocenter.adapters.index.conditions import STUDY_UID, marks, narrowing
from isocenter.core.attributes import Attributes
from isocenter.core.matching import Criterion, Equal, Level
from isocenter.core.scope import EVERYTHING, Every, Has, Scope, Some, Without

_MANY = 64  # values beyond which they are one parameter
_SHALLOW = 16  # parts of an expression that need no halves

_Sql = tuple[str, tuple[Any, ...]]  # with its parameters


@dataclass(frozen=True, slots=True)
class ScopeTest:
    """SQL about the row that is called `e`; empty: it holds of every row."""

    sql: str = ""
    values: tuple[Any, ...] = ()

    @property
    def further(self) -> str:
        """The test behind others."""
        return f" AND {self.sql}" if self.sql else ""


def test_of(partition: int, level: Level, scope: Scope | None, table: Attributes) -> ScopeTest:
    """The test of a search of this level. A patient is seen where one of its studies is."""
    if scope is None or scope == EVERYTHING:
        return ScopeTest()
    if level is not Level.PATIENT:
        return ScopeTest(*_sql(partition, "e", scope, table))
    sql, values = _sql(partition, "v", scope, table)
    return ScopeTest(
        f"EXISTS (SELECT 1 FROM studies v WHERE v.patient = e.id AND v.instances > 0 AND {sql})",  # noqa: S608 - names are ours
        values,
    )


def _sql(partition: int, row: str, scope: Scope, table: Attributes) -> _Sql:
    match scope:
        case Has(criterion):
            return _has(partition, row, criterion, table)
        case Every(parts):
            return _joined(" AND ", "1", [_sql(partition, row, part, table) for part in parts])
        case Some(parts):
            return _joined(" OR ", "0", [_sql(partition, row, part, table) for part in parts])
        case Without(part):
            sql, values = _sql(partition, row, part, table)
            return f"NOT {sql}", values


def _joined(word: str, none: str, parts: Sequence[_Sql]) -> _Sql:
    """In halves, since the depth of an expression is bounded."""
    if len(parts) < _SHALLOW:
        sql = word.join(text for text, _ in parts) or none
        return f"({sql})", tuple(value for _, values in parts for value in values)
    middle = len(parts) // 2
    halves = [_joined(word, none, part) for part in (parts[:middle], parts[middle:])]
    return _joined(word, none, halves)


def _has(partition: int, row: str, criterion: Criterion, table: Attributes) -> _Sql:
    attribute = table.searchable(criterion.tag, Level.STUDY)
    assert attribute is not None
    where, values = _accepted(criterion, f"{row}.uid" if criterion.tag == STUDY_UID else "value")
    if criterion.tag == STUDY_UID:
        return where, values
    field = schema.field(partition, Level.STUDY, attribute, 0)
    return (
        f"EXISTS (SELECT 1 FROM terms WHERE field = ? AND {where} AND row = {row}.id)",  # noqa: S608 - names are ours
        (field, *values),
    )


def _accepted(criterion: Criterion, column: str) -> _Sql:
    """SQL of the terms in a column that a criterion accepts."""
    equal = [test.term for (test,) in criterion.alternatives if isinstance(test, Equal)]
    parts: list[_Sql] = []
    if len(equal) > _MANY:
        many = f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - names are ours
        parts.append((many, (json.dumps(equal),)))
    elif equal:
        parts.append((f"{column} IN ({marks(equal)})", tuple(equal)))
    for tests in criterion.alternatives:
        if not isinstance(tests[0], Equal):
            where, values, _, exact = narrowing(replace(criterion, alternatives=(tests,)))
            assert exact
            parts.append((where, values))
    return _joined(" OR ", "0", parts)
