"""The trail as the other roles see it: found, proved, verified."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from isocenter.audit.consumer import GROUP, TOPICS
from isocenter.audit.keys import public_keys
from isocenter.audit.notes import (
    HOLDS,
    SEARCHES,
    Notes,
    hold_from,
    hold_to,
    search_from,
    search_to,
)
from isocenter.audit.proofs import prove
from isocenter.audit.segments import Segments
from isocenter.audit.verifying import public_key, verify
from isocenter.core.audit import AuditFilter, AuditIndex, By, Entry, Tally
from isocenter.core.audit_api import (
    Head,
    Hold,
    PublicKey,
    SavedSearch,
    TrailState,
    Verification,
)
from isocenter.core.errors import Conflict, Corrupted, Invalid
from isocenter.core.identity import is_uid
from isocenter.core.ports import EventBus
from isocenter.runtime.role import Env

MAX_PAGE = 10_000
_STORY_PAGE = 1000
_LONGEST_STORY = 100_000  # records of one study

Problems = Callable[[], Sequence[str]]


class AuditService:
    """`core.audit_api.AuditTrail` on the audit index and the segments."""

    def __init__(self, *, index: AuditIndex, segments: Segments, bus: EventBus) -> None:
        self._bus = bus
        self._index = index
        self._segments = segments
        self._searches = Notes(segments.blobs, SEARCHES)
        self._holds = Notes(segments.blobs, HOLDS)
        self.problems: Problems = tuple  # of the consumer, where it runs in this process

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """Newest first; raises `Invalid` for a page that is empty or too long."""
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(
                f"a page of {limit} audit records is not possible",
                fix=f"ask for 1 to {MAX_PAGE}, then for those before the last one",
            )
        return await self._index.search(which, limit, before)

    async def count(self, which: AuditFilter) -> int:
        """How many records there are."""
        return await self._index.count(which)

    async def get(self, record: str) -> Entry:
        """The record with this id. Raises `NotFound`."""
        return await self._index.get(record)

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """How many records there are for each combination of keys that occurs."""
        return await self._index.tally(which, by)

    async def story(self, instance: str) -> Sequence[Entry]:
        """Everything that happened to an object, oldest first."""
        if not is_uid(instance):
            raise Invalid("this is no SOP Instance UID", fix="take it from the object or a search")
        named = await self._all(AuditFilter(instance=instance))
        studies = {study for entry in named for study in entry.event.studies}
        series = {one for entry in named for one in entry.event.series}
        story = {entry.event.id: entry for entry in named}
        for study in studies:
            for entry in await self._all(AuditFilter(study=study)):
                event = entry.event
                whole = event.instance_count > len(event.instances) or not event.instances
                within = not event.series or not series.isdisjoint(event.series)
                if whole and within:
                    story[event.id] = entry
        return sorted(story.values(), key=_in_order)

    async def _all(self, which: AuditFilter) -> list[Entry]:
        found: list[Entry] = []
        while page := await self._index.search(
            which, _STORY_PAGE, found[-1].event.id if found else ""
        ):
            found += page
            if len(found) > _LONGEST_STORY:
                raise Invalid(
                    f"more than {_LONGEST_STORY:,} records concern this study",
                    fix="search for the study and a time",
                )
        return found

    async def prove(self, record: str) -> bytes:
        """The file of an inclusion proof."""
        entry = await self._index.get(record)
        return (await prove(self._segments, entry.place)).text()

    def verify(
        self, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        """Verify everything that is sealed."""
        return verify(self._segments, trust=trust, heads=heads)

    async def state(self) -> TrailState:
        """The trail at one glance. What of it was changed is among the problems."""
        problems = list(self.problems())
        heads = []
        for chain in await self._segments.chains():
            try:
                if end := await self._segments.last(chain):
                    heads.append(end.published)
            except Corrupted as error:
                problems.append(f"the end of {chain} cannot be read: {error}")
        records, holds = await asyncio.gather(self._index.count(AuditFilter()), self._holds.all())
        return TrailState(
            heads=tuple(heads),
            keys=await self._public_keys(problems),
            records=records,
            sealed=sum(head.last for head in heads),
            problems=tuple(problems),
            holds=len(holds),
            waiting=sum([await self._bus.lag(GROUP, topic) for topic in TOPICS]),
        )

    async def _public_keys(self, problems: list[str]) -> tuple[PublicKey, ...]:
        try:
            held = await public_keys(self._segments.blobs)
        except Corrupted as error:
            problems.append(f"the keys cannot be read: {error}")
            return ()
        return tuple(public_key(key) for key, _ in held)

    async def saved(self) -> Sequence[SavedSearch]:
        """Saved searches, by name."""
        held = await self._searches.all()
        return [search_from(name, fields) for name, fields in held.items()]

    async def save(self, search: SavedSearch) -> None:
        """Keep a search, in place of one of the same name."""
        await self._searches.keep(search.name, search_to(search))

    async def forget(self, name: str) -> None:
        """Remove a saved search. Raises `NotFound`."""
        await self._searches.remove(name)

    async def holds(self) -> Sequence[Hold]:
        """The legal holds, by name."""
        held = await self._holds.all()
        return [hold_from(name, fields) for name, fields in held.items()]

    async def hold(self, hold: Hold) -> None:
        """Stop expiry. Raises `Conflict` for a name in use, `Invalid`."""
        fields = hold_to(hold)
        if hold.name in await self._holds.all():
            raise Conflict(f"there is a legal hold named {hold.name!r}", fix="choose another name")
        await self._holds.keep(hold.name, fields)

    async def release(self, name: str) -> None:
        """End a legal hold. Raises `NotFound`."""
        await self._holds.remove(name)


def _in_order(entry: Entry) -> tuple[datetime, str, int]:
    return entry.event.at, entry.place.chain, entry.place.sequence


async def create(env: Env) -> AuditService:
    """The service of this process."""
    segments = Segments(await env.audit_store())
    return AuditService(index=await env.audit_index(), segments=segments, bus=await env.bus())
