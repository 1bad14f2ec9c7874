"""What the trail tells of one patient, one person, one study or one object."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from isocenter.core.audit import AuditFilter, By, Entry
from isocenter.core.audit_api import AuditTrail
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_ids import name_of
from isocenter.web.audit_charts import calendar, shares, week
from isocenter.web.audit_overview import midnight
from isocenter.web.words import day

PAGE = 200  # records of a time line
MOST_OF_A_STORY = 500  # records that are shown; all are counted
CALENDAR = timedelta(days=30)
HABITS = timedelta(days=90)
_MOST_ROWS = 8
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of records, and how many there are on all pages."""

    which: AuditFilter
    entries: Sequence[Entry]
    total: int
    before: str
    limit: int
    more: bool

    @property
    def last(self) -> str:
        """The id behind which the next page begins."""
        return self.entries[-1].event.id


async def listing(trail: AuditTrail, which: AuditFilter, limit: int, before: str = "") -> Listing:
    """A page of records, newest first."""
    found, total = await asyncio.gather(trail.search(which, limit + 1, before), trail.count(which))
    return Listing(which, found[:limit], total, before, limit, len(found) > limit)


_Alike = tuple[str, AuditAction, AuditOutcome, str, str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """What one person did in the same way on a day."""

    who: str
    action: AuditAction
    outcome: AuditOutcome
    host: str
    protocol: str
    purpose: str
    entries: Sequence[Entry]  # newest first

    @property
    def first(self) -> datetime:
        """When the first of them was."""
        return self.entries[-1].event.at

    @property
    def last(self) -> datetime:
        """When the last of them was."""
        return self.entries[0].event.at


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a time line."""

    day: str
    since: datetime
    groups: Sequence[Group]

    @property
    def until(self) -> datetime:
        """Its end."""
        return self.since + _ONE_DAY


def time_line(entries: Sequence[Entry]) -> Sequence[Day]:
    """Records, newest first, by day and by what they have in common."""
    days = []
    for _, of_day in groupby(entries, lambda entry: day(entry.event.at)):
        found = list(of_day)
        groups: dict[_Alike, list[Entry]] = {}
        for entry in found:
            event, source = entry.event, entry.event.source
            key = (
                source.who, event.action, event.outcome, source.host, source.protocol,
                source.purpose,
            )  # fmt: skip
            groups.setdefault(key, []).append(entry)
        at = found[0].event.at
        days.append(
            Day(
                day(at),
                midnight(at),
                [Group(*key, entries) for key, entries in groups.items()],
            )
        )
    return days


async def of_patient(
    trail: AuditTrail, which: AuditFilter, now: datetime, before: str
) -> Mapping[str, Any]:
    """Who accessed what of a patient or a study."""
    first = midnight(now - CALENDAR + _ONE_DAY)
    recent = replace(which, since=first)
    found, persons, actions, hours = await asyncio.gather(
        listing(trail, which, PAGE, before),
        trail.tally(which, [By.WHO]),
        trail.tally(which, [By.ACTION]),
        trail.tally(recent, [By.HOUR, By.WHO]),
    )
    return {
        "found": found,
        "days": time_line(found.entries),
        "persons": shares(persons),
        "actions": shares(actions),
        "calendar": calendar(hours, first.date(), now.date(), _MOST_ROWS),
        "first": first.date(),
        "last": now.date(),
    }


async def of_person(
    trail: AuditTrail, which: AuditFilter, now: datetime, before: str
) -> Mapping[str, Any]:
    """What a person did, and when they usually do."""
    habits = replace(which, since=midnight(now - HABITS))
    found, actions, outcomes, hours = await asyncio.gather(
        listing(trail, which, PAGE, before),
        trail.tally(which, [By.ACTION]),
        trail.tally(which, [By.OUTCOME]),
        trail.tally(habits, [By.HOUR]),
    )
    return {
        "found": found,
        "days": time_line(found.entries),
        "actions": shares(actions),
        "outcomes": shares(outcomes),
        "week": week(hours),
        "habit_days": HABITS.days,
    }


async def of_object(trail: AuditTrail, instance: str) -> Mapping[str, Any]:
    """All that happened to an object, and its versions."""
    story = await trail.story(instance)
    digests = dict.fromkeys(digest for entry in story for digest in entry.event.digests)
    return {"story": story[:MOST_OF_A_STORY], "count": len(story), "digests": list(digests)}


# What a page shows of a record, in parts.
PARTS: Mapping[str, Sequence[str]] = {
    "event": ("at", "detail", "query", "destination", "error"),
    "caller": (
        "user", "ae_title", "called_ae_title", "host", "protocol", "tls_subject", "purpose",
        "unknown",
    ),
    "about": (
        "patient_ids", "studies", "series", "instances", "instance_count", "digests", "partition",
    ),
    "origin": ("process", "site", "trace", "id", "name"),
}  # fmt: skip


def record_parts(entry: Entry) -> Sequence[tuple[str, Sequence[tuple[str, Sequence[Any]]]]]:
    """All fields of a record that say something: part, then field and values."""
    event = entry.event
    found: dict[str, Any] = {
        **{name: getattr(event.source, name) for name in PARTS["caller"] if name != "unknown"},
        **{
            name: getattr(event, name)
            for part in ("event", "about", "origin")
            for name in PARTS[part]
            if name != "name"
        },
        "unknown": not event.source.known,
        "name": name_of(event),
    }
    return [
        (part, [(name, _listed(found[name])) for name in names if found[name]])
        for part, names in PARTS.items()
    ]


def _listed(value: Any) -> Sequence[Any]:  # noqa: ANN401 - fields of records
    return value if isinstance(value, tuple) else (value,)


def subjects_of(entries: Sequence[Entry]) -> Sequence[tuple[str, Sequence[str]]]:
    """Whom records are about, each once; studies where they name no patients."""
    patients = dict.fromkeys(one for entry in entries for one in entry.event.patient_ids)
    studies = dict.fromkeys(
        one for entry in entries if not entry.event.patient_ids for one in entry.event.studies
    )
    return [("patient", list(patients)), ("study", list(studies))]


def of_group(which: AuditFilter, of: Day, group: Group) -> AuditFilter:
    """The records that a group of a time line stands for."""
    return replace(
        which,
        since=of.since,
        until=of.until,
        who=group.who or which.who,
        actions=(group.action,),
        outcomes=(group.outcome,),
    )
