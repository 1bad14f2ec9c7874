"""The embedded log: an `EventBus` on one SQLite file, shared by the processes of a machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

from isocenter.adapters.bus.log_file import (
    FIRST,
    PARTITION,
    LogFile,
    rows_of,
    sync_directory,
    translated,
)
from isocenter.adapters.bus.log_writer import Retention, Writer
from isocenter.core.errors import IsocenterError
from isocenter.core.events import DEAD_SUFFIX
from isocenter.core.ports import Consumer, Delivery, Record
from isocenter.runtime.threads import Threads

T = TypeVar("T")

WATCH_SECONDS = 0.015  # how soon another process's append is noticed
LEASE_SECONDS = 0.05  # how soon the lease of a lost member is taken over
REPLAY_BATCH = 500
_THREADS = 4


class LogBus:
    """A durable log below one directory, with one partition per topic."""

    def __init__(self, directory: Path, file: LogFile, retention: Retention) -> None:
        self._directory = directory
        self._reader = file
        self._changes = _Changes(file.again())
        self._threads = Threads(_THREADS, "log")
        self._writer = Writer(directory, file.again(), retention, self._changes.wrote)

    @classmethod
    async def open(
        cls, directory: Path, *, keep_days: float | None = None, keep_bytes: int | None = None
    ) -> Self:
        """Open or create the log below `directory`.

        Records that every known group has committed are removed when older than `keep_days`, or
        when the log holds more than `keep_bytes`. Raises `Corrupted` for a damaged file.
        """

        def prepare() -> LogFile:
            with translated(directory):
                (directory / "leases").mkdir(parents=True, exist_ok=True)
            file = LogFile.open(directory)
            with translated(directory):
                sync_directory(directory)
                sync_directory(directory.parent)
            return file

        return cls(directory, await asyncio.to_thread(prepare), Retention(keep_days, keep_bytes))

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        """Append all records or none, durable on return."""
        if records:
            rows = rows_of(records)
            await self._writer.run(lambda file: file.append(topic, rows), topic)

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group. Each topic belongs to one member, the others stand by."""
        await self._writer.run(lambda file: file.join(group, topics))
        leases = {
            topic: _Lease(self._directory / "leases" / quote(f"{group}@{topic}", safe="@"))
            for topic in topics
        }
        reader = await self._in_thread(self._reader.again)
        return LogConsumer(self, reader, group, leases)

    async def replay(
        self, topic: str, offsets: Mapping[int, int] | None = None
    ) -> AsyncIterator[Delivery]:
        """All events from an offset to the end the log had when the call began."""
        reader = await self._in_thread(self._reader.again)
        try:
            first, end = await self._in_thread(reader.bounds, topic)
            start = (offsets or {}).get(PARTITION, first)
            while batch := await self._in_thread(reader.read, topic, start, end, REPLAY_BATCH):
                for delivery in batch:
                    yield delivery
                start = batch[-1].offset + 1
        finally:
            reader.close()

    async def end(self, topic: str) -> Mapping[int, int]:
        """The offset that the next event will get."""
        _, end = await self._in_thread(self._reader.bounds, topic)
        return {PARTITION: end}

    async def oldest(self, topic: str) -> Mapping[int, int]:
        """The oldest offset held; 0 before anything was removed, as the end is of an empty log."""
        first, _ = await self._in_thread(self._reader.bounds, topic)
        return {PARTITION: 0 if first == FIRST else first}

    async def begin(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Where a new group begins."""
        start = offsets.get(PARTITION, 0)
        await self._writer.run(lambda file: file.join(group, [topic], start))

    async def lag(self, group: str, topic: str) -> int:
        """How many events the group has not committed yet."""
        first, end = await self._in_thread(self._reader.bounds, topic)
        committed = await self._in_thread(self._reader.committed, group, topic)
        return max(0, end - max(first, committed))

    async def forget(self, prefix: str, keep: Collection[str]) -> Sequence[str]:
        """Retention waits for these groups no longer."""
        gone: list[str] = []
        await self._writer.run(lambda file: gone.extend(file.forget(prefix, keep)))
        return gone

    async def close(self) -> None:
        """Finish the appends under way and release everything."""
        await self._writer.close()
        await self._changes.close()
        await self._threads.close()
        self._reader.close()

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await self._threads.run(call, *args)

    # What consumers need of their bus.

    async def commit(self, group: str, offsets: Mapping[str, int]) -> None:
        """Make a group's next offsets durable."""
        await self._writer.run(lambda file: file.commit(group, offsets))

    async def read(self, call: Callable[..., T], *args: object) -> T:
        """A blocking read in a thread of the bus."""
        return await self._in_thread(call, *args)

    async def more(self, positions: Mapping[str, int], timeout: float) -> None:
        """Wait until a topic has a record at its position, or for `timeout` seconds."""
        await self._changes.wait(positions, timeout)


class LogConsumer:
    """One member of a group of a `LogBus`."""

    def __init__(
        self, bus: LogBus, reader: LogFile, group: str, leases: Mapping[str, _Lease]
    ) -> None:
        self._bus = bus
        self._reader = reader
        self._group = group
        self._leases = leases
        self._positions: dict[str, int] = {}  # next offset of the topics whose lease is held
        self._committed: dict[str, int] = {}
        self._in_use = threading.Lock()  # a cancelled poll may still be reading in its thread
        self._closed = False

    async def poll(self, max_records: int, timeout: float) -> Sequence[Delivery]:
        """The next events of the topics that this member owns."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            found = await self._bus.read(self._fetch, max_records)
            for delivery in found:
                self._positions[delivery.topic] = delivery.offset + 1
            left = deadline - loop.time()
            if found or left <= 0:
                return found
            standing_by = len(self._positions) < len(self._leases)
            await self._bus.more(self._positions, min(left, LEASE_SECONDS) if standing_by else left)

    def _fetch(self, max_records: int) -> list[Delivery]:
        found: list[Delivery] = []
        with self._in_use:
            for topic, lease in () if self._closed else self._leases.items():
                if topic not in self._positions:
                    if not lease.take():
                        continue
                    self._positions[topic] = self._reader.committed(self._group, topic)
                wanted = max_records - len(found)
                found += self._reader.read(topic, self._positions[topic], None, wanted)
        return found

    def owns(self, delivery: Delivery) -> bool:
        """Whether its lease is held; a lease is never lost while its member lives."""
        return delivery.topic in self._positions

    async def commit(self) -> None:
        """Make durable that everything polled so far is done."""
        changed = {
            topic: offset
            for topic, offset in self._positions.items()
            if self._committed.get(topic) != offset
        }
        if changed:
            await self._bus.commit(self._group, changed)
            self._committed.update(changed)

    async def dead_letter(self, delivery: Delivery, error: str) -> None:
        """Copy the event, with the error, to the dead-letter topic."""
        headers = {**delivery.headers, "error": error}
        record = Record(delivery.key, delivery.type, delivery.data, headers)
        await self._bus.append(delivery.topic + DEAD_SUFFIX, [record])

    async def close(self) -> None:
        """Leave the group."""
        await self._bus.read(self._release)

    def _release(self) -> None:
        with self._in_use:
            if not self._closed:
                self._closed = True
                for lease in self._leases.values():
                    lease.release()
                self._positions.clear()
                self._reader.close()


class _Lease:
    """A lock on a file: the kernel frees it the moment its process is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether the lease is ours now. Never waits."""
        with translated(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give it back, if it is ours."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A consumer that waits for a record at one of these positions."""

    positions: Mapping[str, int]
    arrived: asyncio.Event

    def notice(self, ends: Mapping[str, int]) -> None:
        if any(ends[topic] > position for topic, position in self.positions.items()):
            self.arrived.set()


class _Changes:
    """Tells waiting consumers of new records: of this process at once, of others by watching."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._ends: dict[str, int] = {}
        self._seen: int | None = None  # version of the file that `_ends` is of
        self._waiters: set[_Waiter] = set()
        # Their topics: replaced by another set, never changed, since threads look at it.
        self._awaited: frozenset[str] = frozenset()
        self._watcher: asyncio.Task[None] | None = None

    def wrote(self, topics: Collection[str]) -> None:
        """This process has added to these topics. May be called in any thread."""
        if not self._awaited.isdisjoint(topics):
            self._loop.call_soon_threadsafe(self._look)

    async def wait(self, positions: Mapping[str, int], timeout: float) -> None:
        """Until a topic has a record at its position, or for `timeout` seconds."""
        waiter = _Waiter(positions, asyncio.Event())
        self._waiters.add(waiter)
        self._wait_for()
        self._look()
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(timeout):
                await waiter.arrived.wait()
        except TimeoutError:
            return
        finally:
            self._waiters.discard(waiter)
            self._wait_for()

    def _wait_for(self) -> None:
        self._awaited = frozenset().union(*(waiter.positions for waiter in self._waiters))

    def _look(self) -> None:
        """Wake those whose records are there. Microseconds: not worth a thread."""
        try:
            version = self._file.version()
            if version != self._seen:
                self._seen, self._ends = version, {}
            for topic in self._awaited - self._ends.keys():
                _, self._ends[topic] = self._file.bounds(topic)
        except IsocenterError:
            for waiter in self._waiters:
                waiter.arrived.set()  # they meet the error where it is handled
            return
        for waiter in self._waiters:
            waiter.notice(self._ends)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._waiters:
                self._look()

    async def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._file.close()
