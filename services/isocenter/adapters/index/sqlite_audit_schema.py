"""The tables of the SQLite audit index, how its file is opened, and its errors.

- `records`: a record is a row, and the number of the row is its time: rows are in order, but for
  those of one sixteenth of a second, which have `moment` as well (`sqlite_audit_rows`). What is
  long is in `docs`, so that many records are counted without reading much.
- `shards`: records are also in a full-text index, with their words and their names (`terms`): one
  of many, each of `SHARD` records in the order in which they came, so that a search of what is
  new reads little, and what has expired goes as a whole. The number of a row is the same in all.
- `tallies`: how many records there are, by what most are counted by: for everything of each hour;
  for everything by principal, and for each name that somebody can be found by, of each day.
- `names`: a number for each name, action, outcome and chain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isocenter.core.errors import Corrupted, IsocenterError, OutOfResources, Unavailable

FILE = "trail.sqlite"  # that of versions before, `sqlite_audit_v1.FILE`, may lie beside it

_APPLICATION_ID = 0x49535452  # "ISTR"
# Raised with every change to the tables, and to the terms of a record: what is removed from the
# full-text index must be named as it was put in.
_VERSION = 1
_BUSY_SECONDS = 15.0
_FIX = (
    "remove it: it is disposable, and `isocenter audit rebuild` fills it again from the sealed"
    " segments of the trail"
)

SHARD = 2**18  # records
EVERYTHING, BY_PRINCIPAL = 0, -1  # instead of a name, in `tallies`
DAY = 24  # hours; `tallies` has the first one of it

_SCHEMA = """
CREATE TABLE records(
  row INTEGER PRIMARY KEY, moment INTEGER NOT NULL, action INTEGER NOT NULL,
  outcome INTEGER NOT NULL, principal INTEGER NOT NULL);
CREATE TABLE docs(
  row INTEGER PRIMARY KEY, chain INTEGER NOT NULL, sequence INTEGER NOT NULL,
  shard INTEGER NOT NULL, doc BLOB NOT NULL);
CREATE INDEX docs_in_chains ON docs(chain, sequence);
CREATE TABLE ids(id BLOB PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE names(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE tallies(
  name INTEGER NOT NULL, hour INTEGER NOT NULL, action INTEGER NOT NULL, outcome INTEGER NOT NULL,
  principal INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(name, hour, action, outcome, principal)) WITHOUT ROWID;
CREATE TABLE shards(
  number INTEGER PRIMARY KEY AUTOINCREMENT, low INTEGER NOT NULL DEFAULT 0,
  high INTEGER NOT NULL DEFAULT 0, taken INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0, tidy INTEGER NOT NULL DEFAULT 0);
"""

# The tokens are what stands between spaces: `terms` has no other characters but those beyond
# ASCII, all of which this tokenizer takes. Nothing is kept but which records a token is in.
_SHARD = """
CREATE VIRTUAL TABLE text_{0} USING fts5(
  terms, content='', columnsize=0, detail=none, tokenize="ascii tokenchars '.-@:/^_='");
CREATE VIRTUAL TABLE words_{0} USING fts5vocab(text_{0}, instance);
INSERT INTO text_{0}(text_{0}, rank) VALUES ('automerge', 8);
INSERT INTO text_{0}(text_{0}, rank) VALUES ('hashsize', 16777216);
"""


def connect(path: Path, *, writer: bool = False) -> sqlite3.Connection:
    """Open the index; the writer makes it if there is none. Raises `Corrupted`."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=1024,  # each shard has its own
    )
    try:
        if writer:
            _prepare(connection, path)
        else:
            connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -32768")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(writer: sqlite3.Connection, path: Path) -> None:
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    # Pages change again and again; half of what is written is saved by putting them off for long.
    writer.execute("PRAGMA wal_autocheckpoint = 20000")
    # Where it costs nothing, what is removed is overwritten.
    writer.execute("PRAGMA secure_delete = FAST")
    writer.execute("PRAGMA journal_size_limit = 134217728")
    if _is_ours(writer, path):
        return
    with transaction(writer):
        if not _is_ours(writer, path):  # another process may have made it meanwhile
            run(writer, _SCHEMA)
            writer.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            writer.execute(f"PRAGMA user_version = {_VERSION}")


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the tables are there. Raises `Corrupted` if others are."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and (application, version) != (_APPLICATION_ID, _VERSION):
        raise Corrupted(f"{path} is no audit index of version {_VERSION}", fix=_FIX)
    return bool(tables)


def make_shard(db: sqlite3.Connection) -> int:
    """Make an empty shard; its number, which no other one ever had."""
    number = db.execute("INSERT INTO shards DEFAULT VALUES").lastrowid
    assert number is not None
    run(db, _SHARD.format(number))
    return number


def drop_shard(db: sqlite3.Connection, number: int) -> None:
    """Remove a shard with all that is in it."""
    db.execute(f"DROP TABLE words_{number}")
    db.execute(f"DROP TABLE text_{number}")
    db.execute("DELETE FROM shards WHERE number = ?", (number,))


def run(db: sqlite3.Connection, script: str) -> None:
    """Several statements, in the transaction that is open."""
    for statement in script.split(";"):
        db.execute(statement)


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing; one state of the file for all that is read."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


# --- errors --------------------------------------------------------------------------------------

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


@contextmanager
def errors(path: Path, fix: str = _FIX) -> Iterator[None]:
    """Turns SQLite's errors into those of `core.errors`; `fix` says what to do about damage."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path, fix) from error
    except OSError as error:
        raise Unavailable(
            f"the audit index {path} cannot be opened: {error.strerror}",
            fix="check the data directory and its permissions",
        ) from error


def _translated(error: sqlite3.Error, path: Path, fix: str) -> IsocenterError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return OutOfResources(f"no room for the audit index {path}", fix="free disk space")
    if code in _DAMAGED:  # of an intact file all statements are right
        return Corrupted(f"the audit index {path} cannot be read: {error}", fix=fix)
    return Unavailable(f"the audit index {path} does not answer: {error}", fix="try again")
