"""Accesses that are unlike what is usual: what an officer looks at first.

Pure: counts in, patterns out. Each compares a person with their own past weeks, or counts what
anybody would find strange. It says what it saw; what it means only people know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from statistics import median

from isocenter.core.audit import AuditFilter, Tally
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.access.sharing import EMERGENCY

# What people do with patients' data; modalities that store at night are at work.
ACCESSES = (
    AuditAction.QUERY, AuditAction.RETRIEVE, AuditAction.EXPORT, AuditAction.DELETE,
)  # fmt: skip
ENTRIES = (AuditAction.SIGN_IN, AuditAction.NETWORK)
EMERGENCIES = AuditFilter(actions=(AuditAction.SECURITY,), text=EMERGENCY)

RECENT = timedelta(days=7)
PAST = timedelta(days=28)  # before that

KNOWN_DAYS = 5  # active days in the past, without which nothing is known of a person's habits
KNOWN_WORK_DAYS = 10  # without which a free weekend is no habit
USUAL_DAYS = 2  # days on which an hour, or the one before or after it, is worked in, to be usual
MUCH = 50  # accesses a day
MUCH_MORE = 3.0  # times a usual day
MORE_THAN_EVER = 1.5  # times the fullest day
FAILURES = 5  # in an hour, without one that succeeds
MANY_SUBJECTS = 25  # patients in an hour

_HOUR = timedelta(hours=1)
_SATURDAY = 5

Hours = Mapping[datetime, int]  # accesses by hour


class Kind(Enum):
    """What is unusual."""

    EMERGENCY = "emergency"
    HOURS = "hours"
    WEEKEND = "weekend"
    VOLUME = "volume"
    FAILURES = "failures"
    PATIENTS = "patients"
    STUDIES = "studies"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What was seen."""

    kind: Kind
    who: str
    since: datetime
    until: datetime
    count: int
    usual: int = 0  # of a usual day
    most: int = 0  # of the fullest day
    days: int = 0  # active days that it is compared with

    @property
    def which(self) -> AuditFilter:
        """The records that it is about."""
        if self.kind is Kind.EMERGENCY:
            return replace(EMERGENCIES, since=self.since, until=self.until, who=self.who)
        failed = self.kind is Kind.FAILURES
        return AuditFilter(
            since=self.since,
            until=self.until,
            who=self.who,
            actions=ENTRIES if failed else ACCESSES,
            outcomes=(AuditOutcome.MINOR_FAILURE, AuditOutcome.FAILURE) if failed else (),
        )


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whom the accesses of a person in an hour are about."""

    who: str
    hour: datetime
    kind: Kind  # PATIENTS, or STUDIES where the records name no patients
    count: int


def hour_of(key: str) -> datetime:
    """The hour of a tally's key."""
    return datetime.strptime(key, "%Y-%m-%dT%H").replace(tzinfo=UTC)


def by_person(tallies: Iterable[Tally]) -> Mapping[str, Hours]:
    """Tallies by hour and who: the hours of everybody who has a name."""
    found: dict[str, dict[datetime, int]] = defaultdict(dict)
    for tally in tallies:
        hour, who = tally.keys
        if who:
            found[who][hour_of(hour)] = tally.count
    return found


def unusual(persons: Mapping[str, Hours], recent: datetime) -> list[Pattern]:
    """What is unlike the person's own past; what is at `recent` or behind it is looked at."""
    found: list[Pattern] = []
    for who, hours in persons.items():
        past = {hour: count for hour, count in hours.items() if hour < recent}
        now = {hour: count for hour, count in hours.items() if hour >= recent}
        if len(_days(past)) >= KNOWN_DAYS:
            found += _odd_hours(who, past, now)
            found += _much(who, past, now)
    return found


def _odd_hours(who: str, past: Hours, now: Hours) -> Iterator[Pattern]:
    days = _days(past)
    usual = _usual_hours(past)
    free = len(days) >= KNOWN_WORK_DAYS and not any(map(_is_weekend, days))
    odd = {
        hour: Kind.WEEKEND if free and _is_weekend(hour.date()) else Kind.HOURS
        for hour in sorted(now)
        if hour.hour not in usual or (free and _is_weekend(hour.date()))
    }
    for kind in (Kind.HOURS, Kind.WEEKEND):
        for first, last in _runs([hour for hour, why in odd.items() if why is kind]):
            count = sum(count for hour, count in now.items() if first <= hour <= last)
            yield Pattern(kind, who, first, last + _HOUR, count, days=len(days))


def _usual_hours(past: Hours) -> frozenset[int]:
    """The hours of the day in which, or next to which, somebody is active at times."""
    days: dict[int, set[date]] = defaultdict(set)
    for hour in past:
        for near in (-1, 0, 1):
            days[(hour.hour + near) % 24].add(hour.date())
    return frozenset(hour for hour, active in days.items() if len(active) >= USUAL_DAYS)


def _much(who: str, past: Hours, now: Hours) -> Iterator[Pattern]:
    before = _days(past)
    usual, most = int(median(before.values())), max(before.values())
    for day, count in sorted(_days(now).items()):
        if count >= MUCH and count > MUCH_MORE * usual and count > MORE_THAN_EVER * most:
            first = datetime(day.year, day.month, day.day, tzinfo=UTC)
            until = first + timedelta(days=1)
            yield Pattern(Kind.VOLUME, who, first, until, count, usual, most, len(before))


def failures(tallies: Iterable[Tally]) -> Iterator[Pattern]:
    """Failed attempts to enter, one after the other. Tallies of `ENTRIES` by hour, who and
    outcome."""
    failed: dict[str, dict[datetime, int]] = defaultdict(dict)
    entered: set[tuple[str, datetime]] = set()
    for tally in tallies:
        hour, who, outcome = tally.keys
        at = hour_of(hour)
        if outcome == AuditOutcome.SUCCESS.value:
            entered.add((who, at))
        elif who:
            failed[who][at] = failed[who].get(at, 0) + tally.count
    for who, hours in failed.items():
        many = [
            hour
            for hour, count in sorted(hours.items())
            if count >= FAILURES and (who, hour) not in entered
        ]
        for first, last in _runs(many):
            count = sum(count for hour, count in hours.items() if first <= hour <= last)
            yield Pattern(Kind.FAILURES, who, first, last + _HOUR, count)


def emergencies(tallies: Iterable[Tally]) -> Iterator[Pattern]:
    """Hours in which somebody saw patients as an emergency. Tallies of `EMERGENCIES` by hour and
    who."""
    for tally in tallies:
        hour, who = tally.keys
        at = hour_of(hour)
        yield Pattern(Kind.EMERGENCY, who, at, at + _HOUR, tally.count)


def busiest(
    persons: Mapping[str, Hours], recent: datetime, most: int
) -> list[tuple[str, datetime]]:
    """The hours in which there may be many patients: so many, those with most accesses first."""
    full = [
        (count, who, hour)
        for who, hours in persons.items()
        for hour, count in hours.items()
        if hour >= recent and count >= MANY_SUBJECTS
    ]
    return [(who, hour) for _, who, hour in sorted(full, reverse=True)[:most]]


def many_subjects(seen: Iterable[Subjects]) -> Iterator[Pattern]:
    """Hours in which somebody accessed many patients."""
    for one in seen:
        if one.count >= MANY_SUBJECTS:
            yield Pattern(one.kind, one.who, one.hour, one.hour + _HOUR, one.count)


def in_order(patterns: Iterable[Pattern]) -> list[Pattern]:
    """Emergencies, since each is to be looked at, then all others; the newest first."""

    def place(one: Pattern) -> tuple[bool, datetime, str, str]:
        return one.kind is Kind.EMERGENCY, one.until, one.who, one.kind.value

    return sorted(patterns, key=place, reverse=True)


def _days(hours: Hours) -> Mapping[date, int]:
    """Accesses by day."""
    found: dict[date, int] = defaultdict(int)
    for hour, count in hours.items():
        found[hour.date()] += count
    return found


def _is_weekend(day: date) -> bool:
    return day.weekday() >= _SATURDAY


def _runs(hours: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Hours that follow each other: the first and the last of each run."""
    run: list[datetime] = []
    for hour in hours:
        if run and hour - run[-1] > _HOUR:
            yield run[0], run[-1]
            run = []
        run.append(hour)
    if run:
        yield run[0], run[-1]
