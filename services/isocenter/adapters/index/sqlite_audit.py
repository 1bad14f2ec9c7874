"""`AuditIndex` in one SQLite file: records as JSON, and an index for everything a filter asks."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import orjson

from isocenter.adapters.index.audit_records import event_of, time_text, who
from isocenter.core.errors import Corrupted, IsocenterError, OutOfResources, Unavailable
from isocenter.core.events import AuditEvent
from isocenter.core.ports import AuditFilter

T = TypeVar("T")

FILE = "audit.sqlite"

_APPLICATION_ID = 0x49534155  # "ISAU"
_VERSION = 1
_BUSY_SECONDS = 15.0
_FIX = "restore the file from a copy, or move it away: the records in the log are indexed anew"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records(
  row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, action TEXT NOT NULL,
  outcome TEXT NOT NULL, doc BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_in_order ON records(at, id);
CREATE TABLE IF NOT EXISTS names(
  kind TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY(kind, name, at, row)) WITHOUT ROWID;
"""


class SqliteAuditIndex:
    """One writer thread and one reader thread over one file, beside other processes' ones."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._path = path
        self._writer, self._reader = writer, reader
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="audit-writer")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="audit-reader")
        self._closed = False

    @classmethod
    async def open(cls, directory: Path) -> Self:
        """The index in this directory, made if there is none. Raises `Corrupted`."""
        path = directory / FILE
        return cls(path, *await asyncio.to_thread(_connect, path))

    async def append(self, records: Sequence[AuditEvent]) -> None:
        """See `AuditIndex`."""
        await self._in(self._writing, lambda: _append(self._writer, records))

    async def search(
        self, which: AuditFilter, limit: int, before: str = ""
    ) -> Sequence[AuditEvent]:
        """See `AuditIndex`. A `before` that is not known answers from the beginning."""
        where, values = _where(which)
        if before:
            where.append(
                "(r.at, r.id) < (SELECT at, id FROM records WHERE id = ?"
                " UNION ALL SELECT '~', '' LIMIT 1)"
            )
            values.append(before)
        query = f"SELECT doc FROM records r{_sql(where)} ORDER BY r.at DESC, r.id DESC LIMIT ?"  # noqa: S608 - conditions are ours, values are parameters
        rows = await self._in(
            self._reading, lambda: self._reader.execute(query, (*values, limit)).fetchall()
        )
        return [event_of(orjson.loads(doc)) for (doc,) in rows]

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        where, values = _where(which)
        query = f"SELECT count(*) FROM records r{_sql(where)}"  # noqa: S608 - as above
        (found,) = await self._in(
            self._reading, lambda: self._reader.execute(query, values).fetchone()
        )
        return int(found)

    async def close(self) -> None:
        """See `AuditIndex`."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writing.shutdown)
        await asyncio.to_thread(self._reading.shutdown)
        self._writer.close()
        self._reader.close()

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the audit index is closed", fix="this process is stopping")

        def guarded() -> T:
            with _errors(self._path):
                return work()

        return await asyncio.get_running_loop().run_in_executor(threads, guarded)


def _connect(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    with _errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = [
            sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            for _ in range(2)
        ]
        try:
            _prepare(opened[0], path)
        except BaseException:
            for connection in opened:
                connection.close()
            raise
        return opened[0], opened[1]


def _prepare(writer: sqlite3.Connection, path: Path) -> None:
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute("BEGIN IMMEDIATE")
    (tables,) = writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = writer.execute("PRAGMA application_id").fetchone()
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    if tables and (application, version) != (_APPLICATION_ID, _VERSION):
        raise Corrupted(f"{path} is no audit index of version {_VERSION}", fix=_FIX)
    for statement in _SCHEMA.split(";"):
        writer.execute(statement)
    writer.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    writer.execute(f"PRAGMA user_version = {_VERSION}")
    writer.execute("COMMIT")


def _append(db: sqlite3.Connection, records: Sequence[AuditEvent]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for event in records:
            at = time_text(event.at)
            found = db.execute(
                "INSERT OR IGNORE INTO records(id, at, action, outcome, doc) VALUES (?,?,?,?,?)"
                " RETURNING row",
                (event.id, at, event.action.value, event.outcome.value, orjson.dumps(event)),
            ).fetchone()
            if found:
                db.executemany(
                    "INSERT OR IGNORE INTO names(kind, name, at, row) VALUES (?,?,?,?)",
                    [(kind, name, at, found[0]) for kind, name in _names(event)],
                )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _names(event: AuditEvent) -> Iterator[tuple[str, str]]:
    yield from (("who", name) for name in who(event))
    yield from (("study", uid) for uid in set(event.studies))
    yield from (("patient", patient) for patient in set(event.patient_ids))


def _where(which: AuditFilter) -> tuple[list[str], list[str]]:
    where: list[str] = []
    values: list[str] = []
    for kind, name in (
        ("who", which.who.strip(" ")),
        ("study", which.study),
        ("patient", which.patient_id),
    ):
        if name:
            where.append("r.row IN (SELECT row FROM names WHERE kind = ? AND name = ?)")
            values += [kind, name]
    for column, members in (("action", which.actions), ("outcome", which.outcomes)):
        if members:
            where.append(f"r.{column} IN ({','.join('?' * len(members))})")
            values += [member.value for member in members]
    for comparison, moment in ((">=", which.since), ("<", which.until)):
        if moment:
            where.append(f"r.at {comparison} ?")
            values.append(time_text(moment))
    return where, values


def _sql(where: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except IsocenterError:
        raise
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise OutOfResources(
                f"no room for the audit index {path}", fix="free disk space"
            ) from error
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in text:
            raise Unavailable(
                f"the audit index {path} does not answer: {text}", fix="try again"
            ) from error
        raise Corrupted(f"the audit index {path} cannot be read: {text}", fix=_FIX) from error
    except OSError as error:
        raise Unavailable(
            f"the audit index {path} cannot be opened: {error.strerror}",
            fix="check the data directory and its permissions",
        ) from error
