"""The search index and the audit trail's index, with traces and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from isocenter.core.attributes import Attributes
from isocenter.core.events import AuditEvent
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Search
from isocenter.core.ports import (
    AuditFilter,
    AuditIndex,
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

    async def append(self, records: Sequence[AuditEvent]) -> None:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_append"):
            await self._index.append(records)
        for record in records:
            labels = {"action": record.action.value, "outcome": record.outcome.value}
            self._telemetry.count(AUDIT_RECORDS, 1, labels)

    async def search(
        self, which: AuditFilter, limit: int, before: str = ""
    ) -> Sequence[AuditEvent]:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_search"):
            return await self._index.search(which, limit, before)

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        with _operation(self._telemetry, "audit_count"):
            return await self._index.count(which)
