"""The log in memory, for tests: the same contract inside one process, nothing survives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from isocenter.core.errors import Unavailable
from isocenter.core.events import DEAD_SUFFIX
from isocenter.core.ports import Consumer, Delivery, Record

PARTITION = 0


@dataclass(slots=True)
class _State:
    """What a bus and its consumers share."""

    topics: dict[str, list[Delivery]] = field(default_factory=dict)
    committed: dict[tuple[str, str], int] = field(default_factory=dict)  # (group, topic): offset
    owners: dict[tuple[str, str], MemoryConsumer] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def notify(self) -> None:
        """Wake every consumer that waits."""
        async with self.changed:
            self.changed.notify_all()


class MemoryBus:
    """An `EventBus` with one partition per topic."""

    def __init__(self) -> None:
        self._state = _State()
        self._closed = False

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        """Append all records."""
        if self._closed:
            raise Unavailable("the log is closed", fix="open it again")
        log = self._state.topics.setdefault(topic, [])
        now = datetime.now(UTC)
        log.extend(
            Delivery(topic, PARTITION, offset, r.key, r.type, r.data, dict(r.headers), now)
            for offset, r in enumerate(records, start=len(log))
        )
        await self._state.notify()

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group; each topic belongs to one member, the others stand by."""
        for topic in topics:
            self._state.committed.setdefault((group, topic), 0)
        return MemoryConsumer(self, self._state, group, tuple(topics))

    async def replay(
        self, topic: str, offsets: Mapping[int, int] | None = None
    ) -> AsyncIterator[Delivery]:
        """All events up to the end the log had when the call began."""
        start = (offsets or {}).get(PARTITION, 0)
        for delivery in self._state.topics.get(topic, [])[start:]:
            yield delivery

    async def end(self, topic: str) -> Mapping[int, int]:
        """The next offset."""
        return {PARTITION: len(self._state.topics.get(topic, []))}

    async def lag(self, group: str, topic: str) -> int:
        """How many events the group has not committed."""
        return len(self._state.topics.get(topic, [])) - self._state.committed.get((group, topic), 0)

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
        self._positions: dict[str, int] = {}

    async def poll(self, max_records: int, timeout: float) -> Sequence[Delivery]:
        """The next events of the topics that this member owns."""
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
            lease = (self._group, topic)
            if self._state.owners.setdefault(lease, self) is not self:
                continue
            position = self._positions.setdefault(topic, self._state.committed[lease])
            log = self._state.topics.get(topic, [])
            batch = log[position : position + max_records - len(found)]
            self._positions[topic] = position + len(batch)
            found.extend(batch)
        return found

    def owns(self, delivery: Delivery) -> bool:
        """Whether the topic is still this member's."""
        return self._state.owners.get((self._group, delivery.topic)) is self

    async def commit(self) -> None:
        """Everything polled so far is done."""
        for topic, position in self._positions.items():
            self._state.committed[self._group, topic] = position

    async def dead_letter(self, delivery: Delivery, error: str) -> None:
        """Copy the event to the dead-letter topic."""
        headers = {**delivery.headers, "error": error}
        record = Record(delivery.key, delivery.type, delivery.data, headers)
        await self._bus.append(delivery.topic + DEAD_SUFFIX, [record])

    async def close(self) -> None:
        """Leave the group."""
        for topic in self._topics:
            lease = (self._group, topic)
            if self._state.owners.get(lease) is self:
                del self._state.owners[lease]
        self._positions.clear()
        await self._state.notify()
