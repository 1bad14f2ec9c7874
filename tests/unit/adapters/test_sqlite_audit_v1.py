"""The SQLite audit index of the first version is read as it was written, and left as it is."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from isocenter.adapters.index.sqlite_audit_v1 import FILE, earlier
from isocenter.core.errors import Corrupted
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source

# As that version had it.
_SCHEMA = """
CREATE TABLE records(
  row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, action TEXT NOT NULL,
  outcome TEXT NOT NULL, doc BLOB NOT NULL);
CREATE INDEX records_in_order ON records(at, id);
CREATE TABLE names(
  kind TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY(kind, name, at, row)) WITHOUT ROWID;
PRAGMA application_id = 0x49534155;
PRAGMA user_version = 1;
"""
_LATER_FIELDS = ("query", "digests", "process", "site", "trace")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(number: int) -> AuditEvent:
    return AuditEvent(
        AuditAction.QUERY,
        AuditOutcome.MINOR_FAILURE,
        Source("DIMSE", "10.0.0.1", "SCANNER", "ISOCENTER", known=False),
        START + timedelta(microseconds=number // 2),
        f"r{number:05}",
        partition="main",
        patient_ids=("P1", "Müller"),
        studies=("1.2",),
        instance_count=number,
        detail="C-FIND",
    )


def write(directory: Path, events: Sequence[AuditEvent]) -> None:
    """A file as the first version wrote it: the records as dataclasses in JSON."""
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_SCHEMA)
        for one in events:
            fields = {k: v for k, v in asdict(one).items() if k not in _LATER_FIELDS}
            del fields["source"]["purpose"]
            db.execute(
                "INSERT INTO records(id, at, action, outcome, doc) VALUES (?,?,?,?,?)",
                (one.id, one.at.isoformat(timespec="microseconds"), one.action.value,
                 one.outcome.value, orjson.dumps(fields)),
            )  # fmt: skip


async def read(directory: Path) -> list[AuditEvent]:
    batches = [batch async for batch in earlier(directory)]
    assert all(batches)
    return [event for batch in batches for event in batch]


async def test_all_records_come_oldest_first_as_they_were(tmp_path: Path) -> None:
    events = [event(number) for number in range(2500)]
    write(tmp_path, events[::-1])
    before = hashlib.sha256((tmp_path / FILE).read_bytes()).digest()
    assert await read(tmp_path) == events
    assert hashlib.sha256((tmp_path / FILE).read_bytes()).digest() == before


async def test_reading_may_stop_anywhere(tmp_path: Path) -> None:
    write(tmp_path, [event(number) for number in range(1500)])
    batches = earlier(tmp_path)
    first = await anext(batches)
    await batches.aclose()
    assert list(first) == [event(number) for number in range(len(first))]


async def test_where_there_is_no_such_file_there_is_nothing(tmp_path: Path) -> None:
    assert await read(tmp_path) == []
    assert await read(tmp_path / "none") == []
    write(tmp_path, [])
    assert await read(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough" * 100])
async def test_what_is_no_trail_is_told_and_not_taken_for_an_empty_one(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Corrupted, match="restore it from a backup"):
        await read(tmp_path)


async def test_a_record_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, [event(1), event(2)])
    with closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        db.execute("UPDATE records SET doc = ? WHERE id = 'r00002'", (b"{",))
    with pytest.raises(Corrupted):
        await read(tmp_path)
