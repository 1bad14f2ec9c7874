"""The log on Kafka: an `EventBus` for installations of many processes."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Self

from kafka import KafkaConsumer, TopicPartition

from isocenter.adapters.bus.kafka.client import (
    LIBRARY_ERRORS,
    REQUEST_MS,
    Administration,
    Connection,
    opened,
)
from isocenter.adapters.bus.kafka.consumer import FETCH_OPTIONS, KafkaMember
from isocenter.adapters.bus.kafka.producer import Producer
from isocenter.adapters.bus.kafka.records import delivery_of, messages_of
from isocenter.adapters.settings import KafkaSettings
from isocenter.core.errors import Unavailable
from isocenter.core.events import DEAD_SUFFIX
from isocenter.core.ports import Consumer, Delivery, Record
from isocenter.runtime.threads import Threads

_THREADS = 4
_WAIT_MS = 500
_SILENCE_SECONDS = 10.0  # after which a replay gives up


class KafkaBus:
    """The topics of one namespace on a Kafka cluster. `isocenter check --prepare` makes them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._threads = Threads(_THREADS, "kafka")
        self._administration = Administration(connection)
        self._producer = Producer(connection, self._administration, self._threads)
        self._members: weakref.WeakSet[KafkaMember] = weakref.WeakSet()

    @classmethod
    async def open(cls, url: str, settings: KafkaSettings) -> Self:
        """The log at `kafka://host:port,host:port/namespace`, not connected yet: that comes with
        the first call, and again whenever the brokers were away. Raises `Invalid`."""
        return cls(await asyncio.to_thread(Connection.of, url, settings))

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        """Append records; acknowledged by all copies in sync on return."""
        await self._producer.append(self._connection.topic(topic), messages_of(records))

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group; its members share the topics' partitions."""
        names = [self._connection.topic(topic) for topic in topics]
        await self._threads.run(self._administration.require, names)
        member = KafkaMember(self._connection, group, topics, self._bury)
        self._members.add(member)
        await member.join()
        return member

    async def _bury(self, delivery: Delivery, error: str) -> None:
        headers = {**delivery.headers, "error": error}
        record = Record(delivery.key, delivery.type, delivery.data, headers)
        await self.append(delivery.topic + DEAD_SUFFIX, [record])

    async def replay(
        self, topic: str, offsets: Mapping[int, int] | None = None
    ) -> AsyncIterator[Delivery]:
        """All events from the offsets to the end the log had when the call began."""
        name = self._connection.topic(topic)
        partitions = await self._threads.run(self._administration.partitions, name)
        if not partitions:
            return
        replay = _Replay(self._connection, topic, partitions)
        try:
            await self._threads.run(replay.begin, offsets or {})
            while batch := await self._threads.run(replay.read):
                for delivery in batch:
                    yield delivery
        finally:
            await self._threads.run(replay.close)

    async def end(self, topic: str) -> Mapping[int, int]:
        """The next offset of each partition."""
        return await self._threads.run(self._administration.ends, self._connection.topic(topic))

    async def oldest(self, topic: str) -> Mapping[int, int]:
        """The oldest offset of each partition."""
        name = self._connection.topic(topic)
        return await self._threads.run(self._administration.oldest, name)

    async def begin(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Where a new group begins. A group with members has begun already."""
        names = self._connection.group(group), self._connection.topic(topic)
        await self._threads.run(self._administration.begin, *names, offsets)

    async def lag(self, group: str, topic: str) -> int:
        """How many events the group has not committed yet, of those still there."""
        return await self._threads.run(
            self._administration.lag, self._connection.group(group), self._connection.topic(topic)
        )

    async def forget(self, prefix: str, keep: Collection[str]) -> Sequence[str]:
        """Nothing to do: topics keep events by their age, and brokers forget idle groups."""
        del prefix, keep
        return ()

    async def close(self) -> None:
        """Finish the appends under way, leave the groups and release everything."""
        await self._producer.close()
        await asyncio.gather(*(member.close() for member in list(self._members)))
        await self._threads.run(self._administration.close)
        await self._threads.close()


class _Replay:
    """Reads partitions to an end without a group. All calls block."""

    def __init__(
        self, connection: Connection, topic: str, partitions: Sequence[TopicPartition]
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._partitions = partitions
        self._consumer: KafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}  # of partitions that are not read to the end

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Look where the partitions end now, and go to where reading begins."""
        try:
            consumer = opened(KafkaConsumer, {**self._connection.options, **FETCH_OPTIONS})
            self._consumer = consumer
            starts = consumer.beginning_offsets(self._partitions, timeout_ms=REQUEST_MS)
            ends = consumer.end_offsets(self._partitions, timeout_ms=REQUEST_MS)
            for partition, start in starts.items():
                starts[partition] = max(start, offsets.get(partition.partition, start))
                if starts[partition] < ends[partition]:
                    self._ends[partition] = ends[partition]
            consumer.assign(list(self._ends))
            for partition in self._ends:
                consumer.seek(partition, starts[partition])
        except LIBRARY_ERRORS as error:
            raise self._connection.translated(error) from error

    def read(self) -> list[Delivery]:
        """The next events; none at the end."""
        assert self._consumer is not None
        deadline = time.monotonic() + _SILENCE_SECONDS
        found: list[Delivery] = []
        try:
            while self._ends and not found:
                records = self._consumer.poll(timeout_ms=_WAIT_MS)
                for partition, batch in records.items():
                    end = self._ends.get(partition, 0)
                    found += [delivery_of(r, self._topic) for r in batch if r.offset < end]
                for partition in list(records or self._ends):
                    self._stop_at_end(partition)
                if not records and time.monotonic() > deadline:
                    raise self._silent()
        except LIBRARY_ERRORS as error:
            raise self._connection.translated(error) from error
        return found

    def _stop_at_end(self, partition: TopicPartition) -> None:
        """The position goes on where an offset has no record for us, as at the log's end."""
        assert self._consumer is not None
        position = self._consumer.position(partition, timeout_ms=_WAIT_MS)
        if partition in self._ends and position is not None and position >= self._ends[partition]:
            del self._ends[partition]
            self._consumer.pause(partition)

    def _silent(self) -> Unavailable:
        return Unavailable(
            f"{self._connection.where} gave nothing for {_SILENCE_SECONDS:.0f} s",
            fix="see whether all brokers are up, and begin again",
        )

    def close(self) -> None:
        """Release the connections."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False)
