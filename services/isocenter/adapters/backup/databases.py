"""Copies of SQLite files: consistent while others write, and back again."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from isocenter.adapters.backup.entries import file_digest
from isocenter.adapters.backup.files import translated
from isocenter.adapters.blobs.staging import fsync_file
from isocenter.adapters.bus.log_file import sync_directory
from isocenter.core.errors import Corrupted

_BUSY_SECONDS = 30
_CHUNK = 1024 * 1024
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """What a manifest says of a database."""

    bytes: int
    digest: str  # SHA-256 of the file


def snapshot(source: Path, copy: Path) -> DatabaseCopy:
    """What is committed in `source` now, as a new file, durable on return. Writers go on."""
    with translated(copy):
        with closing(sqlite3.connect(source, timeout=_BUSY_SECONDS)) as connection:
            try:
                connection.execute("VACUUM INTO ?", (str(copy),))
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF in _BROKEN:
                    raise Corrupted(
                        f"{source} is damaged: {error}", fix="restore it from an earlier backup"
                    ) from error
                raise
        fsync_file(copy)
        return DatabaseCopy(copy.stat().st_size, file_digest(copy))


def check(copy: Path, said: DatabaseCopy) -> None:
    """Raises `Corrupted` unless it is the file that was copied and SQLite finds it whole."""
    if file_digest(copy) != said.digest:
        raise _damaged(copy, "has another digest than when it was copied")
    try:
        with closing(sqlite3.connect(f"{copy.as_uri()}?immutable=1", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise _damaged(copy, f"cannot be read: {error}") from error
    if answer != "ok":
        raise _damaged(copy, f"is no whole database: {answer}")


def put_back(copy: Path, place: Path, said: DatabaseCopy) -> None:
    """Copy the file of a backup to where it is used, durable on return. Raises `Corrupted`."""
    draft = place.with_name(f"{place.name}.new")
    hasher = hashlib.sha256()
    with translated(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("rb") as source, draft.open("wb") as target:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                target.write(chunk)
        if hasher.hexdigest() != said.digest:
            draft.unlink()
            raise _damaged(copy, "has another digest than when it was copied")
        fsync_file(draft)
        draft.replace(place)
        sync_directory(place.parent)
        sync_directory(place.parent.parent)


def _damaged(copy: Path, why: str) -> Corrupted:
    return Corrupted(f"{copy} {why}", fix="take an older backup, with --at TIME")
