"""`AuditIndex` in one SQLite file: disposable, for it is filled again from the sealed segments.

What is in the file, `sqlite_audit_schema` tells; `sqlite_audit_writing`, `sqlite_audit_searching`
and `sqlite_audit_counting` do the work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from isocenter.adapters.index import sqlite_audit_counting as counting
from isocenter.adapters.index import sqlite_audit_schema as schema
from isocenter.adapters.index import sqlite_audit_searching as searching
from isocenter.adapters.index import sqlite_audit_v1
from isocenter.adapters.index.sqlite_audit_writing import Writing
from isocenter.core.audit import AuditFilter, By, Entry, Place, Tally
from isocenter.core.errors import NotFound, Unavailable
from isocenter.core.events import AuditEvent

T = TypeVar("T")

FILE = schema.FILE
_READERS = 3


class SqliteAuditIndex:
    """One writer thread and a few reader threads over one file, beside other processes' ones."""

    def __init__(self, path: Path, writer: sqlite3.Connection) -> None:
        self._path = path
        self._writer = writer
        self._work = Writing(writer)
        self._remembered = counting.Remembered()
        self._idle: list[sqlite3.Connection] = []  # of readers
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="audit-writer")
        self._reading = ThreadPoolExecutor(_READERS, thread_name_prefix="audit-reader")
        self._closed = False

    @classmethod
    async def open(cls, directory: Path) -> Self:
        """The index in this directory, made if there is none. Raises `Corrupted`."""
        path = directory / FILE

        def connect() -> sqlite3.Connection:
            with schema.errors(path):
                directory.mkdir(parents=True, exist_ok=True)
                return schema.connect(path, writer=True)

        return cls(path, await asyncio.to_thread(connect))

    async def append(self, entries: Sequence[Entry]) -> None:
        """See `AuditIndex`. Raises `Unprocessable` for a record that cannot be told in JSON."""
        if entries:
            await self._write(lambda work: work.append(entries))

    async def places(self, ids: Sequence[str]) -> Mapping[str, Place]:
        """See `AuditIndex`."""
        return await self._read(lambda db: searching.places(db, ids))

    async def reach(self) -> Mapping[str, int]:
        """See `AuditIndex`."""
        return await self._read(searching.reach)

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """See `AuditIndex`."""
        return await self._read(lambda db: _search(db, which, limit, before))

    async def get(self, record: str) -> Entry:
        """See `AuditIndex`."""
        found = await self._read(lambda db: searching.one(db, record))
        if found is None:
            raise NotFound(
                "there is no audit record with this id", fix="it may have expired; search for it"
            )
        return found

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        return await self._read(lambda db: counting.count(db, which, self._remembered))

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """See `AuditIndex`."""
        return await self._read(lambda db: counting.tally(db, which, by))

    async def expire(self, chain: str, through: int, since: int = 1) -> int:
        """See `AuditIndex`. Other writing goes on in between."""
        gone = 0
        while some := await self._write(lambda work: work.expire(chain, through, since)):
            gone += some
        return gone

    def earlier(self) -> AsyncIterator[Sequence[AuditEvent]]:
        """See `AuditIndex`."""
        return sqlite_audit_v1.earlier(self._path.parent)

    async def close(self) -> None:
        """See `AuditIndex`."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writing.shutdown)
        await asyncio.to_thread(self._reading.shutdown)
        for connection in (*self._idle, self._writer):
            connection.close()

    async def _write(self, work: Callable[[Writing], T]) -> T:
        return await self._in(self._writing, lambda: work(self._work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def read() -> T:
            try:
                db = self._idle.pop()
            except IndexError:  # all are in use; there are no more than threads
                db = schema.connect(self._path)
            try:
                with schema.transaction(db, "DEFERRED"):
                    return work(db)
            finally:
                self._idle.append(db)

        return await self._in(self._reading, read)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the audit index is closed", fix="this process is stopping")

        def guarded() -> T:
            with schema.errors(self._path):
                return work()

        return await asyncio.get_running_loop().run_in_executor(threads, guarded)


def _search(db: sqlite3.Connection, which: AuditFilter, limit: int, before: str) -> list[Entry]:
    span = counting.narrowed(db, which, searching.span_of(db, which, before), limit)
    rows = searching.Search(db, which, span).page(limit)
    return [Entry(event, place) for _, event, place in searching.records(db, rows)]
