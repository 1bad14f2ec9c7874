"""Numbers of rows in the SQLite audit index: they say when a record was made.

Time from the year 1 on is cut into buckets of a sixteenth of a second, each of which has room for
a million rows. In a bucket, rows are in the order in which records came; with the microseconds in
it (`moment`) records are in the order of time, whatever clocks do.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

ROOM = 2**20  # rows of a bucket
_BUCKET = 62_500  # microseconds; hours are whole numbers of buckets, so hours are ranges of rows
_BUCKETS_OF_HOUR = 57_600
ROWS_OF_HOUR = _BUCKETS_OF_HOUR * ROOM
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HOURS = 24 * (date.max.toordinal() + 1)  # of all times there are
_BEFORE_ALL = -1  # instead of the row of a record


class Position(NamedTuple):
    """Where a record stands in the order of all; sorts as the records do."""

    bucket: int
    moment: int
    row: int = _BEFORE_ALL

    @classmethod
    def of_time(cls, at: datetime) -> Position:
        """In front of all records of this time and later."""
        return cls(*divmod(max((at - _BEGINNING) // _MICROSECOND, 0), _BUCKET))

    @classmethod
    def of_row(cls, row: int, moment: int) -> Position:
        """Of a record that is held."""
        return cls(row // ROOM, moment, row)

    @property
    def hour(self) -> int:
        """The one that it is in."""
        return self.bucket // _BUCKETS_OF_HOUR

    @classmethod
    def of_hour(cls, hour: int) -> Position:
        """In front of all records of this hour and later."""
        return cls(hour * _BUCKETS_OF_HOUR, 0)


class Span(NamedTuple):
    """A part of the order of all records."""

    low: Position
    high: Position  # behind its last record

    @property
    def is_empty(self) -> bool:
        """Whether there is no room for a record in it."""
        return self.low >= self.high

    def intersection(self, other: Span) -> Span:
        """What both have in common."""
        return Span(max(self.low, other.low), min(self.high, other.high))

    @property
    def rows(self) -> tuple[int, int]:
        """The first row of its buckets, and the first one behind them."""
        behind = self.high.bucket + (self.high[1:] > (0, _BEFORE_ALL))
        return self.low.bucket * ROOM, behind * ROOM

    @property
    def whole(self) -> Span:
        """What it has of whole buckets."""
        low = self.low.bucket + (self.low.moment > 0)
        return Span(Position(low, 0), Position(self.high.bucket, 0))

    @property
    def edges(self) -> list[Span]:
        """What it has of buckets that it cuts."""
        whole = self.whole
        if whole.low > whole.high:
            return [self]
        ends = [Span(self.low, whole.low), Span(whole.high, self.high)]
        return [end for end in ends if not end.is_empty]

    def hours(self, unit: int) -> tuple[int, int]:
        """The first hour and the one behind the last of what it has of whole units of so many."""
        first = -(-self.whole.low.bucket // (_BUCKETS_OF_HOUR * unit))
        return first * unit, self.high.hour // unit * unit

    def values(self) -> tuple[int, ...]:
        """What takes the places of the question marks in `within`."""
        low, high = self
        at_low = (*self.rows, (low.bucket + 1) * ROOM, low.moment)
        return (*at_low, high.bucket * ROOM, high.moment, high.row)


EVER = Span(Position.of_hour(0), Position.of_hour(_HOURS))


def within(row: str) -> str:
    """The condition in SQL that a row of `records` is in a span."""
    return (
        f"{row} >= ? AND {row} < ? AND ({row} >= ? OR records.moment >= ?)"
        f" AND ({row} < ? OR (records.moment, {row}) < (?, ?))"
    )


def hour_text(hour: int) -> str:
    """As `By.HOUR` has it."""
    return (_BEGINNING + timedelta(hours=hour)).isoformat()[:13]
