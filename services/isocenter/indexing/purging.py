"""Deleted objects whose time is over: destroyed, with what the packs tell of them.

Any number of processes may do it at once. What the index holds by then was stored after it was
deleted, whatever the events' times said, and is shown again instead. None is destroyed while
indexing is behind: the event that would say so may wait in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta

from isocenter.core.apis import Storage
from isocenter.core.deletions import DeletedObject, deleted_at, is_deletion_id, kept_until
from isocenter.core.errors import NotFound, Refused
from isocenter.core.events import AuditAction, Source
from isocenter.core.identity import DELETIONS, OverlayName, overlays_prefix
from isocenter.core.overlays import microseconds
from isocenter.core.ports import StudyIndex
from isocenter.indexing.packing import prune
from isocenter.indexing.settings import IndexingSettings
from isocenter.indexing.sweeping import Sweeper, now_utc
from isocenter.indexing.trash import Trash
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.deletion_records import Held, held_of, read_deletion
from isocenter.runtime.retrying import Retrying, Stopped
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

SOURCE = Source(protocol="purge")

_BATCH = 500  # objects that the index is asked for at once


class PurgeJob:
    """Looks every so many seconds for what is over."""

    def __init__(
        self,
        *,
        storage: Storage,
        index: StudyIndex,
        sweeper: Sweeper,
        audit_log: AuditLog,
        settings: IndexingSettings,
        now: Callable[[], datetime] = now_utc,
    ) -> None:
        self._storage = storage
        self._index = index
        self._sweeper = sweeper
        self._audit_log = audit_log
        self._trash = Trash(storage)
        self._every = settings.purge_seconds
        self._age = timedelta(seconds=settings.orphan_seconds)
        self._now = now
        self.retrying = Retrying(settings.retry_seconds, "the destruction of deleted objects")

    async def run(self) -> None:
        """Purge until `stop`."""
        with suppress(Stopped):
            while not self.retrying.stopping:
                await self.retrying(self.purge)
                await self.retrying.rest(self._every)

    def stop(self) -> None:
        """End after the deletion in hand."""
        self.retrying.stop()

    async def purge(self) -> None:
        """Destroy what is over now."""
        over = await self._over()
        for record in over:
            if self.retrying.stopping or await self._sweeper.behind():
                return
            await self._destroy(record)

    async def _over(self) -> Sequence[str]:
        """Keys of the records of deletions whose time is over. An event that shows an object
        again may be under way for as long as one that announces an orphan."""
        now = self._now()
        found: list[str] = []
        async with aclosing(generator(self._storage.list(DELETIONS))) as infos:
            async for info in infos:
                deletion = info.key.rpartition("/")[2]
                if not is_deletion_id(deletion):
                    continue
                if kept_until(deletion) <= now and deleted_at(deletion) + self._age <= now:
                    found.append(info.key)
        return found

    async def _destroy(self, record: str) -> None:
        try:
            deletion = await read_deletion(self._storage, record)
        except NotFound:
            return  # another process was quicker
        held = await held_of(self._storage, deletion.partition, deletion.study, deletion.id)
        objects = [one for one in held if one.object]
        if objects:
            await self._audit_log.record(
                AuditAction.DELETE,
                SOURCE,
                partition=deletion.partition,
                studies=(deletion.study,),
                series=(deletion.series,) if deletion.series else (),
                instances=(deletion.instance,) if deletion.instance else (),
                instance_count=len({one.one.object.name for one in objects}),
                detail=f"destroys what was deleted {deletion.id}",
            )
        for start in range(0, len(objects), _BATCH):
            await self._destroy_some(objects[start : start + _BATCH])
        for one in held:
            await self._storage.remove(one.one.spared_key)
        for series in dict.fromkeys(one.one.object.name.series for one in held):
            await prune(self._storage, (deletion.partition, deletion.study, series))
        await self._storage.remove(record)
        logger.info("deleted objects were destroyed", extra={"objects": len(objects)})

    async def _destroy_some(self, objects: Sequence[Held]) -> None:
        names = list({one.one.object.name for one in objects})
        indexed = await self._index.versions(names)
        for one in objects:
            versions = indexed.get(one.one.object.name, ())
            if any(version.digest == one.one.object.digest for version in versions):
                await self._trash.show([one])
            await self._storage.remove(one.one.key)
            await self._remove_overlays(one.one)

    async def _remove_overlays(self, one: DeletedObject) -> None:
        """Those that an object had when it was deleted, unless it is kept again, or was and can be
        restored from another deletion."""
        async with aclosing(generator(self._storage.list(overlays_prefix(one.object)))) as infos:
            overlays = [OverlayName.from_key(info.key) async for info in infos]
        if not overlays:
            return
        name = one.object.name
        held = await held_of(self._storage, name.partition, name.study)
        if any(other.object and other.one.object == one.object for other in held):
            return
        until = microseconds(deleted_at(one.deletion))
        for overlay in overlays:
            if overlay is not None and overlay.made <= until:
                with suppress(Refused):
                    await self._storage.remove(overlay.key)
