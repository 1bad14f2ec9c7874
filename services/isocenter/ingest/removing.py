"""Deletion on request, and its undoing.

What is deleted is told by events, object by object, and carried out by indexing (`indexing.trash`)
in the order of the log. This waits a while for it, so that an answer means what it says.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from isocenter.core.access import SYSTEM, Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Storage
from isocenter.core.deletions import (
    DeletedObject,
    Deletion,
    deletion_id,
    deletions_prefix,
    is_deletion_id,
    record_key,
    record_of,
)
from isocenter.core.entries import event_from_object
from isocenter.core.errors import Invalid, IsocenterError, NotFound, Refused
from isocenter.core.events import AuditAction, InstanceDeleted, Source
from isocenter.core.identity import ObjectName, objects_prefix
from isocenter.core.ports import BlobInfo, Record
from isocenter.core.scope import EVERYTHING
from isocenter.ingest.announcing import Announcer
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.deletion_records import held_of, read_deletion
from isocenter.runtime.event_codec import encode
from isocenter.runtime.overlay_records import newest_overlay
from isocenter.runtime.streams import generator

MAX_REASON = 200  # characters

_BATCH = 500  # deletions announced in one append
_RESTORED = 20  # stores; each may have a header of 256 KiB
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between looks whether it is done
_MARGIN = timedelta(minutes=1)  # before the end, in which it is too late to undo a deletion
_PATIENT_ID = "00100020"

_Object = tuple[ObjectName, BlobInfo]


class Remover:
    """Deletes and restores."""

    def __init__(
        self,
        *,
        storage: Storage,
        announcer: Announcer,
        audit_log: AuditLog,
        settings: IngestSettings,
        guard: Guard,
    ) -> None:
        self._guard = guard
        self._storage = storage
        self._announcer = announcer
        self._audit_log = audit_log
        self._settings = settings

    async def delete(
        self,
        caller: Caller,
        partition: str,
        study: str,
        series: str,
        instance: str,
        by: Source,
        reason: str,
    ) -> Deletion:
        """See `Ingest`."""
        await self._guard.check(caller, Right.DELETE, partition, study)
        if len(reason) > MAX_REASON:
            raise Invalid(f"the reason is longer than {MAX_REASON} characters", fix="shorten it")
        objects = await self._objects(partition, study, series, instance)
        if not objects:
            raise NotFound("nothing is kept there that could be deleted")
        now = datetime.now(UTC)
        keep_until = now + timedelta(hours=self._settings.keep_deleted_hours)
        deletion = Deletion(
            id=deletion_id(now, keep_until, secrets.randbits(32)),
            partition=partition,
            study=study,
            series=series,
            instance=instance,
            by=by,
            reason=reason,
            instances=len({name.name for name, _ in objects}),
            objects=len(objects),
            size=sum(info.size for _, info in objects),
        )
        acting = replace(by, purpose=by.purpose or reason)  # in the record of each object too
        await self._record(deletion, acting, f"deleted {deletion.id}: {reason}")
        record = record_of(deletion)
        key = record_key(partition, deletion.id)
        await self._storage.put(key, [record], hashlib.sha256(record).hexdigest())
        for start in range(0, len(objects), _BATCH):
            batch = objects[start : start + _BATCH]
            events = [
                InstanceDeleted(name.name, name.digest, reason, acting, deletion.id)
                for name, _ in batch
            ]
            await self._announcer.until_durable([encode(event) for event in events])
        mine = {name for name, _ in objects}

        async def kept() -> int:
            there = await self._objects(partition, study, series, instance)
            return sum(name in mine for name, _ in there)

        await self._until_none(kept)
        return replace(deletion, kept=len(await self._deleted(deletion)))

    async def deletions(self, caller: Caller, partition: str) -> AsyncIterator[Deletion]:
        """See `Ingest`."""
        self._everywhere(caller)
        async with aclosing(generator(self._storage.list(deletions_prefix(partition)))) as infos:
            async for info in infos:
                with suppress(NotFound):  # it is over by now
                    deletion = await read_deletion(self._storage, info.key)
                    kept = await self._deleted(deletion)
                    if kept:
                        yield replace(deletion, kept=len(kept))

    async def restore(self, caller: Caller, partition: str, deletion: str, by: Source) -> Deletion:
        """See `Ingest`."""
        self._everywhere(caller)
        if not is_deletion_id(deletion):
            raise NotFound("there is no such deletion", fix="list the deletions")
        found = await read_deletion(self._storage, record_key(partition, deletion))
        objects = await self._deleted(found)
        # Later than the deletion, though it was ordered by a process whose clock is ahead.
        now = max(datetime.now(UTC), found.at + timedelta(microseconds=1))
        if not objects or now > found.keep_until - _MARGIN:
            raise NotFound("nothing of this deletion can be restored any more")
        await self._record(found, by, f"restored {deletion}")
        source = replace(by, protocol="restore")
        for start in range(0, len(objects), _RESTORED):
            batch = objects[start : start + _RESTORED]
            await self._announcer.until_durable(
                [await self._store(one, info, source, now) for one, info in batch]
            )

        async def left() -> int:
            return len(await self._deleted(found))

        await self._until_none(left)
        return replace(found, kept=await left())

    def _everywhere(self, caller: Caller) -> None:
        """Raises `Refused`: of what is deleted nothing is known by which rules could tell."""
        self._guard.require(caller, Right.DELETE)
        if self._guard.scope(caller, Right.DELETE) != EVERYTHING:
            raise Refused(f"{caller} may not delete everywhere, and so not restore either")

    async def _record(self, deletion: Deletion, by: Source, detail: str) -> None:
        """In the audit trail before anything happens."""
        await self._audit_log.record(
            AuditAction.DELETE,
            by,
            partition=deletion.partition,
            patient_ids=await self._patient(deletion),
            studies=(deletion.study,),
            series=(deletion.series,) if deletion.series else (),
            instances=(deletion.instance,) if deletion.instance else (),
            instance_count=deletion.instances,
            detail=detail,
        )

    async def _patient(self, deletion: Deletion) -> tuple[str, ...]:
        """Whose study it is, as far as that can be read."""
        level = (deletion.partition, deletion.study, deletion.series, deletion.instance)
        with suppress(IsocenterError, ValueError, KeyError, IndexError, TypeError):
            async with aclosing(generator(self._storage.metadata(SYSTEM, *level))) as found:
                async for attributes in found:
                    return (str(json.loads(attributes)[_PATIENT_ID]["Value"][0]),)
        return ()

    async def _objects(
        self, partition: str, study: str, series: str, instance: str
    ) -> Sequence[_Object]:
        """All versions that are there at or below a level."""
        found = self._storage.list(objects_prefix(partition, study, series, instance))
        async with aclosing(generator(found)) as infos:
            named = [(ObjectName.from_key(info.key), info) async for info in infos]
        return [(name, info) for name, info in named if name is not None]

    async def _deleted(self, deletion: Deletion) -> Sequence[tuple[DeletedObject, BlobInfo]]:
        """What is hidden by a deletion now."""
        held = await held_of(self._storage, deletion.partition, deletion.study, deletion.id)
        return [(one.one, one.object) for one in held if one.object and not one.spared]

    async def _store(
        self, one: DeletedObject, info: BlobInfo, source: Source, now: datetime
    ) -> Record:
        overlay = await newest_overlay(self._storage, one.object)
        async with aclosing(generator(self._storage.read(info.key))) as chunks:
            found = await event_from_object(one.object, info.size, chunks, source, now, overlay)
        return encode(found)

    async def _until_none(self, left: Callable[[], Awaitable[int]]) -> None:
        """Until indexing has done it, or for so long that whoever waits should be told."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.announce_seconds
        pause = _FIRST_PAUSE
        while await left() and clock() + pause < deadline:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
