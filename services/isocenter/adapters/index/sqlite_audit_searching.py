"""Searching the SQLite audit index.

Exact names are looked up in the shards' full-text index, lazily: what is newest comes first, and
nothing behind the end of a page is read. The words of a query are beginnings, which FTS5 can only
look up wholly, at a cost of all that they match; so each is replaced by the words that begin so,
unless there are many. Then a look at the records themselves comes first: so many words are in many
records, or else few candidates are left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from isocenter.adapters.index.sqlite_audit_rows import EVER, Position, Span, within
from isocenter.adapters.index.sqlite_audit_terms import (
    any_of,
    digest,
    expressions_of,
    has_words,
    words_asked,
)
from isocenter.core.audit import AuditFilter, Entry, Place
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import decoded

T = TypeVar("T")

_WORDS = 64  # that one beginning is replaced by
_LOOK = 250  # of the newest records, which are read first
_CANDIDATES = 1000  # in a shard; so many are read before FTS5 looks up what is in many records
_PARAMETERS = 500
_BEHIND_ALL = "\U0010ffff"  # sorts behind whatever a word goes on with
_BETWEEN = " "  # sorts before it
_UNLIMITED = -1


class Shard(NamedTuple):
    """A part of the full-text index. Whatever changes it changes `taken` or `held`."""

    number: int
    low: int
    high: int  # row
    taken: int
    held: int


@dataclass(frozen=True, slots=True)
class Matches:
    """The records of a shard, or of all, that a filter matches, but for their time."""

    table: str
    condition: str
    values: tuple[str | int, ...]

    @property
    def row(self) -> str:
        """The column with the row."""
        return "records.row" if self.table == "records" else f"{self.table}.rowid"

    @property
    def joined(self) -> str:
        """What to select columns of `records` from, without an order of the planner's choice."""
        if self.table == "records":
            return "records"
        return f"{self.table} CROSS JOIN records ON records.row = {self.row}"


_ALL = Shard(0, EVER.rows[0], EVER.rows[1], 0, 0)


class Search:
    """A filter, taken apart, in one transaction."""

    def __init__(self, db: sqlite3.Connection, which: AuditFilter, span: Span) -> None:
        self._db = db
        self._which = which
        self._span = span
        self._exact = expressions_of(which)
        # The longest ones first: they are the ones that a shard may not have.
        self._words = sorted(words_asked(which.text), key=len, reverse=True)
        self._wide: set[str] = set()  # words that begin too many others

    @property
    def key(self) -> tuple[tuple[str, ...], ...]:
        """What is asked, but for the time."""
        return tuple(self._exact), tuple(self._words)

    def page(self, limit: int) -> list[int]:
        """The rows of the newest records that are asked for, in order."""
        if limit < _LOOK and self._has_wide():
            candidates = Search(self._db, replace(self._which, text=""), self._span).page(_LOOK)
            found = [
                row for row, event, _ in records(self._db, candidates)
                if has_words(event, self._words)
            ]  # fmt: skip
            if len(found) >= limit or len(candidates) < _LOOK:
                return found[:limit]
        return [position.row for position in self._newest(limit)]

    # --- pages -----------------------------------------------------------------------------------

    def _newest(self, limit: int) -> list[Position]:
        found: list[Position] = []
        span = self._span
        for shard in self.shards(span):
            if len(found) == limit and shard.high < span.rows[0]:
                break
            if matches := self.matches(shard, span):
                found = sorted([*found, *self._read(matches, span, limit)], reverse=True)[:limit]
            if len(found) == limit:
                span = Span(found[-1], span.high)
        return found

    def _read(self, matches: Matches, span: Span, limit: int) -> list[Position]:
        """The newest ones of a shard: at least as many as that if there are, in no order."""
        found = self._rows(matches, span, limit)
        if len(found) < limit:
            return found
        # Rows are in order but for those of one bucket, all of which must be looked at.
        bucket = found[-1].bucket
        last = Span(Position(bucket, 0), Position(bucket + 1, 0)).intersection(span)
        others = [position for position in found if position.bucket > bucket]
        return others + self._rows(matches, last, _UNLIMITED)

    def _rows(self, matches: Matches, span: Span, limit: int) -> list[Position]:
        query = (
            f"SELECT {matches.row}, records.moment FROM {matches.joined} WHERE {matches.condition}"  # noqa: S608 - all of it is ours
            f" AND {within(matches.row)} ORDER BY {matches.row} DESC LIMIT ?"
        )
        found = self._db.execute(query, (*matches.values, *span.values(), limit))
        return [Position.of_row(row, moment) for row, moment in found]

    # --- shards ----------------------------------------------------------------------------------

    def shards(self, span: Span) -> list[Shard]:
        """Those with records of a span; the newest first."""
        if not self._exact and not self._words:
            return [_ALL]
        newest_first = (
            "SELECT number, low, high, taken, held FROM shards WHERE high >= ? AND low < ?"
            " ORDER BY high DESC"
        )
        return [Shard(*row) for row in self._db.execute(newest_first, span.rows)]

    def matches(self, shard: Shard, span: Span) -> Matches | None:
        """Where the records of a span are in a shard; None if there are none."""
        if shard is _ALL:
            return Matches("records", "1", ())
        if self._words and self._exact and not self._rows(_text(shard, self._exact), span, 1):
            return None
        needed, wide = list(self._exact), []
        for word in self._words:
            begun = self._begun(shard, word)
            if begun is None:
                wide.append(word)
            elif begun:
                needed.append(any_of(begun))
            else:
                return None
        if wide and needed:
            candidates = self._rows(_text(shard, needed), span, _CANDIDATES)
            if len(candidates) < _CANDIDATES:
                read = records(self._db, [position.row for position in candidates])
                rows = [row for row, event, _ in read if has_words(event, wide)]
                return Matches("records", f"row IN ({_marks(rows)})", tuple(rows))
        return _text(shard, [*needed, *[f'"{word}" *' for word in wide]])

    def _has_wide(self) -> bool:
        newest = self.shards(self._span)[:1] if self._words else ()
        return any(self._begun(shard, w) is None for shard in newest for w in self._words)

    def _begun(self, shard: Shard, word: str) -> list[str] | None:
        """The words of a shard that begin like this; None if they are many."""
        if word in self._wide:
            return None
        found: list[str] = []
        low = word
        # One at a time: to go on to the next row would be to go through all records of a word.
        query = f"SELECT term FROM words_{shard.number} WHERE term >= ? AND term < ? LIMIT 1"  # noqa: S608 - a number of ours
        while row := self._db.execute(query, (low, word + _BEHIND_ALL)).fetchone():
            found.append(row[0])
            if len(found) > _WORDS:
                self._wide.add(word)
                return None
            low = row[0] + _BETWEEN
        return found


def _text(shard: Shard, expressions: Sequence[str]) -> Matches:
    """The records of a shard for which all of these hold."""
    table = f"text_{shard.number}"
    return Matches(table, f"{table} MATCH ?", (" AND ".join(expressions),))


def records(db: sqlite3.Connection, rows: Sequence[int]) -> Iterator[tuple[int, AuditEvent, Place]]:
    """The records of these rows, in this order."""
    for some in _portions(rows):
        query = (
            "SELECT row, doc, name, sequence FROM docs JOIN names ON number = chain"  # noqa: S608 - marks
            f" WHERE row IN ({_marks(some)})"
        )
        found = {row: rest for row, *rest in db.execute(query, some)}
        for row in some:
            doc, chain, sequence = found[row]
            yield row, decoded(doc), Place(chain, sequence)


def one(db: sqlite3.Connection, record: str) -> Entry | None:
    """The record with this id."""
    rows = rows_of(db, [digest(record)]).values()
    found = [Entry(event, place) for _, event, place in records(db, list(rows))]
    return found[0] if found else None


def places(db: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Place]:
    """See `AuditIndex`."""
    keys = {digest(record): record for record in ids}
    rows = {row: keys[key] for key, row in rows_of(db, list(keys)).items()}
    found: dict[str, Place] = {}
    for some in _portions(list(rows)):
        query = (
            "SELECT row, name, sequence FROM docs JOIN names ON number = chain"  # noqa: S608 - marks
            f" WHERE row IN ({_marks(some)})"
        )
        for row, chain, sequence in db.execute(query, some):
            found[rows[row]] = Place(chain, sequence)
    return found


def reach(db: sqlite3.Connection) -> dict[str, int]:
    """See `AuditIndex`."""
    found, chain = {}, 0
    # A loose index scan: the next chain, and its last record, instead of all records.
    following = "SELECT chain FROM docs WHERE chain > ? ORDER BY chain LIMIT 1"
    last = (
        "SELECT name, sequence FROM docs JOIN names ON number = chain WHERE chain = ?"
        " ORDER BY sequence DESC LIMIT 1"
    )
    while row := db.execute(following, (chain,)).fetchone():
        (chain,) = row
        name, sequence = db.execute(last, row).fetchone()
        found[name] = sequence
    return found


def rows_of(db: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, int]:
    """The rows of the records with these digests of ids."""
    found: dict[bytes, int] = {}
    for some in _portions(ids):
        found.update(db.execute(f"SELECT id, row FROM ids WHERE id IN ({_marks(some)})", some))  # noqa: S608 - marks
    return found


def span_of(db: sqlite3.Connection, which: AuditFilter, before: str = "") -> Span:
    """What a filter says of time; with the record that all must be in front of, if it is known."""
    low = Position.of_time(which.since) if which.since else EVER.low
    high = Position.of_time(which.until) if which.until else EVER.high
    if before:
        held = db.execute(
            "SELECT row, moment FROM ids JOIN records USING (row) WHERE id = ?", (digest(before),)
        ).fetchone()
        if held:
            high = min(high, Position.of_row(*held))
    return Span(low, high)


def _portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one statement takes."""
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
