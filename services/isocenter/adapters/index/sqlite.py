"""`StudyIndex` in one directory: SQLite, one writer, any number of reading processes.

Short searches (by UID, PatientID, AccessionNumber ...) are answered where they are asked, which
is faster than a change of threads; all others run in worker threads, a batch at a time.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self, TypeVar

from isocenter.adapters.index import added, planning, schema, searching
from isocenter.adapters.index import directory as files
from isocenter.adapters.index.connections import READERS, IndexFile
from isocenter.adapters.index.writing import Transaction
from isocenter.adapters.index.writing import versions as read_versions
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.errors import Unavailable
from isocenter.core.fill_state import FillState, whole
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Search, counting
from isocenter.core.ports import FEED, IndexEntry, Match, StudyCount, Totals

T = TypeVar("T")


class _Running:
    """A search in worker threads: one step at a time, and one end."""

    def __init__(self, file: IndexFile, search: Search, attributes: Attributes) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._db = file.borrow()
        try:
            plan = planning.plan(self._db, search, attributes, file.partitions)
        except BaseException:
            file.give_back(self._db)
            raise
        self._batches = searching.batches(self._db, plan) if plan else iter(())

    def step(self) -> list[Match] | None:
        """The next batch (empty: still at work), or None at the end."""
        with self._lock, schema.errors(self._file.path):
            return next(self._batches, None)

    def stop(self) -> None:
        """Break off a step under way."""
        self._db.interrupt()

    def finish(self) -> None:
        """Give back what was borrowed, after the step under way."""
        with self._lock:
            self._batches = iter(())
            self._file.give_back(self._db)


class _Found:
    """The answers of a short search; leaner than a generator, for it has nothing to stop."""

    __slots__ = ("_answers",)

    def __init__(self, answers: Sequence[Match]) -> None:
        self._answers = answers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Match]:
        answers, self._answers = self._answers, ()
        if not answers:
            raise StopAsyncIteration
        return answers


class _Index(ABC):
    """What the index in use and a scratch index have in common."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="index-reader")
        self._closed = False

    @property
    def attributes(self) -> Attributes:
        """See `StudyIndex`."""
        return self._attributes

    @property
    def feed(self) -> str:
        """See `StudyIndex`: one index at a time, whatever its version."""
        return FEED

    async def unfilled(self) -> bool:
        """See `StudyIndex`."""
        return await asyncio.to_thread(lambda: schema.is_of_another_version(self._file().path))

    @abstractmethod
    def _file(self) -> IndexFile:
        """The database that is used now."""

    async def upsert(self, entries: Sequence[IndexEntry]) -> Sequence[StudyCount]:
        """See `StudyIndex`."""
        return await self._write(lambda work: work.upsert(entries)) if entries else ()

    async def remove(self, objects: Sequence[ObjectName]) -> Sequence[StudyCount]:
        """See `StudyIndex`."""
        return await self._write(lambda work: work.remove(objects)) if objects else ()

    async def refill(self, entries: Sequence[IndexEntry]) -> None:
        """See `StudyIndex`."""
        await self._write(lambda work: work.refill(entries))

    async def fill_state(self) -> FillState:
        """See `StudyIndex`."""
        return await self._read(added.read_state)

    async def replace_fill_state(self, state: FillState, before: FillState) -> bool:
        """See `StudyIndex`. The terms of attributes that are held no more are removed."""
        file = self._file()

        def replace(db: sqlite3.Connection) -> bool:
            return added.replace_state(db, state, before)

        if not await self._in(self._writing, lambda: _transact(file, replace)):
            return False
        if {one.number for one in before.held} - {one.number for one in state.held}:
            while await self._in(self._writing, lambda: _transact(file, added.forget_some)):
                pass
        return True

    async def versions(
        self, names: Sequence[InstanceName]
    ) -> Mapping[InstanceName, Sequence[IndexEntry]]:
        """See `StudyIndex`."""
        if not names:
            return {}
        return await self._read(lambda db: read_versions(db, names))

    def search(self, search: Search) -> AsyncIterator[Sequence[Match]]:
        """See `StudyIndex`. A short search raises its errors here."""
        file = self._file()
        found = _at_once(file, search, self._attributes)
        return self._in_threads(file, search) if found is None else _Found(found)

    async def _in_threads(
        self, file: IndexFile, search: Search
    ) -> AsyncGenerator[Sequence[Match], None]:
        running = await self._in(self._reading, lambda: _start(file, search, self._attributes))
        try:
            while (batch := await self._in(self._reading, running.step)) is not None:
                if batch:
                    yield batch
        finally:
            running.stop()
            if self._closed:
                running.finish()
            else:
                self._reading.submit(running.finish)

    async def count(self, search: Search) -> int:
        """See `StudyIndex`."""
        search = counting(search)
        file = self._file()
        found = _at_once(file, search, self._attributes)
        if found is not None:
            return len(found)

        def read(db: schema.Connection) -> int:
            plan = planning.plan(db, search, self._attributes, file.partitions)
            return searching.count(db, plan) if plan else 0

        return await self._read(read)

    async def totals(self) -> Totals:
        """See `StudyIndex`. Through the writer, which sees to it that they are kept."""
        file = self._file()

        def read() -> Totals:
            with schema.errors(file.path):
                return Totals(*file.writer().execute("SELECT * FROM totals").fetchone())

        return await self._in(self._writing, read)

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        file = self._file()

        def write(db: sqlite3.Connection) -> T:
            return work(Transaction(db, self._attributes))

        return await self._in(self._writing, lambda: _transact(file, write))

    async def _read(self, work: Callable[[schema.Connection], T]) -> T:
        file = self._file()

        def read() -> T:
            with schema.errors(file.path):
                db = file.borrow()
                try:
                    return work(db)
                finally:
                    file.give_back(db)

        return await self._in(self._reading, read)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the search index is closed", fix="this process is stopping")
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    async def _shut(self, file: IndexFile | None) -> None:
        self._closed = True
        if file is not None:
            self._writing.submit(file.close_writer)
            file.retire()
        await asyncio.to_thread(self._writing.shutdown)
        await asyncio.to_thread(self._reading.shutdown)


class SqliteIndex(_Index):
    """The index in use: whichever file of the directory is current."""

    def __init__(self, directory: Path, attributes: Attributes) -> None:
        super().__init__(attributes)
        self._directory = directory
        self._stamp: files.Stamp | None = None
        self._current: IndexFile | None = None

    @classmethod
    async def open(cls, directory: Path, attributes: Attributes = BUILT_IN) -> Self:
        """The index in this directory, made empty if there is none. A damaged one is reported
        by its first use (`Corrupted`), so that it can be rebuilt."""
        await asyncio.to_thread(files.prepare, directory)
        return cls(directory, attributes)

    def _file(self) -> IndexFile:
        stamp = files.stamp(self._directory)
        if self._current is None or stamp != self._stamp:
            path = files.current(self._directory)
            self._leave()
            self._stamp, self._current = stamp, IndexFile(path, durable=True)
        return self._current

    def _leave(self) -> None:
        if self._current is not None and not self._closed:
            self._writing.submit(self._current.close_writer)
            self._current.retire()

    async def scratch(self) -> SqliteScratch:
        """See `StudyIndex`. Raises `Unavailable` while there is another one."""
        return await SqliteScratch.make(self._directory, self._attributes)

    async def close(self) -> None:
        """See `StudyIndex`."""
        await self._shut(self._current)


class SqliteScratch(_Index):
    """An index being filled in a file of its own."""

    def __init__(
        self,
        directory: Path,
        path: Path,
        lock: AbstractContextManager[None],
        attributes: Attributes,
    ) -> None:
        super().__init__(attributes)
        self._directory = directory
        self._own = IndexFile(path, durable=False)
        self._promoted = False
        self._lock: AbstractContextManager[None] | None = lock

    @classmethod
    async def make(cls, directory: Path, attributes: Attributes) -> Self:
        """An empty one; earlier ones that were never promoted are removed."""
        lock = files.one_rebuild(directory)
        lock.__enter__()
        try:
            path = await asyncio.to_thread(files.make_scratch, directory)
        except BaseException:
            lock.__exit__(None, None, None)
            raise
        made = cls(directory, path, lock, attributes)
        if attributes.added:
            await made.replace_fill_state(whole(attributes), FillState())
        return made

    def _file(self) -> IndexFile:
        return self._own

    async def scratch(self) -> SqliteScratch:
        """A scratch index has none of its own."""
        raise Unavailable("a rebuild is under way", fix="wait until it is done")

    async def promote(self) -> None:
        """See `ScratchIndex`."""
        await self._in(self._writing, lambda: self._own.close_writer(settle=True))
        await self._in(self._writing, self._switch)
        self._unlock()

    def _switch(self) -> None:
        """In the writer's thread, which ends it also if whoever waits for it goes away."""
        files.switch(self._directory, self._own.path)
        self._promoted = True

    async def close(self) -> None:
        """See `StudyIndex`; what was not promoted is removed."""
        await self._shut(self._own)
        if self._lock is not None:
            if not self._promoted:
                await asyncio.to_thread(files.discard, self._own.path)
            self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.__exit__(None, None, None)


def _at_once(file: IndexFile, search: Search, attributes: Attributes) -> list[Match] | None:
    with schema.errors(file.path):
        db = file.quick()
        plan = planning.plan(db, search, attributes, file.partitions)
        return searching.quick(db, plan) if plan else []


def _start(file: IndexFile, search: Search, attributes: Attributes) -> _Running:
    with schema.errors(file.path):
        return _Running(file, search, attributes)


def _transact(file: IndexFile, work: Callable[[schema.Connection], T]) -> T:
    with schema.errors(file.path):
        db = file.writer()
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return result
