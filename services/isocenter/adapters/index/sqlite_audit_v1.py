"""Reads the SQLite audit index of the versions before segments: there it was the trail itself, so
its records may be nowhere else. It lies beside the index of this version and is left as it is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from isocenter.adapters.index.sqlite_audit_schema import errors
from isocenter.core.errors import Corrupted
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import decoded

FILE = "audit.sqlite"

_KIND = (0x49534155, 1)  # "ISAU" and the version of its tables
_FIX = "restore it from a backup: it is the trail of the time before this version"
_BATCH = 1000
_BUSY_SECONDS = 15.0

Last = tuple[str, str]  # time and id


async def earlier(directory: Path) -> AsyncIterator[Sequence[AuditEvent]]:
    """All records of an index of an earlier version in this directory, oldest first, in batches
    that are not empty; nothing if there is none. Raises `Corrupted`."""
    path = directory / FILE
    if not await asyncio.to_thread(path.exists):
        return
    db = await asyncio.to_thread(_open, path)
    try:
        last: Last = ("", "")
        while True:
            events, last = await asyncio.to_thread(_batch, db, path, last)
            if not events:
                return
            yield events
    finally:
        db.close()


def _open(path: Path) -> sqlite3.Connection:
    with errors(path, _FIX):
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if (application, version) != _KIND:
                raise Corrupted(f"{path} is no audit index of an earlier version", fix=_FIX)
        except BaseException:
            db.close()
            raise
        return db


def _batch(db: sqlite3.Connection, path: Path, after: Last) -> tuple[Sequence[AuditEvent], Last]:
    """The records behind one, and the last of them."""
    with errors(path, _FIX):
        rows = db.execute(
            "SELECT at, id, doc FROM records WHERE (at, id) > (?, ?) ORDER BY at, id LIMIT ?",
            (*after, _BATCH),
        ).fetchall()
    return [decoded(doc) for *_, doc in rows], tuple(rows[-1][:2]) if rows else after
