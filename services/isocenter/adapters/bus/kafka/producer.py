"""The Kafka adapter's producer: appends to the log, durable on every copy when awaited.

The library's producer sends from a thread of its own, in batches that form by themselves while
the one before is under way. One that has failed is not used again: most of its errors are final
for it, whoever's record it was, and after others its sequence numbers are not to be relied on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from isocenter.adapters.bus.kafka.client import (
    LIBRARY_ERRORS,
    MAX_RECORD_BYTES,
    Administration,
    Connection,
    opened,
)
from isocenter.adapters.bus.kafka.records import Message
from isocenter.core.errors import Invalid, Unavailable
from isocenter.runtime.threads import Threads

logger = logging.getLogger(__name__)

APPEND_SECONDS = 10.0  # until an append gives up
_LOOK_SECONDS = 0.02  # between looks for the partitions of a topic that is new to a producer
_LOOKS = 50
_OPTIONS = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 0,
    "batch_size": 512 * 1024,  # one batch of a partition is under way at a time
    "max_request_size": MAX_RECORD_BYTES,
    "delivery_timeout_ms": 9_000,
    "request_timeout_ms": 5_000,
    "bootstrap_timeout_ms": 8_000,
    "max_block_ms": 0,  # `send` never waits for metadata: it is called in the event loop
    "metrics_enabled": False,
}
_CLOSE_SECONDS = 5.0

# After these another attempt would end no better. Most others may be another record's doing.
_HOPELESS = (
    kafka_errors.KafkaTimeoutError,
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
)


class Producer:
    """Appends records; opens connections at the first."""

    def __init__(
        self, connection: Connection, administration: Administration, threads: Threads
    ) -> None:
        self._connection = connection
        self._administration = administration
        self._threads = threads
        self._known: set[str] = set()  # topics that were seen to exist
        self._channel: _Channel | None = None
        self._opening: asyncio.Task[_Channel] | None = None
        self._again = asyncio.Lock()
        self._in_hand: set[asyncio.Future[None]] = set()
        self._disposals: set[asyncio.Task[None]] = set()
        self._closed = False

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append to a topic by the brokers' name; durable on return."""
        if self._closed:
            raise Unavailable("the log is closed", fix="open it again")
        if not messages:
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_hand.add(over)
        try:
            async with asyncio.timeout(APPEND_SECONDS):
                if topic not in self._known:
                    await self._threads.run(self._administration.require, [topic])
                    self._known.add(topic)
                await self._append(topic, messages)
        except LIBRARY_ERRORS as error:
            if isinstance(error, TimeoutError) and self._channel is not None:
                self._retire(self._channel)
            failure = self._connection.translated(error, topic)
            logger.warning("an append failed", extra={"topic": topic, "error": str(failure)})
            raise failure from error
        finally:
            self._in_hand.discard(over)
            over.set_result(None)

    async def _append(self, topic: str, messages: Sequence[Message]) -> None:
        try:
            await self._send(topic, messages)
        except _HOPELESS:
            raise
        except LIBRARY_ERRORS as error:
            logger.warning(
                "an append is tried again with a new producer",
                extra={"topic": topic, "error": type(error).__name__},
            )
            async with self._again:  # one by one, lest the culprit takes the others down again
                await self._threads.run(self._administration.require, [topic])
                await self._send(topic, messages)

    async def _send(self, topic: str, messages: Sequence[Message]) -> None:
        channel = self._channel or await self._open()
        channel.in_hand += 1
        try:
            await channel.send(topic, messages)
        except (*LIBRARY_ERRORS, asyncio.CancelledError):
            # Also when the caller has given up: nobody would hear what becomes of its records.
            self._retire(channel)
            raise
        finally:
            channel.in_hand -= 1
            self._dispose_if_done(channel)

    async def _open(self) -> _Channel:
        """The channel that is being opened, by one for all who wait."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._make())
        return await asyncio.shield(self._opening)

    async def _make(self) -> _Channel:
        options = {**self._connection.options, **_OPTIONS}
        try:
            self._channel = _Channel(await self._threads.run(opened, KafkaProducer, options))
            return self._channel
        finally:
            self._opening = None

    def _retire(self, channel: _Channel) -> None:
        channel.failed = True
        if channel is self._channel:
            self._channel = None
        self._dispose_if_done(channel)

    def _dispose_if_done(self, channel: _Channel) -> None:
        """Others' appends that a failed channel still has in hand may yet succeed."""
        if channel.failed and not channel.in_hand and not channel.disposed:
            channel.disposed = True
            task = asyncio.create_task(self._threads.run(channel.abandon))
            self._disposals.add(task)
            task.add_done_callback(self._disposals.discard)

    async def close(self) -> None:
        """Finish the appends under way and release everything."""
        self._closed = True
        waiting: set[asyncio.Future[Any]] = {*self._in_hand}
        if self._opening is not None:
            waiting.add(self._opening)
        if waiting:
            await asyncio.wait(waiting)
        channel, self._channel = self._channel, None
        if channel is not None:
            await self._threads.run(channel.close)
        if self._disposals:
            await asyncio.wait(self._disposals)


class _Channel:
    """One producer of the library."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self.in_hand = 0
        self.failed = False
        self.disposed = False

    async def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Durable on return. Raises the library's errors, and `Invalid` for what is too large."""
        await self._partitions(topic)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        pending = _Pending(done, len(messages))
        try:
            for message in messages:
                sent = self._producer.send(
                    topic, value=message.value, key=message.key, headers=message.headers
                )
                sent.add_callback(pending.kept)
                sent.add_errback(pending.lost)
        except kafka_errors.MessageSizeTooLargeError as error:
            done.cancel()
            raise Invalid(
                f"a record is larger than the log takes ({MAX_RECORD_BYTES} bytes)",
                fix="append it in parts, or keep it in the object store and append its key",
            ) from error
        await done

    async def _partitions(self, topic: str) -> None:
        """Wait until the producer knows the topic's partitions: `send` does not."""
        for _ in range(_LOOKS):
            try:
                self._producer.partitions_for(topic)
            except kafka_errors.KafkaTimeoutError:
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return
        raise kafka_errors.UnknownTopicOrPartitionError

    def close(self) -> None:
        """Release the producer when everything has been sent."""
        try:
            self._producer.close(timeout=_CLOSE_SECONDS)
        except LIBRARY_ERRORS:
            self.abandon()  # of an append whose caller went away

    def abandon(self) -> None:
        """Release the producer, whatever it has not sent."""
        try:
            # `close` alone gives up while there are unsent records, and leaves its thread running.
            self._producer._sender.force_close()  # noqa: SLF001
            self._producer.close(timeout=_CLOSE_SECONDS)
        except LIBRARY_ERRORS as error:
            logger.warning("a producer did not end", extra={"error": type(error).__name__})


class _Pending:
    """Records of one append that are under way. Called by the library, in a thread of its own."""

    def __init__(self, done: asyncio.Future[None], count: int) -> None:
        self._done = done
        self._left = count
        self._lock = threading.Lock()

    def kept(self, place: object) -> None:
        """One more record is durable."""
        del place
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._tell(None)

    def lost(self, error: Exception) -> None:
        """A record is not."""
        self._tell(error)

    def _tell(self, error: Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._done.get_loop().call_soon_threadsafe(_settle, self._done, error)


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
