"""The SQLite index keeps the contract of `StudyIndex`, and what is its own."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.study_index_attributes_suite import AddedAttributesSuite, Opened
from contract.study_index_suite import StudyIndexSuite
from isocenter.adapters.index import directory, searching
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.attributes import Attributes
from isocenter.core.errors import Corrupted, Unavailable
from isocenter.core.matching import Level, Search
from isocenter.core.ports import StudyIndex, Totals
from support.index_oracle import entry
from support.index_samples import answers, key, studies


class TestSqliteIndex(StudyIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[SqliteIndex]:
        index = await SqliteIndex.open(tmp_path / "index")
        yield index
        await index.close()


class TestAddedAttributesOfSqliteIndex(AddedAttributesSuite):
    __test__ = True

    @pytest.fixture
    async def opened(self, tmp_path: Path) -> AsyncIterator[Opened]:
        indices: list[SqliteIndex] = []

        async def open_it(table: Attributes) -> StudyIndex:
            indices.append(await SqliteIndex.open(tmp_path / "index", table))
            return indices[-1]

        yield open_it
        for index in indices:
            await index.close()


class TestWalkingSqliteIndex(TestSqliteIndex):
    """The same with thresholds so low that no search is answered by look-up."""

    @pytest.fixture(autouse=True)
    def _walk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(searching, "FEW", 0)
        monkeypatch.setattr(searching, "QUICK", 0)
        monkeypatch.setattr(searching, "PAGE", 3)

    test_ten_thousand_answers_stream_in_bounded_batches = None


async def test_another_process_reads_while_this_one_writes_and_follows_a_promotion(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "index"
    index = await SqliteIndex.open(directory)
    await index.upsert([entry("1.0", "1.0.1", "1")])
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from isocenter.adapters.index.sqlite import SqliteIndex
        from isocenter.core.matching import Level, Search

        async def main():
            index = await SqliteIndex.open(Path(sys.argv[1]))
            for _ in sys.stdin:
                print(await index.count(Search(Level.STUDY)), flush=True)
            await index.close()

        asyncio.run(main())
    """)
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(directory),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    async def count() -> int:
        reader.stdin.write(b"\n")
        return int(await reader.stdout.readline())

    assert await count() == 1
    for n in range(1, 20):
        await index.upsert([entry(f"1.{n}", f"1.{n}.1", "1")])
        assert await count() == n + 1
    scratch = await index.scratch()
    await scratch.upsert([entry("2.1", "2.1.1", "1")])
    await scratch.promote()
    await scratch.close()
    assert await count() == 1
    reader.stdin.close()
    assert await reader.wait() == 0
    await index.close()


async def test_a_damaged_file_is_reported_with_the_fix_and_can_be_rebuilt(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path)
    await index.close()
    (file,) = tmp_path.glob("index-*.sqlite")
    file.write_bytes(b"this is no database, but it is long enough to be looked at" * 100)
    index = await SqliteIndex.open(tmp_path)
    with pytest.raises(Corrupted, match="isocenter rebuild"):
        await index.count(studies())
    with pytest.raises(Corrupted, match="isocenter rebuild"):
        await index.upsert([entry("1.2", "1.2.1", "1")])
    scratch = await index.scratch()
    await scratch.upsert([entry("1.2", "1.2.1", "1")])
    await scratch.promote()
    await scratch.close()
    assert await index.count(studies()) == 1
    await index.close()


async def test_a_missing_file_is_reported_and_not_silently_empty(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path)
    await index.close()
    (file,) = tmp_path.glob("index-*.sqlite")
    file.unlink()
    index = await SqliteIndex.open(tmp_path)
    with pytest.raises(Corrupted, match="missing"):
        await answers(index, Search(Level.SERIES))
    await index.close()


async def test_closing_the_index_ends_a_search_under_way(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path)
    await index.upsert([entry(f"1.{n}", f"1.{n}.1", "1") for n in range(900)])
    found = index.search(studies())
    assert await anext(found)
    await index.close()
    with pytest.raises(Unavailable, match="closed"):
        await anext(found)


async def test_there_is_one_rebuild_at_a_time(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path)
    scratch = await index.scratch()
    with pytest.raises(Unavailable, match="under way"):
        await index.scratch()
    await scratch.close()
    await (await index.scratch()).close()
    await index.close()


async def test_an_interrupted_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path)
    bad = entry("1.2", "1.2.1", "2", t00081030="\ud800")
    with pytest.raises(Exception, match=r"surrogate|str is not valid UTF-8"):
        await index.upsert([entry("1.2", "1.2.1", "1"), bad])
    assert await index.count(studies()) == 0
    assert [c.instances for c in await index.upsert([entry("1.2", "1.2.1", "1")])] == [1]
    assert len(await answers(index, studies(key("0020000D", "1.2")))) == 1
    await index.close()


async def test_an_index_from_before_there_were_totals_gets_them_at_its_next_write(
    tmp_path: Path,
) -> None:
    index = await SqliteIndex.open(tmp_path)
    await index.upsert([entry("1.2", "1.2.1", "1"), entry("1.3", "1.3.1", "1", current=False)])
    await index.close()
    (file,) = tmp_path.glob("index-*.sqlite")
    former = sqlite3.connect(file)
    triggers = former.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        former.execute(f"DROP TRIGGER {name}")
    former.execute("DROP TABLE totals")
    former.commit()
    former.close()
    one, two = [await SqliteIndex.open(tmp_path) for _ in range(2)]
    more = [index.upsert([entry(f"1.{n}", f"1.{n}.1", "1")]) for n, index in ((4, one), (5, two))]
    await asyncio.gather(*more)
    expected = Totals(studies=3, instances=3, bytes=4000)
    assert [await index.totals() for index in (one, two)] == [expected, expected]
    for index in (one, two):
        await index.close()


async def test_an_index_stays_if_whoever_promotes_it_is_cancelled_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await SqliteIndex.open(tmp_path / "index")
    scratch = await index.scratch()
    await scratch.upsert([entry("1.0", "1.0.1", "1")])
    begun, go_on = threading.Event(), threading.Event()
    switch = directory.switch

    def slow(*where: Path) -> None:
        begun.set()
        go_on.wait(20)
        switch(*where)

    monkeypatch.setattr(directory, "switch", slow)
    promoting = asyncio.create_task(scratch.promote())
    await asyncio.to_thread(begun.wait, 20)
    promoting.cancel()
    go_on.set()
    await asyncio.gather(promoting, return_exceptions=True)
    await scratch.close()
    assert await index.count(Search(Level.STUDY)) == 1
    await index.close()
