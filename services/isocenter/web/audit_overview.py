"""The first page about the audit trail: whether it is whole, what happened, what is unusual."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from isocenter.core.audit import AuditFilter, By, Entry, Tally
from isocenter.core.audit_api import AuditTrail
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_reading import NOTHING_VERIFIED, VERIFIED
from isocenter.web.audit_charts import activity, shares
from isocenter.web.audit_patterns import (
    ACCESSES,
    EMERGENCIES,
    ENTRIES,
    PAST,
    RECENT,
    Kind,
    Pattern,
    Subjects,
    busiest,
    by_person,
    emergencies,
    failures,
    in_order,
    many_subjects,
    unusual,
)

MOST_PERSONS = 8
MOST_PATTERNS = 12  # that are shown; all are counted
_MOST_HOURS = 8  # whose records are looked at for how many patients there are
_MOST_RECORDS = 1000  # of each of them
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Verified:
    """The last verification of the trail, as its record tells."""

    entry: Entry
    age: timedelta

    @property
    def verdict(self) -> str:
        """`ok`, `bad`, or `empty` where nothing was sealed."""
        event = self.entry.event
        if event.outcome is not AuditOutcome.SUCCESS:
            return "bad"
        return "empty" if event.detail == NOTHING_VERIFIED else "ok"


def midnight(moment: datetime) -> datetime:
    """The beginning of its day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


class Overview:
    """Makes the page. How everybody was used to work is counted once an hour: it is most of what
    there is to count, and hardly changes."""

    def __init__(self) -> None:
        self._past: tuple[datetime, datetime, Sequence[Tally]] | None = None

    async def shown(self, trail: AuditTrail, now: datetime) -> Mapping[str, Any]:
        """What the page shows."""
        first = midnight(now - RECENT + _DAY)
        last = midnight(now) + _DAY - _HOUR
        recent = AuditFilter(since=first)
        accesses = AuditFilter(since=first, actions=ACCESSES)
        state, verified, saved, holds, found = await asyncio.gather(
            trail.state(), last_verified(trail, now), trail.saved(), trail.holds(),
            self.patterns(trail, first, now),
        )  # fmt: skip
        hours, actions, outcomes, persons = await asyncio.gather(
            trail.tally(recent, [By.HOUR, By.OUTCOME]),
            trail.tally(recent, [By.ACTION]),
            trail.tally(recent, [By.OUTCOME]),
            trail.tally(accesses, [By.WHO]),
        )
        return {
            "state": state,
            "verified": verified,
            "activity": activity(hours, first, last),
            "recent": recent,
            "actions": shares(actions),
            "outcomes": shares(outcomes),
            "persons": shares([one for one in persons if one.keys[0]], MOST_PERSONS),
            "patterns": found[:MOST_PATTERNS],
            "pattern_count": len(found),
            "saved": [(one, one.made(now)) for one in saved],
            "holds": holds,
        }

    async def patterns(
        self, trail: AuditTrail, recent: datetime, now: datetime
    ) -> Sequence[Pattern]:
        """What is unusual, emergencies and then the newest first."""
        entries = AuditFilter(since=recent, actions=ENTRIES)
        past, counted, entered, urgent = await asyncio.gather(
            self._before(trail, recent, now),
            trail.tally(AuditFilter(since=recent, actions=ACCESSES), [By.HOUR, By.WHO]),
            trail.tally(entries, [By.HOUR, By.WHO, By.OUTCOME]),
            trail.tally(replace(EMERGENCIES, since=recent), [By.HOUR, By.WHO]),
        )
        persons = by_person([*past, *counted])
        hours = busiest(persons, recent, _MOST_HOURS)
        seen = [await _subjects(trail, who, at) for who, at in hours]
        found = [*unusual(persons, recent), *failures(entered), *many_subjects(seen)]
        return in_order([*emergencies(urgent), *found])

    async def _before(self, trail: AuditTrail, recent: datetime, now: datetime) -> Sequence[Tally]:
        if self._past and self._past[0] == recent and now - self._past[1] < _HOUR:
            return self._past[2]
        which = AuditFilter(since=recent - PAST, until=recent, actions=ACCESSES)
        found = await trail.tally(which, [By.HOUR, By.WHO])
        self._past = (recent, now, found)
        return found


async def last_verified(trail: AuditTrail, now: datetime) -> Verified | None:
    """The last verification of the trail; objects are verified, too."""
    which = AuditFilter(actions=(AuditAction.VERIFY,), text=VERIFIED)
    found = await trail.search(which, 1)
    return Verified(found[0], now - found[0].event.at) if found else None


async def _subjects(trail: AuditTrail, who: str, at: datetime) -> Subjects:
    """How many patients, or studies, the records of an hour name: of the first thousand, so it may
    be more."""
    which = AuditFilter(since=at, until=at + _HOUR, who=who, actions=ACCESSES)
    entries = await trail.search(which, _MOST_RECORDS)
    patients = {patient for entry in entries for patient in entry.event.patient_ids}
    studies = {study for entry in entries for study in entry.event.studies}
    if len(patients) >= len(studies):
        return Subjects(who, at, Kind.PATIENTS, len(patients))
    return Subjects(who, at, Kind.STUDIES, len(studies))
