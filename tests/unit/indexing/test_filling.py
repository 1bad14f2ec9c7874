"""After an upgrade: the index of another version is made anew by indexing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isocenter.adapters.index import directory, schema
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.apis import RebuildProgress
from isocenter.core.attributes import BUILT_IN
from isocenter.core.errors import Unavailable
from isocenter.core.fill_state import FillState
from isocenter.core.matching import Level, Search
from isocenter.indexing.filling import Filling
from support.archive import Archive, values
from support.datasets import tiny

STUDIES = Search(Level.STUDY, include_all=True)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(await SqliteIndex.open(tmp_path / "index"))
    yield archive
    await archive.index.close()


async def reopened(archive: Archive, path: Path) -> None:
    await archive.index.close()
    archive.index = await SqliteIndex.open(path)


async def filled(archive: Archive) -> None:
    """Run the consumer until the index is of this version and has everything."""
    async with archive.running() as indexer, asyncio.timeout(20):
        while await archive.index.unfilled():
            await asyncio.sleep(0.01)
        await archive.caught_up()
        assert not indexer.retrying.problem


async def test_an_index_of_another_version_is_told_and_filled_before_events_are_taken(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.store(tiny("1.2", PatientID="BEFORE"))
    await archive.index_all()
    assert not await archive.index.unfilled()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    await reopened(archive, tmp_path / "index")
    assert await archive.index.unfilled()
    with pytest.raises(Unavailable, match=r"version .*isocenter up"):
        await archive.answers(STUDIES)
    await archive.store(tiny("1.3", PatientID="AFTER"))
    await archive.index_all()
    assert sorted(values(await archive.answers(STUDIES), "00100020")) == ["AFTER", "BEFORE"]
    assert not await archive.index.unfilled()


async def test_going_back_to_the_version_before_fills_its_index_again(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.store(tiny("1.2", PatientID="BEFORE"))
    await archive.index_all()
    with monkeypatch.context() as newer:
        newer.setattr(schema, "VERSION", schema.VERSION + 1)
        await reopened(archive, tmp_path / "index")
        await archive.store(tiny("1.3", PatientID="BY THE NEWER ONE"))
        await archive.index_all()
    await reopened(archive, tmp_path / "index")
    await filled(archive)
    found = values(await archive.answers(STUDIES), "00100020")
    assert sorted(found) == ["BEFORE", "BY THE NEWER ONE"]


async def test_a_process_that_finds_another_one_filling_waits_for_it(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.store(tiny("1.2", PatientID="X"))
    await archive.index_all()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    await reopened(archive, tmp_path / "index")
    refused = pytest.raises(Unavailable, match="under way")
    with directory.one_rebuild(tmp_path / "index"), refused:
        await archive.filling()()
    await filled(archive)
    assert values(await archive.answers(STUDIES), "00100020") == ["X"]


async def test_it_tells_how_far_it_is_while_it_fills(archive: Archive) -> None:
    told: list[str] = []

    class Slow:
        async def rebuild(self) -> AsyncIterator[RebuildProgress]:
            for done in (0, 7):
                yield RebuildProgress(studies=1, instances=done, problems={}, done=False)
                told.append(filling.problem)

    class Other:
        attributes = BUILT_IN

        async def fill_state(self) -> FillState:
            return FillState()

        async def unfilled(self) -> bool:
            return True

    filling = Filling(Other(), Slow())
    await filling()
    assert "7 instances" in told[-1]
    assert filling.problem == ""
