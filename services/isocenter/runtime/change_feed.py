"""Reading the log as a feed of changes, from any place on and as it grows.

A position names the next event of each partition of the topics that the feed consists of. Events
of one study come in their order; those of different studies are in no order.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from isocenter.core.access import Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.entries import facts_of
from isocenter.core.errors import Invalid, IsocenterError, NotFound, Withheld
from isocenter.core.events import (
    TOPIC_INSTANCES,
    TOPIC_STUDIES,
    Event,
    InstanceConflict,
    InstanceDeleted,
    InstanceRejected,
    InstanceStored,
    StudyChanged,
    StudyQuiet,
)
from isocenter.core.ports import Delivery, EventBus
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.telemetry import OFF, Telemetry

_TOPICS = (TOPIC_INSTANCES, TOPIC_STUDIES)
_LOOK_SECONDS = 0.25  # between looks at the end of the log, for all readers of a process together
_PLACE = re.compile(r"(\d)-(\d{1,6})-(\d{1,18})")

_Told = InstanceStored | InstanceConflict | InstanceRejected | InstanceDeleted
_OfStudy = StudyChanged | StudyQuiet

# What is told of an event beside its study; nothing of it is a patient's data.
_FIELDS: Mapping[type[Event], Sequence[str]] = {
    InstanceStored: ("sop_class", "transfer_syntax", "digest", "size"),
    InstanceConflict: ("current_digest", "other_digest"),
    InstanceRejected: ("digest", "reason"),
    InstanceDeleted: ("digest", "reason"),
    StudyChanged: ("series_count", "instance_count"),
    StudyQuiet: ("series_count", "instance_count"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One event."""

    id: str  # of the event: the same however often it is read
    type: str  # CloudEvents type, "isocenter.v1.InstanceStored"
    time: str  # RFC 3339, UTC
    data: Mapping[str, Any]  # partition, study, series, instance, and what `_FIELDS` names
    position: str  # behind it


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, and where to go on."""

    changes: Sequence[Change]
    position: str


Offsets = dict[tuple[int, int], int]  # (number of the topic, partition) -> next offset


class ChangeFeed:
    """The feed, for any number of readers."""

    def __init__(self, bus: EventBus, guard: Guard, telemetry: Telemetry = OFF) -> None:
        self._guard = guard
        self._bus = bus
        self._events = EventReader("changes", telemetry)
        self._end: Offsets = {}
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether no reader need wait any more."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Answer all that wait: this process ends."""
        self._stopped.set()

    async def position(self, text: str) -> str:
        """A position by its name: `oldest`, `now`, or what a page gave. Raises `Invalid`, and
        `NotFound` for a place that the log does not hold any more."""
        if text == "now":
            await self._look(fresh=True)
            return _written(self._end)
        oldest = await self._all(oldest=True)
        if text == "oldest":
            return _written(oldest)
        for place, offset in _read(text).items():
            if offset < oldest.get(place, 0):
                raise NotFound(
                    "the log does not hold what followed this position any more",
                    fix="begin with since=oldest, and compare with a search",
                )
        return text

    async def read(self, caller: Caller, position: str, limit: int, wait: float) -> Page:
        """Up to `limit` changes behind a position, of studies that the caller may find, or none
        after `wait` seconds. Raises `Refused`."""
        offsets = _read(position)
        until = time.monotonic() + wait
        while True:
            await self._look(fresh=False)
            found: list[Change] = []
            for number, topic in enumerate(_TOPICS):
                if any(
                    offset > offsets.get(place, 0)
                    for place, offset in self._end.items()
                    if place[0] == number
                ):
                    await self._some(caller, number, topic, offsets, found, limit)
            left = until - time.monotonic()
            if found or left <= 0 or self.stopped:
                return Page(found, _written(offsets))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), min(left, _LOOK_SECONDS))

    async def _some(
        self,
        caller: Caller,
        number: int,
        topic: str,
        offsets: Offsets,
        found: list[Change],
        limit: int,
    ) -> None:
        begin = {partition: at for (of, partition), at in offsets.items() if of == number}
        async with aclosing(self._bus.replay(topic, begin)) as deliveries:  # type: ignore[type-var]  # generators
            async for delivery in deliveries:
                if len(found) >= limit:
                    return
                offsets[number, delivery.partition] = delivery.offset + 1
                try:
                    event = self._events.read(delivery)
                except IsocenterError:
                    continue  # those who consume it keep it as a dead letter and tell
                if type(event) in _FIELDS and await self._seen(caller, event):  # type: ignore[arg-type]
                    found.append(_change(delivery, event, _written(offsets)))  # type: ignore[arg-type]

    async def _seen(self, caller: Caller, event: _Told | _OfStudy) -> bool:
        """Whether a change is of a study that the caller may find. A study that is being stored
        need not be in the index yet: then the object itself tells what it is."""
        if isinstance(event, StudyChanged | StudyQuiet):
            place = event.partition, event.study
        else:
            place = event.name.partition, event.name.study
        try:
            await self._guard.check(caller, Right.SEARCH, *place, at_once=True)
        except Withheld:
            return isinstance(event, InstanceStored) and self._may_find(caller, event)
        return True

    def _may_find(self, caller: Caller, event: InstanceStored) -> bool:
        try:
            self._guard.check_new(caller, Right.SEARCH, facts_of(event))
        except IsocenterError:  # also of an object that cannot be read
            return False
        return True

    async def _look(self, *, fresh: bool) -> None:
        """Know the end of the log, as of a moment ago at most."""
        if not fresh and time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_now())
        await asyncio.shield(self._looking)

    async def _look_now(self) -> None:
        began = time.monotonic()
        try:
            self._end, self._looked_at = await self._all(oldest=False), began
        finally:
            self._looking = None

    async def _all(self, *, oldest: bool) -> Offsets:
        ask = self._bus.oldest if oldest else self._bus.end
        answers = await asyncio.gather(*(ask(topic) for topic in _TOPICS))
        return {
            (number, partition): offset
            for number, offsets in enumerate(answers)
            for partition, offset in offsets.items()
        }


def _change(delivery: Delivery, event: _Told | _OfStudy, position: str) -> Change:
    if isinstance(event, StudyChanged | StudyQuiet):
        named = {"partition": event.partition, "study": event.study}
    else:
        name = event.name
        named = {"partition": name.partition, "study": name.study, "series": name.series,
                 "instance": name.instance}  # fmt: skip
    told = {_camel(field): getattr(event, field) for field in _FIELDS[type(event)]}
    identity = delivery.headers.get("ce_id", f"{delivery.partition}-{delivery.offset}")
    when = delivery.headers.get("ce_time", delivery.appended_at.isoformat())
    return Change(identity, delivery.type, when, {**named, **told}, position)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _written(offsets: Offsets) -> str:
    places = sorted(offsets.items())
    return ".".join(f"{topic}-{partition}-{offset}" for (topic, partition), offset in places)


def _read(text: str) -> Offsets:
    found: Offsets = {}
    for part in text.split("."):
        place = _PLACE.fullmatch(part)
        if place is None or int(place[1]) >= len(_TOPICS):
            raise Invalid(
                "this is no position of the feed of changes",
                fix="give `next` of a page, oldest or now",
            )
        found[int(place[1]), int(place[2])] = int(place[3])
    return found
