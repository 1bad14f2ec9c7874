"""Deleted objects in the object store: hidden, shown again, and destroyed in the end.

The log decides, and the one that consumes a study's partition carries it out, in the order of the
events. A delivery may be repeated, and a member that has lost its partition without knowing it may
come late: an object that was stored after its deletion has a mark (`core.deletions`), which tells
both that this deletion is over for it. The mark is there before the object is shown again, and
looked for before and after it is hidden, so whoever comes last leaves it shown.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from isocenter.core.apis import Storage
from isocenter.core.deletions import (
    DeletedObject,
    deleted_at,
    record_key,
)
from isocenter.core.errors import DeadlineExceeded, IsocenterError, NotFound, Unavailable
from isocenter.core.events import InstanceDeleted, InstanceStored
from isocenter.core.identity import ObjectName
from isocenter.runtime.deletion_records import Held, held_of

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 16  # objects that are looked at or moved
_NOTHING = hashlib.sha256().hexdigest()

Place = int  # of an event in its batch


class Trash:
    """Moves objects in and out, as events say."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    # --- of events -------------------------------------------------------------------------------

    async def due(self, events: Mapping[Place, InstanceDeleted]) -> Mapping[Place, InstanceDeleted]:
        """Those of the deletions that count: not those that are over, for all or for one object."""
        deletions = list({_deletion(event) for event in events.values() if event.deletion})
        records = [record_key(partition, deletion) for partition, _, deletion in deletions]
        there = dict(zip(deletions, await self._all(self._is_kept, records), strict=True))
        held = await asyncio.gather(*(held_of(self._storage, *of) for of in deletions if there[of]))
        over = {one.one for one in chain.from_iterable(held) if one.spared}
        return {
            place: event
            for place, event in events.items()
            if there.get(_deletion(event)) and _deleted(event) not in over
        }

    async def take(self, events: Mapping[Place, InstanceDeleted]) -> Mapping[Place, Exception]:
        """Hide the objects of deletions; why some cannot be, which stay. A store that is full is no
        reason to wait: it would hold up everything else."""
        results = await self._all(self._hidden, list(events.values()))
        errors = zip(events, results, strict=True)
        return {place: error for place, error in errors if error is not None}

    async def gone(self, events: Sequence[InstanceDeleted]) -> Sequence[InstanceDeleted]:
        """Those of the deletions whose objects are not there, for whoever moves nothing."""
        keys = [_deleted(event).object.key for event in events]
        there = await self._all(self._is_kept, keys)
        return [event for event, kept in zip(events, there, strict=True) if not kept]

    async def shown(
        self, events: Mapping[Place, InstanceStored], *, moving: bool
    ) -> Mapping[Place, InstanceStored]:
        """Those of the stores whose objects are there. What was deleted before it was stored is
        shown again, if `moving`; what was deleted since is left out."""
        studies = {(event.name.partition, event.name.study) for event in events.values()}
        held = await asyncio.gather(*(held_of(self._storage, *study) for study in studies))
        deleted: defaultdict[ObjectName, list[Held]] = defaultdict(list)
        for one in chain.from_iterable(held):
            deleted[one.one.object].append(one)

        async def is_shown(event: InstanceStored) -> bool:
            name = ObjectName(event.name, event.digest)
            if name not in deleted:
                return True
            at = event.received_at
            over = [one for one in deleted[name] if at > deleted_at(one.one.deletion)]
            if moving and over:
                await self.show(over)
            return await self._is_kept(name.key)

        if not deleted:
            return events
        shown = await self._all(is_shown, list(events.values()))
        found = zip(events.items(), shown, strict=True)
        return {place: event for (place, event), there in found if there}

    # --- of objects ------------------------------------------------------------------------------

    async def show(self, deleted: Sequence[Held]) -> None:
        """An object that counts as stored again, whatever deletions it was in."""
        for one in deleted:
            if not one.spared:
                await self._storage.put(one.one.spared_key, [], _NOTHING)
        if await self._is_kept(deleted[0].one.object.key):
            return
        for one in deleted:
            if one.object:
                await self._move(one.one.key, one.one.object.key)
                return

    async def _hidden(self, event: InstanceDeleted) -> Exception | None:
        """Hide the object of a deletion; why it cannot be. Raises what may succeed later."""
        deleted = _deleted(event)
        try:
            await self._move(deleted.object.key, deleted.key)
            if await self._is_kept(deleted.spared_key):
                await self._move(deleted.key, deleted.object.key)
        except (Unavailable, DeadlineExceeded):
            raise
        except IsocenterError as error:
            return error
        return None

    async def _move(self, key: str, target: str) -> None:
        try:
            await self._storage.move(key, target)
        except NotFound:
            return  # somebody else did, or destroyed it

    async def _is_kept(self, key: str) -> bool:
        try:
            await self._storage.stat(key)
        except NotFound:
            return False
        return True

    async def _all(self, work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> Sequence[R]:
        """The same work on many objects, some at once."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(item: T) -> R:
            async with gate:
                return await work(item)

        return await asyncio.gather(*map(one, items))


def _deleted(event: InstanceDeleted) -> DeletedObject:
    return DeletedObject(event.deletion, ObjectName(event.name, event.digest))


def _deletion(event: InstanceDeleted) -> tuple[str, str, str]:
    return event.name.partition, event.name.study, event.deletion
