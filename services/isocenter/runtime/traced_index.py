"""The search index and the audit trail's index, with traces and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from isocenter.core.attributes import Attributes
from isocenter.core.audit import AuditFilter, AuditIndex, By, Entry, Place, Tally
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Search
from isocenter.core.ports import (
    IndexEntry,
    Match,
    ScratchIndex,
    StudyCount,
    StudyIndex,
)
from isocenter.runtime.instruments import AUDIT_RECORDS, INDEX_DURATION
from isocenter.runtime.telemetry import Operation, Telemetry


def _operation(telemetry: Telemetry, name: str) -> Operation:
    span = telemetry.child(f"index.{name}", role="client")
    return Operation(telemetry, INDEX_DURATION, {"operation": name}, span)


class TracedIndex:
    """A `StudyIndex` around another one."""

    def __init__(self, index: StudyIndex, telemetry: Telemetry) -> None:
        self._index = index
        self._telemetry = telemetry
        self.close = index.close
        self.unfilled = index.unfilled
        self.totals = index.totals  # asked for metrics themselves
        self.fill_state = index.fill_state
        self.replace_fill_state = index.replace_fill_state

    @property
    def attributes(self) -> Attributes:
        """See `StudyIndex`."""
        return self._index.attributes

    @property
    def feed(self) -> str:
        """See `StudyIndex`."""
        return self._index.feed

    async def upsert(self, entries: Sequence[IndexEntry]) -> Sequence[StudyCount]:
        """See `StudyIndex`."""
        with _operation(self._telemetry, "upsert"):
            return await self._index.upsert(entries)

    async def refill(self, entries: Sequence[IndexEntry]) -> None:
        """See `StudyIndex`."""
        with _operation(self._telemetry, "refill"):
            await self._index.refill(entries)

    async def versions(
        self, names: Sequence[InstanceName]
    ) -> Mapping[InstanceName, Sequence[IndexEntry]]:
        """See `StudyIndex`."""
        with _operation(self._telemetry, "versions"):
            return await self._index.versions(names)

    async def remove(self, objects: Sequence[ObjectName]) -> Sequence[StudyCount]:
        """See `StudyIndex`."""
        with _operation(self._telemetry, "remove"):
            return await self._index.remove(objects)

    async def search(self, search: Search) -> AsyncIterator[Sequence[Match]]:
        """See `StudyIndex`."""
        searching = _operation(self._telemetry, "search")
        async with aclosing(searching.through(self._index.search(search))) as batches:
            async for batch in batches:
                yield batch

    async def count(self, search: Search) -> int:
        """See `StudyIndex`."""
        with _operation(self._telemetry, "count"):
            return await self._index.count(search)

    async def scratch(self) -> ScratchIndex:
        """See `StudyIndex`. A rebuild is not measured: it would hide what is served meanwhile."""
        return await self._index.scratch()


class TracedAuditIndex:
    """An `AuditIndex` around another one."""

    def __init__(self, index: AuditIndex, telemetry: Telemetry) -> None:
        self._index = index
        self._telemetry = telemetry
        self.close = index.close
        self.reach = index.reach
        self.get = index.get
        self.expire = index.expire
        self.earlier = index.earlier

    async def append(self, entries: Sequence[Entry]) -> None:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_append"):
            await self._index.append(entries)
        for (action, outcome), count in _counted(entries).items():
            self._telemetry.count(AUDIT_RECORDS, count, {"action": action, "outcome": outcome})

    async def places(self, ids: Sequence[str]) -> Mapping[str, Place]:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_places"):
            return await self._index.places(ids)

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_search"):
            return await self._index.search(which, limit, before)

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_count"):
            return await self._index.count(which)

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_tally"):
            return await self._index.tally(which, by)


def _counted(entries: Sequence[Entry]) -> Mapping[tuple[str, str], int]:
    return Counter((one.event.action.value, one.event.outcome.value) for one in entries)
