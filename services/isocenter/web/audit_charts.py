"""Figures of the pages about the audit trail: from counts to what the templates draw as SVG.

Each has the numbers too, which the pages show as a table beside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from isocenter.core.audit import Tally
from isocenter.core.events import AuditOutcome
from isocenter.web.audit_patterns import hour_of

HEIGHT = 100  # of the plot of activity; its bars are one wide
LEVELS = 5  # shades of a cell that is not empty
DAYS = 7
HOURS = 24
_HOUR = timedelta(hours=1)
_LEAST = 2.0  # height of a bar: one access can be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """The accesses of an hour."""

    hour: datetime
    at: int  # from the left
    well: int  # that succeeded
    ill: int
    well_top: float
    well_height: float
    ill_top: float
    ill_height: float


@dataclass(frozen=True, slots=True)
class DayCount:
    """The accesses of a day."""

    day: date
    well: int
    ill: int

    @property
    def total(self) -> int:
        """All."""
        return self.well + self.ill


@dataclass(frozen=True, slots=True)
class Activity:
    """How much happened, by hour."""

    bars: Sequence[Bar]
    days: Sequence[DayCount]
    width: int  # hours
    peak: int  # of the fullest hour
    fullest: datetime | None

    @property
    def total(self) -> int:
        """All accesses."""
        return sum(day.total for day in self.days)


def activity(tallies: Iterable[Tally], first: datetime, last: datetime) -> Activity:
    """Of tallies by hour and outcome; `first` and `last` are hours, both within."""
    well: Counter[datetime] = Counter()
    ill: Counter[datetime] = Counter()
    for tally in tallies:
        counted = well if tally.keys[1] == AuditOutcome.SUCCESS.value else ill
        counted[hour_of(tally.keys[0])] += tally.count
    width = int((last - first) / _HOUR) + 1
    hours = [first + at * _HOUR for at in range(width)]
    fullest = max(hours, key=lambda hour: well[hour] + ill[hour])
    peak = well[fullest] + ill[fullest]
    days: dict[date, list[datetime]] = defaultdict(list)
    for hour in hours:
        days[hour.date()].append(hour)
    return Activity(
        bars=[_bar(hour, at, well[hour], ill[hour], peak) for at, hour in enumerate(hours)],
        days=[
            DayCount(day, sum(well[hour] for hour in of), sum(ill[hour] for hour in of))
            for day, of in days.items()
        ],
        width=width,
        peak=peak,
        fullest=fullest if peak else None,
    )


def _bar(hour: datetime, at: int, well: int, ill: int, peak: int) -> Bar:
    ill_height, well_height = _height(ill, peak), _height(well, peak)
    well_top = HEIGHT - ill_height - well_height
    return Bar(hour, at, well, ill, well_top, well_height, HEIGHT - ill_height, ill_height)


def _height(count: int, peak: int) -> float:
    return round(max(_LEAST, count / peak * (HEIGHT - _LEAST)), 2) if count else 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A place of a strip."""

    at: int
    level: int  # 0: nothing
    count: int


@dataclass(frozen=True, slots=True)
class Strip:
    """A row of cells."""

    name: str
    cells: Sequence[Cell]

    @property
    def total(self) -> int:
        """All of its counts."""
        return sum(cell.count for cell in self.cells)


def strips(rows: Mapping[str, Mapping[int, int]], width: int) -> Sequence[Strip]:
    """Rows of counts by place, all shaded by the same measure."""
    most = max((count for row in rows.values() for count in row.values()), default=0)
    return [
        Strip(
            name,
            [Cell(at, _level(row.get(at, 0), most), row.get(at, 0)) for at in range(width)],
        )
        for name, row in rows.items()
    ]


def _level(count: int, most: int) -> int:
    return -(-count * LEVELS // most) if count else 0  # rounded up: what is there is seen


def week(tallies: Iterable[Tally]) -> Sequence[Strip]:
    """Of tallies by hour: a row for each day of the week, from Monday on, of 24 hours."""
    rows: dict[str, Counter[int]] = {str(day): Counter() for day in range(DAYS)}
    for tally in tallies:
        hour = hour_of(tally.keys[0])
        rows[str(hour.weekday())][hour.hour] += tally.count
    return strips(rows, HOURS)


def calendar(tallies: Iterable[Tally], first: date, last: date, most: int) -> Sequence[Strip]:
    """Of tallies by hour and who: a row for each of those with most accesses, of days."""
    rows: dict[str, Counter[int]] = defaultdict(Counter)
    for tally in tallies:
        rows[tally.keys[1]][(hour_of(tally.keys[0]).date() - first).days] += tally.count
    fullest = sorted(rows, key=lambda who: (-rows[who].total(), who))[:most]
    return strips({who: rows[who] for who in fullest}, (last - first).days + 1)


@dataclass(frozen=True, slots=True)
class Share:
    """One of several, and how much of all it is."""

    name: str
    count: int
    width: float  # of the longest, percent


def shares(tallies: Iterable[Tally], most: int = 0) -> Sequence[Share]:
    """Of tallies by one key, the largest first."""
    ranked = sorted(tallies, key=lambda tally: (-tally.count, tally.keys[0]))
    longest = ranked[0].count if ranked else 1
    return [
        Share(tally.keys[0], tally.count, round(100 * tally.count / longest, 2))
        for tally in (ranked[:most] if most else ranked)
    ]
