"""The file of the embedded log: its tables, connections, statements and errors. All calls block.

Each topic has one table, so that offsets are its row ids and no second index is kept. The newest
record of a topic is never trimmed, hence an offset is never given twice.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from isocenter.core.errors import Corrupted, Invalid, IsocenterError, OutOfResources, Unavailable
from isocenter.core.ports import Delivery, Record

PARTITION = 0
READ_BYTES = 8 * 1024 * 1024  # of one batch, beyond its first record
FILE = "log.sqlite"

_LOCK = "write.lock"
_APPLICATION_ID = 0x49534F4C  # "ISOL"
_BUSY_SECONDS = 30
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {_APPLICATION_ID};
CREATE TABLE IF NOT EXISTS topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS offsets (
    consumers TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (consumers, topic)
) WITHOUT ROWID;
COMMIT;
"""
FIRST = 1  # the offset that SQLite gives to the first row
_TOPIC = """
CREATE TABLE topic_{id} (
    offset INTEGER PRIMARY KEY, appended_at INTEGER NOT NULL, key TEXT NOT NULL,
    type TEXT NOT NULL, headers BLOB NOT NULL, data BLOB NOT NULL
)
"""


Row = tuple[str, str, bytes, bytes]  # key, type, headers, data


def rows_of(records: Sequence[Record]) -> list[Row]:
    """What is kept of records. Raises `Invalid` for text that is not Unicode."""
    rows = []
    for record in records:
        try:
            record.key.encode()
            record.type.encode()
            headers = orjson.dumps(dict(record.headers))
        except (UnicodeEncodeError, orjson.JSONEncodeError) as error:
            raise Invalid(f"a record cannot be kept: {error}", fix="use Unicode text") from error
        rows.append((record.key, record.type, headers, record.data))
    return rows


class LogFile:
    """One connection to the log; may be used by one thread after the other."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self._directory = directory
        self._connection = connection
        self._tables: dict[str, str] = {}
        self.path = directory / FILE

    @classmethod
    def open(cls, directory: Path) -> LogFile:
        """Open or create the log below `directory`."""
        path = directory / FILE
        with translated(path), write_lock(directory) as lock:
            lock.take()
            connection = _connect(path)
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application == 0:
                connection.executescript(_SCHEMA)
            elif application != _APPLICATION_ID:
                raise Corrupted(f"{path} is not a log of Isocenter", fix="use another directory")
        return cls(directory, connection)

    def again(self) -> LogFile:
        """Another connection to the same log."""
        with translated(self.path):
            return LogFile(self._directory, _connect(self.path))

    def close(self) -> None:
        """Release the connection."""
        self._connection.close()

    def version(self) -> int:
        """Changes when another connection, of any process, has written."""
        with translated(self.path):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is durable afterwards, or nothing is. Needs the write lock."""
        with translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._tables.clear()  # one of them may have been made here
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # --- writing: inside a transaction -----------------------------------------------------------

    def append(self, topic: str, rows: Sequence[Row]) -> None:
        """Add records at the end of a topic, which is made where it is missing."""
        table = self._table(topic) or self._make(topic)
        now = (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)
        self._connection.executemany(
            f"INSERT INTO {table} (appended_at, key, type, headers, data) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 (a number)
            [(now, *row) for row in rows],
        )

    def join(self, group: str, topics: Sequence[str], start: int = 0) -> None:
        """Make a group known, at the start of topics that it has not read before."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO offsets VALUES (?, ?, ?)",
            [(group, topic, start) for topic in topics],
        )

    def commit(self, group: str, offsets: Mapping[str, int]) -> None:
        """Set the next offsets of a group."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)",
            [(group, topic, offset) for topic, offset in offsets.items()],
        )

    def forget(self, prefix: str, keep: Collection[str]) -> list[str]:
        """Make groups unknown whose names begin so, but for those to keep."""
        known = self._connection.execute("SELECT DISTINCT consumers FROM offsets").fetchall()
        gone = [name for (name,) in known if name.startswith(prefix) and name not in keep]
        self._connection.executemany(
            "DELETE FROM offsets WHERE consumers = ?", [(name,) for name in gone]
        )
        return gone

    def trim(self, topic: str, before: datetime | None, step: int) -> int:
        """Remove at most `step` of the oldest records that every known group has committed and
        that were appended before a time (None: whenever). Answers with how many."""
        table = self._table(topic)
        if table is None:
            return 0
        (floor,) = self._connection.execute(
            "SELECT MIN(next) FROM offsets WHERE topic = ?", (topic,)
        ).fetchone()
        limit = None if before is None else (before - _EPOCH) // timedelta(microseconds=1)
        done = self._connection.execute(
            f"DELETE FROM {table} WHERE offset IN (SELECT offset FROM {table}"  # noqa: S608 (a number)
            f" WHERE offset < (SELECT MAX(offset) FROM {table})"
            " AND (?1 IS NULL OR offset < ?1) AND (?2 IS NULL OR appended_at < ?2)"
            " ORDER BY offset LIMIT ?3)",
            (floor, limit, step),
        )
        return done.rowcount

    # --- reading ---------------------------------------------------------------------------------

    def topics(self) -> list[str]:
        """All topics."""
        with translated(self.path):
            return [name for (name,) in self._connection.execute("SELECT name FROM topics")]

    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        with translated(self.path):
            (used,) = self._connection.execute(
                "SELECT (page_count - freelist_count) * page_size"
                " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            ).fetchone()
        return int(used)

    def read(self, topic: str, start: int, end: int | None, limit: int) -> list[Delivery]:
        """Records from offset `start`, before `end`, in order: `limit` or READ_BYTES at most."""
        table = self._table(topic)
        if table is None or limit <= 0:
            return []
        found: list[Delivery] = []
        size = 0
        with translated(self.path):
            rows = self._connection.execute(
                f"SELECT * FROM {table} WHERE offset >= ?1 AND (?2 IS NULL OR offset < ?2)"  # noqa: S608 (a number)
                " ORDER BY offset LIMIT ?3",
                (start, end, limit),
            )
            for offset, at, key, kind, headers, data in rows:
                appended_at = _EPOCH + timedelta(microseconds=at)
                header = orjson.loads(headers)
                found.append(
                    Delivery(topic, PARTITION, offset, key, kind, data, header, appended_at)
                )
                size += len(data)
                if size >= READ_BYTES:
                    break
            rows.close()
        return found

    def bounds(self, topic: str) -> tuple[int, int]:
        """The oldest offset held, and the next one to be given."""
        table = self._table(topic)
        if table is None:
            return 0, 0
        with translated(self.path):
            first, last = self._connection.execute(
                f"SELECT (SELECT MIN(offset) FROM {table}), (SELECT MAX(offset) FROM {table})"  # noqa: S608 (a number)
            ).fetchone()
        return (0, 0) if last is None else (first, last + 1)

    def committed(self, group: str, topic: str) -> int:
        """The next offset of a group; 0 if it is not known."""
        with translated(self.path):
            row = self._connection.execute(
                "SELECT next FROM offsets WHERE consumers = ? AND topic = ?", (group, topic)
            ).fetchone()
        return int(row[0]) if row else 0

    def _table(self, topic: str) -> str | None:
        if topic not in self._tables:
            with translated(self.path):
                row = self._connection.execute(
                    "SELECT id FROM topics WHERE name = ?", (topic,)
                ).fetchone()
            if row is None:
                return None
            self._tables[topic] = f"topic_{row[0]}"
        return self._tables[topic]

    def _make(self, topic: str) -> str:
        made = self._connection.execute("INSERT INTO topics (name) VALUES (?)", (topic,))
        self._connection.execute(_TOPIC.format(id=made.lastrowid))
        return f"topic_{made.lastrowid}"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 2000")
    return connection


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class WriteLock:
    """The lock between writing processes: they queue for it instead of polling SQLite's own."""

    descriptor: int

    def take(self) -> None:
        """Wait until no other process writes."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let the next one write."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)


@contextmanager
def write_lock(directory: Path) -> Iterator[WriteLock]:
    """The lock of the log below `directory`, not taken yet."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        yield WriteLock(descriptor)
    finally:
        os.close(descriptor)


_RESTORE = (
    "move the directory away and start again, or restore it from a backup;"
    " `isocenter rebuild` fills the search index from the objects"
)
_ERRORS: dict[int, tuple[type[IsocenterError], str]] = {
    sqlite3.SQLITE_FULL: (OutOfResources, "free space on the disk"),
    sqlite3.SQLITE_CORRUPT: (Corrupted, _RESTORE),
    sqlite3.SQLITE_NOTADB: (Corrupted, _RESTORE),
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's and the operating system's errors as `core.errors`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary result code
        kind, fix = _ERRORS.get(code, (Unavailable, "check the disk and its permissions"))
        raise kind(f"the log {path} failed: {error}", fix=fix) from error
    except OSError as error:
        raise Unavailable(
            f"the log {path} failed: {error.strerror}", fix="check the disk and its permissions"
        ) from error
