"""The SQLite audit index keeps the contract of `AuditIndex`, and what is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.audit_index_suite import EVERYTHING, AuditIndexSuite, record
from isocenter.adapters.index.sqlite_audit import SqliteAuditIndex
from isocenter.core.errors import Corrupted, Unavailable


class TestSqliteAuditIndex(AuditIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[SqliteAuditIndex]:
        index = await SqliteAuditIndex.open(tmp_path / "audit")
        yield index
        await index.close()


async def test_two_open_indexes_of_one_file_see_each_others_records(tmp_path: Path) -> None:
    one, two = await SqliteAuditIndex.open(tmp_path), await SqliteAuditIndex.open(tmp_path)
    await one.append([record(1)])
    await two.append([record(2)])
    assert await one.count(EVERYTHING) == await two.count(EVERYTHING) == 2
    await one.close()
    await two.close()


async def test_a_foreign_file_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "audit.sqlite").write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(Corrupted, match="move it away"):
        await SqliteAuditIndex.open(tmp_path)


async def test_a_closed_index_is_unavailable(tmp_path: Path) -> None:
    index = await SqliteAuditIndex.open(tmp_path)
    await index.close()
    await index.close()
    with pytest.raises(Unavailable, match="closed"):
        await index.count(EVERYTHING)
