"""The log in memory, for tests: the same contract inside one process, nothing survives it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from isocenter.core.errors import Unavailable
from isocenter.core.events import DEAD_SUFFIX
from isocenter.core.ports import Consumer, Delivery, Record

_Log = tuple[str, int]  # topic and partition
_Lease = tuple[str, str, int]  # group, topic and partition


@dataclass(slots=True)
class _State:
    """What a bus and its consumers share."""

    partitions: int
    logs: dict[_Log, list[Delivery]] = field(default_factory=dict)
    committed: dict[_Lease, int] = field(default_factory=dict)  # offset
    owners: dict[_Lease, MemoryConsumer] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def notify(self) -> None:
        """Wake every consumer that waits."""
        async with self.changed:
            self.changed.notify_all()

    def log(self, topic: str, partition: int) -> list[Delivery]:
        """What a partition holds."""
        return self.logs.setdefault((topic, partition), [])


class MemoryBus:
    """An `EventBus` in lists. A partition belongs to the member that polls it first."""

    def __init__(self, partitions: int = 1) -> None:
        self._state = _State(partitions)
        self._closed = False

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        """Append all records."""
        if self._closed:
            raise Unavailable("the log is closed", fix="open it again")
        now = datetime.now(UTC)
        for r in records:
            number = zlib.crc32(r.key.encode()) % self._state.partitions
            log = self._state.log(topic, number)
            log.append(
                Delivery(topic, number, len(log), r.key, r.type, r.data, dict(r.headers), now)
            )
        await self._state.notify()

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group; each partition belongs to one member, the others stand by."""
        return MemoryConsumer(self, self._state, group, tuple(topics))

    async def replay(
        self, topic: str, offsets: Mapping[int, int] | None = None
    ) -> AsyncIterator[Delivery]:
        """All events up to the end the log had when the call began."""
        held = [
            self._state.log(topic, number)[(offsets or {}).get(number, 0) :]
            for number in range(self._state.partitions)
        ]
        for log in held:
            for delivery in log:
                yield delivery

    async def end(self, topic: str) -> Mapping[int, int]:
        """The next offsets."""
        return {
            number: len(self._state.log(topic, number)) for number in range(self._state.partitions)
        }

    async def oldest(self, topic: str) -> Mapping[int, int]:
        """The first offsets: nothing is ever removed."""
        return dict.fromkeys(await self.end(topic), 0)

    async def begin(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Where a new group begins."""
        if not any(lease[:2] == (group, topic) for lease in self._state.committed):
            for number, offset in offsets.items():
                self._state.committed[group, topic, number] = offset

    async def lag(self, group: str, topic: str) -> int:
        """How many events the group has not committed."""
        return sum(
            end - self._state.committed.get((group, topic, number), 0)
            for number, end in (await self.end(topic)).items()
        )

    async def forget(self, prefix: str, keep: Collection[str]) -> Sequence[str]:
        """They begin anew if they come back all the same."""
        leases = self._state.committed
        gone = {lease[0] for lease in leases if lease[0].startswith(prefix)}.difference(keep)
        for lease in [lease for lease in leases if lease[0] in gone]:
            del leases[lease]
        return sorted(gone)

    async def revoke(self, group: str, topic: str) -> None:
        """Take a topic's partitions from their owners: what happens when members come and go."""
        for lease in [lease for lease in self._state.owners if lease[:2] == (group, topic)]:
            self._state.owners.pop(lease).forget(lease)
        await self._state.notify()

    async def close(self) -> None:
        """Refuse further appends."""
        self._closed = True


class MemoryConsumer:
    """One member of a group of a `MemoryBus`."""

    def __init__(self, bus: MemoryBus, state: _State, group: str, topics: tuple[str, ...]) -> None:
        self._bus = bus
        self._state = state
        self._group = group
        self._topics = topics
        self._positions: dict[_Lease, int] = {}  # of the partitions that this member owns

    async def poll(self, max_records: int, timeout: float) -> Sequence[Delivery]:
        """The next events of the partitions that this member owns."""
        changed = self._state.changed
        try:
            async with asyncio.timeout(timeout), changed:
                while not (found := self._next(max_records)):
                    await changed.wait()
                return found
        except TimeoutError:
            return self._next(max_records)

    def _next(self, max_records: int) -> list[Delivery]:
        found: list[Delivery] = []
        for topic in self._topics:
            for number in range(self._state.partitions):
                lease = (self._group, topic, number)
                if self._state.owners.setdefault(lease, self) is not self:
                    continue
                position = self._positions.setdefault(lease, self._state.committed.get(lease, 0))
                end = position + max_records - len(found)
                batch = self._state.log(topic, number)[position:end]
                self._positions[lease] = position + len(batch)
                found.extend(batch)
        return found

    def owns(self, delivery: Delivery) -> bool:
        """Whether it was polled since its partition came to this member, and is still here."""
        lease = (self._group, delivery.topic, delivery.partition)
        return delivery.offset < self._positions.get(lease, 0)

    def forget(self, lease: _Lease) -> None:
        """The partition is no longer this member's."""
        self._positions.pop(lease, None)

    async def commit(self) -> None:
        """Everything polled so far of what this member owns is done."""
        self._state.committed.update(self._positions)

    async def dead_letter(self, delivery: Delivery, error: str) -> None:
        """Copy the event to the dead-letter topic."""
        headers = {**delivery.headers, "error": error}
        record = Record(delivery.key, delivery.type, delivery.data, headers)
        await self._bus.append(delivery.topic + DEAD_SUFFIX, [record])

    async def close(self) -> None:
        """Leave the group."""
        for lease in self._positions:
            del self._state.owners[lease]
        self._positions.clear()
        await self._state.notify()
