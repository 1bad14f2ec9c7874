"""Events that survive while the log is down: kept in the object store, announced by a relay.

What waits is under `outbox/{topic}/{id}`, one record a blob, ids in the order of their making. A
relay appends it to the log and removes it; several may do so at once, and one that ends between
the two does it again: consumers are idempotent.

What order means here: conflicts are decided by the order in which events arrive at the log, and
nothing else. An event given to `append_in_order` arrives behind those of the same key (a Study
UID) that were durable before, as far as they came through the same process: while one of them may
still be in the outbox, it goes there too. Between processes, one of which has noticed that the log
is down and another has not, there is no order.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

from google.protobuf.message import DecodeError

from isocenter.core.apis import Storage
from isocenter.core.errors import (
    DeadlineExceeded,
    IsocenterError,
    NotFound,
    OutOfResources,
    Unavailable,
)
from isocenter.core.identity import OUTBOX, outbox_key
from isocenter.core.ports import EventBus, Record
from isocenter.runtime.event_codec import unique_id
from isocenter.runtime.instruments import OUTBOX_KEPT, OUTBOX_RELAYED
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.v1 import events_pb2

logger = logging.getLogger(__name__)

APPEND_SECONDS = 2.0  # how long the log may take before it counts as down
DOWN_SECONDS = 5.0  # how long it is not asked again then
RELAY_SECONDS = 3.0

_BATCH = 100  # records that are relayed in one append
_BATCH_BYTES = 4 * 1024 * 1024

# The log cannot take a record now; later it may.
_DOWN = (Unavailable, OutOfResources, DeadlineExceeded, TimeoutError)

Opener = Callable[[], Awaitable[Storage]]
_Place = tuple[str, str]  # topic and key of records


class Outbox:
    """Appends to the log or, while it does not answer, to the outbox: durable either way."""

    def __init__(
        self,
        bus: EventBus,
        storage: Opener,
        *,
        append_seconds: float = APPEND_SECONDS,
        down_seconds: float = DOWN_SECONDS,
        telemetry: Telemetry = OFF,
    ) -> None:
        """`storage` opens the object store when it is first needed."""
        self._bus = bus
        self._storage = storage
        self._append_seconds = append_seconds
        self._down_seconds = down_seconds
        self._telemetry = telemetry
        self._ask_at = 0.0  # of the event loop's clock; 0: the log answered last time
        self._last_id = 0
        self._waiting: dict[_Place, str] = {}  # the last key in the outbox

    async def append(self, topic: str, record: Record) -> None:
        """Durable on return. Raises `Unavailable` if neither takes it."""
        if not await self._to_log(topic, record):
            await self._keep(topic, record)

    async def append_in_order(self, topic: str, record: Record) -> None:
        """The same, behind every record of the same key that was durable before."""
        place = topic, record.key
        if not await self._is_waiting(place) and await self._to_log(topic, record):
            return
        key = await self._keep(topic, record)
        self._waiting[place] = max(key, self._waiting.get(place, ""))

    async def _to_log(self, topic: str, record: Record) -> bool:
        clock = asyncio.get_running_loop().time
        if self._ask_at:
            if clock() < self._ask_at:
                return False
            self._ask_at = clock() + self._down_seconds  # one asks; the others do not wait for it
        try:
            async with asyncio.timeout(self._append_seconds):
                await self._bus.append(topic, [record])
        except _DOWN as error:
            if not self._ask_at:
                why = str(error) or f"no answer within {self._append_seconds} s"
                logger.warning("events wait in the outbox for the log", extra={"error": why})
            self._ask_at = clock() + self._down_seconds
            return False
        self._ask_at = 0.0
        return True

    async def _keep(self, topic: str, record: Record) -> str:
        """Make a record durable in the outbox; its key there."""
        # It is appended later and elsewhere, but in this trace.
        headers = {**self._telemetry.headers(), **record.headers}
        blob = events_pb2.OutboxRecord(
            topic=topic, key=record.key, type=record.type, data=record.data, headers=headers
        ).SerializeToString()
        key = outbox_key(topic, self._next_id())
        try:
            storage = await self._storage()
            await storage.put(key, [blob], hashlib.sha256(blob).hexdigest())
        except IsocenterError as error:
            raise Unavailable(
                f"neither the log nor the object store takes an event: {error.message}",
                fix=error.fix or "see why the log does not answer",
            ) from error
        self._telemetry.count(OUTBOX_KEPT, 1, {"topic": topic})
        return key

    def _next_id(self) -> str:
        self._last_id = max(time.time_ns(), self._last_id + 1)
        return f"{self._last_id:016x}-{unique_id()}"

    async def _is_waiting(self, place: _Place) -> bool:
        """Whether what went to the outbox may still be there."""
        key = self._waiting.get(place)
        if key is None:
            return False
        try:
            await (await self._storage()).stat(key)
        except NotFound:
            # The relay goes in the order of the keys: what stood before it is gone as well.
            self._waiting = {
                other: last
                for other, last in self._waiting.items()
                if other[0] != place[0] or last > key
            }
            return False
        except IsocenterError:
            return True
        return True


class Relay:
    """Brings what waits in the outbox to the log, for as long as its process lives."""

    def __init__(
        self,
        bus: EventBus,
        storage: Storage,
        *,
        every_seconds: float = RELAY_SECONDS,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._storage = storage
        self._every = every_seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look at the outbox."""
        self._task = asyncio.create_task(self._run(), name="outbox relay")

    async def stop(self) -> None:
        """End; what was not removed is relayed again by another."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                relayed = await self.relay()
                if relayed:
                    logger.info("events of the outbox are in the log", extra={"events": relayed})
            except IsocenterError as error:
                logger.warning("events wait in the outbox", extra={"error": str(error)})
            except Exception:
                logger.exception("the outbox could not be relayed")
            await asyncio.sleep(self._every)

    async def relay(self) -> int:
        """Append everything that waits, in the order of the keys; how much it was. Raises
        `Unavailable` or `OutOfResources` while the log takes nothing."""
        relayed = 0
        batch: list[tuple[str, str, Record]] = []  # key in the outbox, topic, record
        size = 0
        async for key, topic, record in self._entries():
            full = len(batch) >= _BATCH or size >= _BATCH_BYTES
            if batch and (full or topic != batch[0][1]):
                relayed += await self._pass_on(batch)
                batch, size = [], 0
            batch.append((key, topic, record))
            size += len(record.data)
        return relayed + await self._pass_on(batch)

    async def _entries(self) -> AsyncIterator[tuple[str, str, Record]]:
        async for info in self._storage.list(OUTBOX):
            try:
                blob = b"".join([chunk async for chunk in self._storage.read(info.key)])
                kept = events_pb2.OutboxRecord.FromString(blob)
            except NotFound:
                continue  # another relay was faster
            except DecodeError as error:
                logger.error(
                    "an entry of the outbox cannot be read",
                    extra={"key": info.key, "error": str(error)},
                )
                continue
            yield info.key, kept.topic, Record(kept.key, kept.type, kept.data, dict(kept.headers))

    async def _pass_on(self, batch: Sequence[tuple[str, str, Record]]) -> int:
        if not batch:
            return 0
        try:
            await self._bus.append(batch[0][1], [record for _, _, record in batch])
        except _DOWN:
            raise
        except IsocenterError as error:
            if len(batch) > 1:
                return sum([await self._pass_on([entry]) for entry in batch])
            logger.error(
                "the log refuses an entry of the outbox",
                extra={"key": batch[0][0], "error": str(error)},
            )
            return 0
        self._telemetry.count(OUTBOX_RELAYED, len(batch), {"topic": batch[0][1]})
        for key, _, _ in batch:
            await self._storage.remove(key)
        return len(batch)
