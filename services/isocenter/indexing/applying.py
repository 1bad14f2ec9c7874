"""Turning a batch of events into packs and index entries; every step may be repeated.

The order: packs are durable first, then conflicts are decided, then the index has the entries.
The caller commits last, so whatever is interrupted is done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from isocenter.core.apis import Storage
from isocenter.core.errors import Corrupted, OutOfResources, Unprocessable
from isocenter.core.events import (
    ConflictPolicy,
    Event,
    InstanceConflict,
    InstanceDeleted,
    InstanceStored,
)
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.overlays import Overlay
from isocenter.core.packs import PackEntry
from isocenter.core.ports import IndexEntry, StudyCount, StudyIndex
from isocenter.core.sites import with_sites
from isocenter.indexing.conflicts import Decisions, decide, read_decisions
from isocenter.indexing.packing import SeriesName, write_packs
from isocenter.indexing.reading import TRANSIENT, read_events, read_object
from isocenter.indexing.trash import Trash
from isocenter.runtime.overlay_records import newest_overlay
from isocenter.runtime.study_sites import StudySites

logger = logging.getLogger(__name__)

# Announces a conflict (log and audit trail) before it is decided; None: conflicts, and objects that
# are deleted, are left to another process, which will see the same event.
Announce = Callable[[InstanceConflict], Awaitable[None]]
_Versions = Mapping[InstanceName, Sequence[IndexEntry]]
_AT_ONCE = 16  # objects whose overlays are looked for


@dataclass(slots=True)
class Outcome:
    """What a batch has done."""

    counts: dict[tuple[str, str], StudyCount] = field(default_factory=dict)
    series: list[SeriesName] = field(default_factory=list)  # that got another pack
    errors: dict[int, Exception] = field(default_factory=dict)  # by place in the batch

    def count(self, counts: Sequence[StudyCount]) -> None:
        """Take over the newest counts."""
        self.counts.update({(c.partition, c.study): c for c in counts})


class Applier:
    """Applies events to one index."""

    def __init__(
        self, *, index: StudyIndex, storage: Storage, announce: Announce | None = None
    ) -> None:
        self._index = index
        self._storage = storage
        self._announce = announce
        self._trash = Trash(storage)
        self._sites = StudySites(storage)

    async def apply(
        self, events: Sequence[Event], traces: Mapping[int, str] | None = None
    ) -> Outcome:
        """Apply events in their order; `traces`: of which trace they are (`IndexEntry.trace`), by
        their places. Errors of single events are in the outcome; raises what
        may succeed later: `TRANSIENT`, and `Corrupted` for a damaged index."""
        outcome = Outcome()
        try:
            await self._apply(list(enumerate(events)), outcome, traces or {})
        except (*TRANSIENT, Corrupted):
            raise
        except Exception as error:  # noqa: BLE001 - the event that causes it is looked for
            logger.warning("a batch is applied one by one", extra={"error": type(error).__name__})
            await self._one_by_one(events, outcome, traces or {})
        return outcome

    async def _one_by_one(
        self, events: Sequence[Event], outcome: Outcome, traces: Mapping[int, str]
    ) -> None:
        for place, event in enumerate(events):
            try:
                await self._apply([(place, event)], outcome, traces)
            except (*TRANSIENT, Corrupted):
                raise
            except Exception as error:  # noqa: BLE001 - whatever one does, the others go on
                outcome.errors[place] = error

    async def _apply(
        self, events: Sequence[tuple[int, Event]], outcome: Outcome, traces: Mapping[int, str]
    ) -> None:
        for kind, run in groupby(events, key=lambda item: type(item[1])):
            places = list(run)
            if kind is InstanceStored:
                stored = {place: e for place, e in places if isinstance(e, InstanceStored)}
                await self._stored(stored, outcome, traces)
            elif kind is InstanceDeleted:
                deleted = {place: e for place, e in places if isinstance(e, InstanceDeleted)}
                await self._deleted(deleted, outcome)

    async def _deleted(self, events: Mapping[int, InstanceDeleted], outcome: Outcome) -> None:
        """First the index forgets them: whatever is interrupted then, no search finds what cannot
        be retrieved."""
        leads = self._announce is not None
        due = await self._trash.due(events) if leads else {}
        gone = list(due.values()) if leads else await self._trash.gone(list(events.values()))
        removed = await self._index.remove([ObjectName(e.name, e.digest) for e in gone])
        outcome.errors.update(await self._trash.take(due))
        outcome.count(removed)

    async def _stored(
        self, events: Mapping[int, InstanceStored], outcome: Outcome, traces: Mapping[int, str]
    ) -> None:
        events = await self._trash.shown(events, moving=self._announce is not None)
        places = list(events)
        held = await self._index.versions(list({event.name for event in events.values()}))
        overlays = await self._overlays(list(events.values()), held)
        found, errors = await read_events(
            self._storage, self._index.attributes, list(events.values()), overlays
        )
        outcome.errors.update({places[at]: error for at, error in errors.items()})
        reads = {places[at]: read for at, read in sorted(found.items())}
        new = [
            read.pack
            for read in reads.values()
            if read.pack.overlay or not _holds(held, read.pack.object)
        ]
        outcome.series += await self._write_packs(new)
        changed: dict[InstanceName, dict[str, IndexEntry]] = {}
        for place, read in reads.items():
            versions = changed.setdefault(read.index.name, {})
            event = events[place]
            sites = await self._sites.of(event.name.partition, event.name.study, event.site)
            attributes = with_sites(read.index.attributes, sites)
            entry = replace(read.index, attributes=attributes, trace=traces.get(place, ""))
            await self._arrive(event, entry, held, versions)
        entries = [entry for versions in changed.values() for entry in versions.values()]
        outcome.count(await self._index.upsert(entries))

    async def _overlays(
        self, events: Sequence[InstanceStored], held: _Versions
    ) -> Mapping[ObjectName, Overlay]:
        """The overlays that count. Objects have none if no event names one, unless an event of an
        earlier batch may have."""
        named = {
            name
            for event in events
            for name in [ObjectName(event.name, event.digest)]
            if event.overlay or _holds(held, name)
        }
        gate = asyncio.Semaphore(_AT_ONCE)

        async def newest(name: ObjectName) -> Overlay | None:
            async with gate:
                return await self._overlay(name)

        found = zip(named, await asyncio.gather(*map(newest, named)), strict=True)
        return {name: overlay for name, overlay in found if overlay is not None}

    async def _overlay(self, name: ObjectName) -> Overlay | None:
        """One that is damaged is the fault of its object, not of the index."""
        try:
            return await newest_overlay(self._storage, name)
        except Corrupted as error:
            raise Unprocessable(error.message, fix=error.fix) from error

    async def _write_packs(self, new: Sequence[PackEntry]) -> Sequence[SeriesName]:
        """An object store that is full takes no packs; what is in it is to be found all the same.
        Instances without a pack are read from their objects, and get one by a rebuild."""
        try:
            return await write_packs(self._storage, new)
        except OutOfResources as error:
            logger.warning(
                "instances are indexed without metadata packs",
                extra={"instances": len(new), "error": str(error)},
            )
            return ()

    # --- versions --------------------------------------------------------------------------------

    async def _arrive(
        self,
        event: InstanceStored,
        entry: IndexEntry,
        held: _Versions,
        versions: dict[str, IndexEntry],
    ) -> None:
        """Add one arrival to `versions`, the entries of its name to be upserted."""
        known = {v.digest: v for v in held.get(entry.name, ())} | versions
        if not set(known) - {entry.digest}:
            versions[entry.digest] = entry
            return
        decisions = await read_decisions(self._storage, entry.name)
        kept = next((d for d, v in known.items() if v.current and d != entry.digest), "")
        if kept and entry.digest not in decisions.considered:
            decisions = await self._decide(event, decisions, kept)
        digests = [*known, entry.digest]
        current = decisions.current_of(digests, otherwise=kept or entry.digest)
        decision = decisions.last
        versions[entry.digest] = replace(entry, current=entry.digest == current, decision=decision)
        for digest, version in known.items():
            if digest != entry.digest and version.current != (digest == current):
                turned = replace(version, current=digest == current, decision=decision)
                await self._turn(turned, versions)

    async def _decide(self, event: InstanceStored, before: Decisions, kept: str) -> Decisions:
        if self._announce is None:
            return before
        latest = event.policy is ConflictPolicy.KEEP_LATEST
        current, other = (event.digest, kept) if latest else (kept, event.digest)
        # Announced before it is decided: a decision is never taken twice, so it would stay
        # unannounced if this process ended in between.
        await self._announce(
            InstanceConflict(event.name, current, other, event.policy, event.source)
        )
        return await decide(self._storage, event.name, before, kept, event.digest, event.policy)

    async def _turn(self, version: IndexEntry, versions: dict[str, IndexEntry]) -> None:
        """Make a kept version the current one, or no longer. The index need not give back
        attributes, so they are read anew."""
        if version.digest not in versions:
            name = ObjectName(version.name, version.digest)
            table = self._index.attributes
            overlay = await self._overlay(name)
            size = version.size
            read = (await read_object(self._storage, table, name, size, overlay=overlay)).index
            sites = await self._sites.of(version.name.partition, version.name.study)
            version = replace(
                read,
                attributes=with_sites(read.attributes, sites),
                current=version.current,
                decision=version.decision,
            )
        versions[version.digest] = version


def _holds(held: _Versions, name: ObjectName) -> bool:
    return any(version.digest == name.digest for version in held.get(name.name, ()))
