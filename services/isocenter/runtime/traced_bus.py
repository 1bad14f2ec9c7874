"""The log, with traces and metrics: records carry on the trace of whoever appends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import replace

from isocenter.core.errors import IsocenterError
from isocenter.core.ports import Consumer, Delivery, EventBus, Record
from isocenter.runtime.instruments import (
    LOG_APPEND_DURATION,
    LOG_DEAD_LETTERS,
    LOG_LAG,
    LOG_RECORDS,
)
from isocenter.runtime.telemetry import TRACEPARENT, Attributes, Observations, Operation, Telemetry

LAG_SECONDS = 5.0  # between two questions about the lag


class TracedBus:
    """An `EventBus` around another one.

    Records get the current trace context as CloudEvents' distributed tracing extension has it
    (headers `traceparent` and `tracestate`), unless they have that of another trace: an event that
    is passed on later, or copied to the dead letters, stays in the trace that it began in.
    """

    def __init__(self, bus: EventBus, telemetry: Telemetry) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._lag: dict[tuple[str, str], int] = {}
        self._joined: set[tuple[str, str]] = set()
        self._watching: asyncio.Task[None] | None = None
        telemetry.observe(LOG_LAG, self._lags)

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        """See `EventBus`."""
        attributes: Attributes = {
            "messaging.destination.name": topic,
            "messaging.batch.message_count": len(records),
        }
        span = self._telemetry.child("bus.append", attributes, role="producer")
        with Operation(self._telemetry, LOG_APPEND_DURATION, {"topic": topic}, span):
            if carried := self._telemetry.headers():
                records = [_carrying(record, carried) for record in records]
            await self._bus.append(topic, records)
        self._telemetry.count(LOG_RECORDS, len(records), {"topic": topic})

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """See `EventBus`. The lag of its group is known from now on."""
        consumer = await self._bus.consumer(group, topics)
        self._joined.update((group, topic) for topic in topics)
        if self._watching is None:
            # It outlives whoever joins first, and belongs to no trace.
            self._watching = asyncio.get_running_loop().create_task(
                self._watch(), name="lag", context=Context()
            )
        return _TracedConsumer(consumer, self._telemetry, group)

    def replay(
        self, topic: str, offsets: Mapping[int, int] | None = None
    ) -> AsyncIterator[Delivery]:
        """See `EventBus`."""
        return self._bus.replay(topic, offsets)

    async def end(self, topic: str) -> Mapping[int, int]:
        """See `EventBus`."""
        return await self._bus.end(topic)

    async def oldest(self, topic: str) -> Mapping[int, int]:
        """See `EventBus`."""
        return await self._bus.oldest(topic)

    async def begin(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """See `EventBus`."""
        await self._bus.begin(group, topic, offsets)

    async def lag(self, group: str, topic: str) -> int:
        """See `EventBus`."""
        return await self._bus.lag(group, topic)

    async def forget(self, prefix: str, keep: Collection[str]) -> Sequence[str]:
        """See `EventBus`."""
        return await self._bus.forget(prefix, keep)

    async def close(self) -> None:
        """See `EventBus`."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._bus.close()

    async def _watch(self) -> None:
        while True:
            for group, topic in sorted(self._joined):
                try:
                    self._lag[group, topic] = await self._bus.lag(group, topic)
                except IsocenterError:
                    self._lag.pop((group, topic), None)  # unknown is not none
            await asyncio.sleep(LAG_SECONDS)

    def _lags(self) -> Observations:
        return [
            (lag, {"group": group, "topic": topic})
            for (group, topic), lag in self._lag.copy().items()
        ]


class _TracedConsumer:
    """A `Consumer` around another one."""

    def __init__(self, consumer: Consumer, telemetry: Telemetry, group: str) -> None:
        self._telemetry = telemetry
        self._group = group
        self._consumer = consumer
        self.poll = consumer.poll
        self.owns = consumer.owns
        self.commit = consumer.commit
        self.close = consumer.close

    async def dead_letter(self, delivery: Delivery, error: str) -> None:
        """See `Consumer`."""
        await self._consumer.dead_letter(delivery, error)
        labels = {"group": self._group, "topic": delivery.topic}
        self._telemetry.count(LOG_DEAD_LETTERS, 1, labels)


def _carrying(record: Record, carried: Mapping[str, str]) -> Record:
    had = record.headers.get(TRACEPARENT)
    if had and _trace_id(had) != _trace_id(carried[TRACEPARENT]):
        return record
    return replace(record, headers={**record.headers, **carried})


def _trace_id(traceparent: str) -> str:
    return traceparent[3:35]
