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
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import chain

from isocenter.core.apis import Storage
from isocenter.core.deletions import (
    DeletedObject,
    deleted_at,
    deleted_from_key,
    deleted_prefix,
    record_key,
)
from isocenter.core.errors import DeadlineExceeded, NotFound, Unavailable
from isocenter.core.events import InstanceDeleted, InstanceStored
from isocenter.core.identity import ObjectName
from isocenter.runtime.streams import generator

_AT_ONCE = 16  # objects that are moved
_LATER = (Unavailable, DeadlineExceeded)  # the same again may succeed
_NOTHING = hashlib.sha256().hexdigest()

Place = int  # of an event in its batch


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept of one object of a deletion."""

    one: DeletedObject
    object: bool  # the object itself
    spared: bool  # the mark


class Trash:
    """Moves objects in and out, as events say."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    # --- of events -------------------------------------------------------------------------------

    async def take(self, events: Mapping[Place, InstanceDeleted]) -> Mapping[Place, Exception]:
        """Hide the objects of deletions; why some cannot be, which stay. A store that is full is no
        reason to wait: it would hold up everything else."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def hide(event: InstanceDeleted) -> None:
            async with gate:
                await self._hide(event)

        hidden = [hide(event) for event in events.values()]
        results = await asyncio.gather(*hidden, return_exceptions=True)
        errors: dict[Place, Exception] = {}
        for place, result in zip(events, results, strict=True):
            if isinstance(result, Exception) and not isinstance(result, _LATER):
                errors[place] = result
            elif isinstance(result, BaseException):
                raise result
        return errors

    async def due(self, events: Mapping[Place, InstanceDeleted]) -> Mapping[Place, InstanceDeleted]:
        """Those of the deletions that count: not those that are over, for all or for one object."""
        known: dict[tuple[str, str], bool] = {}
        due: dict[Place, InstanceDeleted] = {}
        for place, event in events.items():
            if not event.deletion:
                continue
            record = event.name.partition, event.deletion
            if record not in known:
                known[record] = await self._is_kept(record_key(*record))
            if known[record] and not await self._is_kept(_deleted(event).spared_key):
                due[place] = event
        return due

    async def gone(self, events: Sequence[InstanceDeleted]) -> Sequence[InstanceDeleted]:
        """Those of the deletions whose objects are not there, for whoever moves nothing."""
        names = [ObjectName(event.name, event.digest) for event in events]
        return [
            event
            for event, name in zip(events, names, strict=True)
            if not await self._is_kept(name.key)
        ]

    async def shown(
        self, events: Mapping[Place, InstanceStored], *, moving: bool
    ) -> Mapping[Place, InstanceStored]:
        """Those of the stores whose objects are there. What was deleted before it was stored is
        shown again, if `moving`; what was deleted since is left out."""
        studies = {(event.name.partition, event.name.study) for event in events.values()}
        held = await asyncio.gather(*(self.held(*study) for study in studies))
        deleted: defaultdict[ObjectName, list[Held]] = defaultdict(list)
        for one in chain.from_iterable(held):
            deleted[one.one.object].append(one)
        if not deleted:
            return events
        shown: dict[Place, InstanceStored] = {}
        for place, event in events.items():
            name = ObjectName(event.name, event.digest)
            of_it = deleted.get(name, ())
            over = [one for one in of_it if event.received_at > deleted_at(one.one.deletion)]
            if moving and over:
                await self.show(over)
            if name not in deleted or await self._is_kept(name.key):
                shown[place] = event
        return shown

    # --- of objects ------------------------------------------------------------------------------

    async def held(self, partition: str, study: str, deletion: str = "") -> Sequence[Held]:
        """What is deleted of a study, or by one deletion, in the order of the keys."""
        found: dict[DeletedObject, list[bool]] = {}
        listing = self._storage.list(deleted_prefix(partition, study, deletion))
        async with aclosing(generator(listing)) as infos:
            async for info in infos:
                named = deleted_from_key(info.key)
                if named is not None:
                    found.setdefault(named[0], [False, False])[named[1]] = True
        return [Held(one, *kept) for one, kept in found.items()]

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

    async def _hide(self, event: InstanceDeleted) -> None:
        deleted = _deleted(event)
        await self._move(deleted.object.key, deleted.key)
        if await self._is_kept(deleted.spared_key):
            await self._move(deleted.key, deleted.object.key)

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


def _deleted(event: InstanceDeleted) -> DeletedObject:
    return DeletedObject(event.deletion, ObjectName(event.name, event.digest))
