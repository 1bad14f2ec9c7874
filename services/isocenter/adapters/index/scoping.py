"""A scope (`core.scope`) as an SQL test of one row of `studies` or `patients`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isocenter.adapters.index import schema
from isocenter.adapters.index.conditions import STUDY_UID, equal_terms, narrowing
from isocenter.core.attributes import Attributes
from isocenter.core.matching import Criterion, Level
from isocenter.core.scope import EVERYTHING, Every, Has, Scope, Some, Without

_MANY = 64  # values beyond which they are one parameter


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


def _sql(partition: int, row: str, scope: Scope, table: Attributes) -> tuple[str, tuple[Any, ...]]:
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


def _joined(
    word: str, none: str, parts: Sequence[tuple[str, tuple[Any, ...]]]
) -> tuple[str, tuple[Any, ...]]:
    sql = word.join(text for text, _ in parts) or none
    return f"({sql})", tuple(value for _, values in parts for value in values)


def _has(
    partition: int, row: str, criterion: Criterion, table: Attributes
) -> tuple[str, tuple[Any, ...]]:
    attribute = table.searchable(criterion.tag, Level.STUDY)
    assert attribute is not None
    where, values = _among(criterion)
    if criterion.tag == STUDY_UID:
        return f"{row}.uid {where}", values
    field = schema.field(partition, Level.STUDY, attribute, 0)
    if not where:
        where, values, _, exact = narrowing(criterion)
        assert exact
    else:
        where = f"value {where}"
    return (
        f"EXISTS (SELECT 1 FROM terms WHERE field = ? AND {where} AND row = {row}.id)",  # noqa: S608 - names are ours
        (field, *values),
    )


def _among(criterion: Criterion) -> tuple[str, tuple[Any, ...]]:
    """SQL of a value that equals one of the criterion's; empty if it asks for more than that."""
    found = equal_terms(criterion)
    if len(found) > _MANY:
        return "IN (SELECT value FROM json_each(?))", (json.dumps(found),)
    return (f"IN ({','.join('?' * len(found))})", found) if found else ("", ())
