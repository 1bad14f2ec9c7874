"""The SQLite audit index keeps the contract of `AuditIndex`, and what is its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from contract.audit_index_suite import AuditIndexSuite
from isocenter.adapters.index import (
    sqlite_audit_rows,
    sqlite_audit_schema,
    sqlite_audit_searching,
    sqlite_audit_writing,
)
from isocenter.adapters.index.sqlite_audit import FILE, SqliteAuditIndex
from isocenter.core.audit import AuditFilter, By, Entry, Place
from isocenter.core.errors import Corrupted, OutOfResources, Unavailable, Unprocessable
from isocenter.core.events import AuditAction, AuditOutcome
from support.audit_index_samples import CHAIN, EVERYTHING, START, entry, ids, numbered, record


class TestSqliteAuditIndex(AuditIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[SqliteAuditIndex]:
        index = await SqliteAuditIndex.open(tmp_path / "audit")
        yield index
        await index.close()


class TestSmallShards(AuditIndexSuite):
    """Many shards, and few words and candidates: the ways of an index that holds millions."""

    __test__ = True

    @pytest.fixture
    async def index(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[SqliteAuditIndex]:
        monkeypatch.setattr(sqlite_audit_schema, "SHARD", 23)
        monkeypatch.setattr(sqlite_audit_searching, "_WORDS", 2)
        monkeypatch.setattr(sqlite_audit_searching, "_LOOK", 5)
        index = await SqliteAuditIndex.open(tmp_path / "audit")
        yield index
        await index.close()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteAuditIndex]:
    index = await SqliteAuditIndex.open(tmp_path)
    yield index
    await index.close()


async def test_two_open_indexes_of_one_file_see_and_keep_each_others_records(
    tmp_path: Path, index: SqliteAuditIndex
) -> None:
    other = await SqliteAuditIndex.open(tmp_path)
    one_half, other_half = (
        numbered([record(n) for n in range(400)]),
        numbered([record(n) for n in range(300, 700)], "audit-1"),
    )
    await asyncio.gather(
        *(index.append(one_half[n : n + 40]) for n in range(0, 400, 40)),
        *(other.append(other_half[n : n + 40]) for n in range(0, 400, 40)),
    )
    assert await index.count(EVERYTHING) == await other.count(EVERYTHING) == 700
    assert await ids(index, limit=1000) == [f"r{n:04}" for n in range(699, -1, -1)]
    assert [one.count for one in await other.tally(EVERYTHING, [By.ACTION])] == [700]
    await other.close()


async def test_what_was_appended_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    for number in range(1, 4):
        index = await SqliteAuditIndex.open(tmp_path)
        await index.append([entry(number)])
        assert await index.count(EVERYTHING) == number
        await index.close()


async def test_a_search_does_not_wait_for_a_write_and_sees_nothing_of_it(
    tmp_path: Path, index: SqliteAuditIndex
) -> None:
    await index.append([entry(1)])
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM records")
        assert await ids(index) == ["r0001"]
        other.execute("ROLLBACK")


async def test_a_write_that_fails_leaves_nothing(index: SqliteAuditIndex) -> None:
    bad = record(2, detail="\ud800", action=AuditAction.VERIFY)
    with pytest.raises(Unprocessable, match="valid Unicode"):
        await index.append([entry(1, action=AuditAction.VERIFY), Entry(bad, Place(CHAIN, 2))])
    assert await index.count(EVERYTHING) == 0
    await index.append([entry(3, action=AuditAction.VERIFY)])
    assert [one.keys for one in await index.tally(EVERYTHING, [By.ACTION])] == [("verify",)]


async def test_names_that_are_no_text_find_nothing(index: SqliteAuditIndex) -> None:
    await index.append([entry(1)])
    for which in (AuditFilter(who="\ud800"), AuditFilter(text="\ud800x"),
                  AuditFilter(who="\ud800", actions=(AuditAction.QUERY,))):  # fmt: skip
        assert await index.count(which) == 0
        assert await ids(index, which) == []


async def test_a_moment_takes_only_so_many_records(
    index: SqliteAuditIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite_audit_rows, sqlite_audit_writing):
        monkeypatch.setattr(module, "ROOM", 4)
    await index.append([entry(n, at=START) for n in range(1, 5)])
    with pytest.raises(Unprocessable, match="same moment"):
        await index.append([entry(5, at=START)])
    await index.append([entry(6, at=START + timedelta(seconds=1))])
    assert await index.count(EVERYTHING) == 5


async def test_what_is_rare_among_others_is_looked_for_where_it_is(
    index: SqliteAuditIndex,
) -> None:
    hours = [record(n, at=START + timedelta(hours=n)) for n in range(50)]
    rare = [
        record(n, at=START + timedelta(hours=n, minutes=30), outcome=AuditOutcome.FAILURE)
        for n in (100, 103, 120)
    ]
    await index.append(numbered([*hours, *rare]))
    which = AuditFilter(who="SCANNER", outcomes=(AuditOutcome.FAILURE,))
    for limit in range(1, 5):
        assert await ids(index, which, limit) == ["r0120", "r0103", "r0100"][:limit]
    assert await ids(index, AuditFilter(
        who="SCANNER", outcomes=(AuditOutcome.FAILURE,), until=START + timedelta(hours=103.2),
    )) == ["r0100"]  # fmt: skip


async def test_the_room_of_what_has_expired_is_used_again(
    tmp_path: Path, index: SqliteAuditIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_audit_schema, "SHARD", 500)
    size = 0
    for start in range(1, 30_000, 3000):
        await index.append([entry(n, trace=f"{n:032x}") for n in range(start, start + 3000)])
        await index.expire(CHAIN, start + 2990)
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            size = size or pages
            assert pages < 2 * size
            (shards,) = db.execute("SELECT count(*) FROM shards").fetchone()
            assert shards <= 3
    assert await index.count(EVERYTHING) == 9


# --- trouble -------------------------------------------------------------------------------------


async def test_a_foreign_file_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(Corrupted, match=r"remove it.*isocenter audit rebuild"):
        await SqliteAuditIndex.open(tmp_path)


async def test_a_database_of_something_else_is_refused_and_left(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("CREATE TABLE theirs(x)")
    with pytest.raises(Corrupted, match=r"no audit index.*isocenter audit rebuild"):
        await SqliteAuditIndex.open(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


async def test_damage_is_told_with_the_fix(tmp_path: Path) -> None:
    index = await SqliteAuditIndex.open(tmp_path)
    await index.append([entry(n) for n in range(1, 2001)])
    await index.close()
    content = bytearray((tmp_path / FILE).read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 200] = b"\xff" * 200
    (tmp_path / FILE).write_bytes(content)
    index = await SqliteAuditIndex.open(tmp_path)
    with pytest.raises(Corrupted, match="isocenter audit rebuild"):
        await index.search(EVERYTHING, 10)
    with pytest.raises(Corrupted, match="isocenter audit rebuild"):
        await index.append([entry(3000)])
    await index.close()


async def test_a_lost_part_is_told_with_the_fix(tmp_path: Path, index: SqliteAuditIndex) -> None:
    await index.append([entry(1)])
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("DROP TABLE ids")
    with pytest.raises(Corrupted, match="isocenter audit rebuild"):
        await index.places(["r0001"])


async def test_a_full_disk_is_out_of_resources_and_loses_nothing(index: SqliteAuditIndex) -> None:
    await index.append([entry(1)])
    (pages,) = index._writer.execute("PRAGMA page_count").fetchone()
    index._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutOfResources, match="free disk space"):
        await index.append([entry(n, detail="x" * 1000) for n in range(2, 200)])
    assert await ids(index) == ["r0001"]
    index._writer.execute("PRAGMA max_page_count = 1000000")
    await index.append([entry(2)])
    assert await ids(index) == ["r0002", "r0001"]


async def test_a_file_that_others_keep_locked_is_unavailable(
    tmp_path: Path, index: SqliteAuditIndex
) -> None:
    index._writer.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await index.append([entry(1)])
        other.execute("ROLLBACK")
    await index.append([entry(1)])


async def test_a_closed_index_is_unavailable(tmp_path: Path) -> None:
    index = await SqliteAuditIndex.open(tmp_path)
    await index.close()
    await index.close()
    for work in (index.count(EVERYTHING), index.append([entry(1)]), index.places(["r0001"])):
        with pytest.raises(Unavailable, match="closed"):
            await work
