"""Whether objects are kept as they were sent: what a commitment is based on (PS3.4 J.3.3)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from isocenter.core.access import SYSTEM, Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Query, Storage, StoredInstance
from isocenter.core.errors import NotFound, Refused, Withheld
from isocenter.core.events import SopReference
from isocenter.core.identity import DEFAULT_PARTITION, objects_prefix
from isocenter.core.matching import Key, Level, Search
from isocenter.gateway import statuses
from isocenter.gateway.identifiers import INSTANCE_UID, SERIES_UID, STUDY_UID
from isocenter.runtime.streams import generator

_ASKED = 100  # instances that the index is asked for at once
_READ = 4  # objects that are read at once

_Series = tuple[str, str]  # study, series


@dataclass(slots=True)
class Checked:
    """What was found of a request."""

    committed: list[SopReference] = field(default_factory=list)
    failed: dict[SopReference, int] = field(default_factory=dict)  # Failure Reason (0008,1197)

    @property
    def missing(self) -> bool:
        """Whether some were not found, which may be found yet."""
        return statuses.NO_SUCH_SOP_INSTANCE in self.failed.values()


class Checker:
    """Looks at objects."""

    def __init__(self, *, query: Query, storage: Storage, guard: Guard, proof: timedelta) -> None:
        """`proof`: objects written so short a time ago are not read again."""
        self._query = query
        self._storage = storage
        self._guard = guard
        self._proof = proof

    async def check(self, caller: Caller, references: Sequence[SopReference]) -> Checked:
        """Each reference is committed if the current version of an instance of its class is what
        was written, by its digest. Of studies that the caller may neither store nor find there is
        nothing here."""
        found = await self._find(caller, [reference.instance for reference in references])
        reading = asyncio.Semaphore(_READ)
        reasons = await asyncio.gather(
            *(self._reason(one, found.get(one.instance, ()), reading) for one in references)
        )
        checked = Checked()
        for reference, reason in zip(references, reasons, strict=True):
            if reason:
                checked.failed[reference] = reason
            else:
                checked.committed.append(reference)
        return checked

    async def _find(
        self, caller: Caller, uids: Sequence[str]
    ) -> Mapping[str, Sequence[StoredInstance]]:
        """Where they are: the index knows the series, the object store what it has."""
        series: defaultdict[_Series, set[str]] = defaultdict(set)
        for start in range(0, len(uids), _ASKED):
            keys = (Key(INSTANCE_UID, "UI", tuple(uids[start : start + _ASKED])),)
            search = Search(Level.INSTANCE, keys=keys, include=(STUDY_UID, SERIES_UID))
            async with aclosing(generator(self._query.search(SYSTEM, search))) as batches:
                async for batch in batches:
                    for match in batch:
                        study, within, uid = (
                            str(match.attributes[tag]["Value"][0])
                            for tag in (STUDY_UID, SERIES_UID, INSTANCE_UID)
                        )
                        series[study, within].add(uid)
        found: defaultdict[str, list[StoredInstance]] = defaultdict(list)
        told = {study: await self._is_told(caller, study) for study, _ in series}
        for of, wanted in series.items():
            if not told[of[0]]:
                continue
            async for stored in self._storage.instances(SYSTEM, DEFAULT_PARTITION, *of):
                if stored.name.instance in wanted:
                    found[stored.name.instance].append(stored)
        return found

    async def _is_told(self, caller: Caller, study: str) -> bool:
        """Whether a caller is told what is here of a study: it may have stored it, or finds it."""
        for right in (Right.STORE, Right.SEARCH):
            with suppress(Refused, Withheld):
                await self._guard.check(caller, right, DEFAULT_PARTITION, study)
                return True
        return False

    async def _reason(
        self,
        reference: SopReference,
        found: Sequence[StoredInstance],
        reading: asyncio.Semaphore,
    ) -> int:
        """Why it cannot be committed to (PS3.4 J.3.3.1.1); 0: it can."""
        if not found:
            return statuses.NO_SUCH_SOP_INSTANCE
        of_class = [one for one in found if one.sop_class == reference.sop_class]
        if not of_class:
            return statuses.CLASS_INSTANCE_CONFLICT
        for stored in of_class:
            async with reading:
                if not await self._is_whole(stored):
                    return statuses.PROCESSING_FAILURE
        return statuses.SUCCESS

    async def _is_whole(self, stored: StoredInstance) -> bool:
        try:
            info = await self._storage.stat(stored.key)
        except NotFound:
            return False
        if datetime.now(UTC) - info.modified_at < self._proof:
            return True
        name = stored.name
        prefix = objects_prefix(name.partition, name.study, name.series, name.instance)
        async with aclosing(generator(self._storage.verify(prefix))) as results:
            async for result in results:
                if result.key == stored.key:
                    return result.ok
        return False
