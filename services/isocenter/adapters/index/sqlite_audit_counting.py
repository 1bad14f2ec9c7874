"""Counting in the SQLite audit index, exactly.

What most are counted by (who, action, outcome, time) is counted as it is written; then a count is a
sum over a few rows of `tallies`, and only hours or days that are cut are counted from the records.
For all other filters, the records that match are counted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from isocenter.adapters.index import sqlite_audit_schema as schema
from isocenter.adapters.index.sqlite_audit_rows import (
    ROWS_OF_HOUR,
    Position,
    Span,
    hour_text,
    within,
)
from isocenter.adapters.index.sqlite_audit_searching import Matches, Search, Shard, span_of
from isocenter.core.audit import AuditFilter, By, Tally

_NOBODY = -2  # the number of no name
_REMEMBERED = 20_000

Counts = Counter[tuple[int, ...]]  # by hour, or the numbers of names, in the order asked for

_COLUMNS: Mapping[By, str] = {
    By.HOUR: f"records.row / {ROWS_OF_HOUR}",
    By.WHO: "records.principal",
    By.ACTION: "records.action",
    By.OUTCOME: "records.outcome",
}
_OF_TALLIES: Mapping[By, str] = {
    By.HOUR: "hour", By.WHO: "principal", By.ACTION: "action", By.OUTCOME: "outcome",
}  # fmt: skip


class Remembered:
    """What shards were counted for before, so that the next page of a search tells it at once."""

    def __init__(self) -> None:
        self._counts: dict[tuple[object, ...], int] = {}

    def get(self, key: tuple[object, ...], make: Callable[[], int]) -> int:
        """What was counted under this key, or is now."""
        found = self._counts.get(key)
        if found is None:
            if len(self._counts) >= _REMEMBERED:
                self._counts.clear()
            found = self._counts[key] = make()
        return found


def count(db: sqlite3.Connection, which: AuditFilter, remembered: Remembered) -> int:
    """See `AuditIndex`."""
    return _counts(db, which, (), remembered).total()


def tally(db: sqlite3.Connection, which: AuditFilter, by: Sequence[By]) -> list[Tally]:
    """See `AuditIndex`."""
    counts = _counts(db, which, by, Remembered())
    texts = [_texts(db, kind, {key[at] for key in counts}) for at, kind in enumerate(by)]
    named = {
        tuple([text[number] for text, number in zip(texts, key, strict=True)]): n
        for key, n in counts.items()
    }
    return [Tally(key, named[key]) for key in sorted(named)]


def narrowed(db: sqlite3.Connection, which: AuditFilter, span: Span, limit: int) -> Span:
    """The newest part of a span that holds as many records, or all there are: one that is rare
    among others need not be looked for where it is not."""
    kinds = [kind for kind in (which.who, which.actions, which.outcomes) if kind]
    unit = _unit(which, ())
    if len(kinds) < 2 or not unit or span.is_empty:
        return span
    lowest = behind = span.hours(unit)[1]
    lowest_of_all = span.low.hour // unit * unit
    newest_first = "GROUP BY hour ORDER BY hour DESC"
    found = 0
    for hour, n in _sums(db, which, (lowest_of_all, behind), ["hour"], newest_first):
        lowest, found = hour, found + n
        if found >= limit:
            break
    return span.intersection(Span(Position.of_hour(lowest), span.high))


def _counts(
    db: sqlite3.Connection, which: AuditFilter, by: Sequence[By], remembered: Remembered
) -> Counts:
    span = span_of(db, which)
    if span.is_empty:
        return Counter()
    unit = _unit(which, by)
    first, behind = span.hours(unit) if unit else (0, 0)
    if first >= behind:
        return _walked(db, which, span, by, remembered)
    columns = [_OF_TALLIES[kind] for kind in by]
    grouped = f"GROUP BY {','.join(columns)}" if by else "HAVING count(*)"
    counts: Counts = Counter(_keyed(_sums(db, which, (first, behind), columns, grouped)))
    for cut in (
        Span(span.low, Position.of_hour(first)),
        Span(Position.of_hour(behind), span.high),
    ):
        counts.update(_walked(db, which, cut, by, remembered))
    return counts


# --- the records themselves ----------------------------------------------------------------------


def _walked(
    db: sqlite3.Connection,
    which: AuditFilter,
    span: Span,
    by: Sequence[By],
    remembered: Remembered,
) -> Counts:
    counts: Counts = Counter()
    if span.is_empty:
        return counts
    search = Search(db, which, span)
    for shard in search.shards(span):
        if by:
            counts.update(_grouped(db, search.matches(shard, span), span, by))
            continue
        counted = partial(_counted, db, search, shard, span)
        whole = span.whole.rows[0] <= shard.low and shard.high < span.whole.rows[1]
        if found := remembered.get((shard, search.key), counted) if whole else counted():
            counts[()] += found
    return counts


def _grouped(
    db: sqlite3.Connection, matches: Matches | None, span: Span, by: Sequence[By]
) -> dict[tuple[int, ...], int]:
    if matches is None:
        return {}
    columns = ",".join(_COLUMNS[kind] for kind in by)
    query = (
        f"SELECT {columns}, count(*) FROM {matches.joined} WHERE {matches.condition}"  # noqa: S608 - all of it is ours
        f" AND {within(matches.row)} GROUP BY {columns}"
    )
    return _keyed(db.execute(query, (*matches.values, *span.values())))


def _counted(db: sqlite3.Connection, search: Search, shard: Shard, span: Span) -> int:
    """Only buckets that are cut need a look at `records`."""
    matches = search.matches(shard, span)
    if matches is None:
        return 0
    found = 0
    whole = (
        f"SELECT count(*) FROM {matches.table} WHERE {matches.condition}"  # noqa: S608 - all of it is ours
        f" AND {matches.row} >= ? AND {matches.row} < ?"
    )
    if not span.whole.is_empty:
        found += _one(db, whole, (*matches.values, *span.whole.rows))
    cut = (
        f"SELECT count(*) FROM {matches.joined} WHERE {matches.condition}"  # noqa: S608 - as above
        f" AND {within(matches.row)}"
    )
    for edge in span.edges:
        found += _one(db, cut, (*matches.values, *edge.values()))
    return found


def _keyed(found: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """The last column by the others."""
    return {row[:-1]: row[-1] for row in found}


def _one(db: sqlite3.Connection, query: str, values: Sequence[str | int]) -> int:
    (found,) = db.execute(query, values).fetchone()
    return int(found)


# --- tallies -------------------------------------------------------------------------------------


def _unit(which: AuditFilter, by: Sequence[By]) -> int:
    """How many hours are tallied together, of what is counted; 0: it is not tallied."""
    others = replace(which, since=None, until=None, actions=(), outcomes=(), who="")
    if others != AuditFilter():
        return 0
    if not which.who and By.WHO not in by:
        return 1
    return 0 if By.HOUR in by else schema.DAY


def _sums(
    db: sqlite3.Connection,
    which: AuditFilter,
    hours: tuple[int, int],
    columns: Sequence[str],
    grouped: str,
) -> Iterator[tuple[int, ...]]:
    """What the records of whole units are counted by, and how many there are."""
    name = schema.BY_PRINCIPAL if "principal" in columns else schema.EVERYTHING
    conditions, values = ["name = ?", "hour >= ?", "hour < ?"], [name, *hours]
    if which.who:
        values[:1] = _numbers(db, [which.who])
    for column, members in (("action", which.actions), ("outcome", which.outcomes)):
        if members:
            numbers = _numbers(db, [member.value for member in members])
            conditions.append(f"{column} IN ({','.join('?' * len(numbers))})")
            values += numbers
    query = (
        f"SELECT {','.join([*columns, 'sum(n)'])} FROM tallies"  # noqa: S608 - all of it is ours
        f" WHERE {' AND '.join(conditions)} {grouped}"
    )
    return db.execute(query, values)


def _numbers(db: sqlite3.Connection, names: Sequence[str]) -> list[int]:
    query = "SELECT number FROM names WHERE name = CAST(? AS TEXT)"
    # What is no text may be asked for, and is nobody's name.
    texts = [name.encode(errors="surrogatepass") for name in names]
    found = [db.execute(query, (text,)).fetchone() for text in texts]
    return [one[0] if one else _NOBODY for one in found]


def _texts(db: sqlite3.Connection, kind: By, numbers: Iterable[int]) -> dict[int, str]:
    """The texts of keys."""
    if kind is By.HOUR:
        return {hour: hour_text(hour) for hour in numbers}
    query = "SELECT name FROM names WHERE number = ?"
    return {number: db.execute(query, (number,)).fetchone()[0] for number in numbers}
