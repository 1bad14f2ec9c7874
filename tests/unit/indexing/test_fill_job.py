"""Attributes that are added are filled in parts, once, by one at a time, and nothing is missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.added import added
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.identity import PACKS
from isocenter.core.matching import Key, Level, Search
from isocenter.indexing import fill_job
from isocenter.indexing.fill_job import enter_table
from support.archive import SETTINGS, Archive
from support.datasets import tiny

AGENT = added("ContrastBolusAgent", "SERIES")
COMMENTS = added("ImageComments", "INSTANCE")
TABLE = Attributes([AGENT, COMMENTS])
AT_ONCE = SETTINGS.model_copy(update={"overlap_seconds": 0})
STUDIES = 6


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    """Studies that were indexed before there were added attributes."""
    archive = Archive(await SqliteIndex.open(tmp_path / "index"))
    for n in range(STUDIES):
        await archive.store(tiny(f"1.{n}", f"1.{n}.1", f"1.{n}.1.1", ContrastBolusAgent=f"A{n}"))
    await archive.index_all()
    yield archive
    await archive.index.close()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_job, "_STEP", 2)


async def with_table(archive: Archive, table: Attributes) -> None:
    directory = archive.index._directory
    await archive.index.close()
    archive.index = await SqliteIndex.open(directory, table)


async def lacking(archive: Archive) -> set[str]:
    return set((await archive.index.fill_state()).lacks(archive.index.attributes))


def by_agent(value: str = "A*") -> Search:
    return Search(Level.SERIES, (Key(AGENT.tag, "LO", (value,)),))


async def finish(job: Any) -> int:
    """Steps until there is nothing to do."""
    steps = 0
    async with asyncio.timeout(20):
        while await job.step():
            steps += 1
    return steps


async def test_what_is_kept_is_filled_in_parts_and_counted(
    archive: Archive, small_steps: None
) -> None:
    await with_table(archive, TABLE)
    job = archive.fill_job(AT_ONCE)
    assert await job.step()
    assert await archive.index.count(by_agent()) == 2
    state = await archive.index.fill_state()
    assert (state.looked, state.total, state.unfilled) == (2, STUDIES, {AGENT.tag, COMMENTS.tag})
    await finish(job)
    assert await archive.index.count(by_agent()) == STUDIES
    assert await archive.index.count(by_agent("A3")) == 1
    assert await lacking(archive) == set()
    assert (await archive.index.fill_state()).looked == STUDIES


async def test_no_object_is_read_where_packs_tell(archive: Archive) -> None:
    await with_table(archive, TABLE)
    assert len(await archive.keys(PACKS)) == STUDIES
    inner, read = archive.storage, []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def read(self, key: str, *more: Any) -> Any:
            read.append(key)
            return inner.read(key, *more)

    archive.storage = Watched()
    await finish(archive.fill_job(AT_ONCE))
    assert await archive.index.count(by_agent()) == STUDIES
    assert len(read) >= STUDIES
    assert all(key.startswith(PACKS) for key in read)


async def test_another_member_goes_on_where_one_was_killed(
    archive: Archive, small_steps: None
) -> None:
    """As after SIGKILL: what was filled since the last position is filled once more."""
    await with_table(archive, TABLE)
    clock = [1e9]
    one, two = (
        archive.fill_job(AT_ONCE, owner=name, now=lambda: clock[0]) for name in ("one", "two")
    )
    await one.step()
    before = await archive.index.fill_state()
    assert before.owner == "one"
    assert not await two.step()  # it is not its turn
    await one._fill(before)
    clock[0] += 60
    await finish(two)
    assert await archive.index.count(by_agent()) == STUDIES
    assert await lacking(archive) == set()
    assert not await one.step()


async def test_a_member_that_lost_its_turn_does_not_write_over_the_position(
    archive: Archive, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_table(archive, TABLE)
    job = archive.fill_job(AT_ONCE)
    fill = job._fill

    async def slow(state: Any) -> Any:
        reached = await fill(state)
        now = await archive.index.fill_state()
        assert await archive.index.replace_fill_state(now.revised(owner="two", looked=99), now)
        return reached

    monkeypatch.setattr(job, "_fill", slow)
    await job.step()
    assert (await archive.index.fill_state()).looked == 99


async def test_what_a_process_with_the_former_settings_indexes_meanwhile_is_not_missed(
    archive: Archive,
) -> None:
    clock = [4e9]  # later than anything was stored, by more than clocks differ
    await with_table(archive, TABLE)
    job = archive.fill_job(
        SETTINGS.model_copy(update={"overlap_seconds": 60}), now=lambda: clock[0]
    )
    await job.step()
    assert await archive.index.count(by_agent()) == STUDIES
    state = await archive.index.fill_state()
    assert await archive.index.replace_fill_state(state.revised(since=1.0), state)
    await with_table(archive, BUILT_IN)
    await archive.store(tiny("1.0", "1.0.2", "1.0.2.1", ContrastBolusAgent="A LATE"))
    await archive.index_all()
    await with_table(archive, TABLE)
    job = archive.fill_job(
        SETTINGS.model_copy(update={"overlap_seconds": 60}), now=lambda: clock[0]
    )
    state = await archive.index.fill_state()
    assert await archive.index.replace_fill_state(state.revised(since=clock[0] - 59), state)
    assert not await job.step()  # that process may still be at work
    assert await lacking(archive) == {AGENT.tag, COMMENTS.tag}
    state = await archive.index.fill_state()
    assert await archive.index.replace_fill_state(state.revised(since=1.0), state)
    assert await job.step()
    assert await archive.index.count(by_agent()) == STUDIES + 1
    assert await lacking(archive) == set()


async def test_new_objects_have_the_attributes_at_once(archive: Archive) -> None:
    await with_table(archive, TABLE)
    await archive.store(tiny("1.9", "1.9.1", "1.9.1.1", ContrastBolusAgent="NEW"))
    await archive.index_all()
    assert await archive.index.count(by_agent("NEW")) == 1
    assert await lacking(archive) == {AGENT.tag, COMMENTS.tag}


async def test_an_attribute_that_was_taken_off_and_added_again_is_filled_again(
    archive: Archive,
) -> None:
    await with_table(archive, TABLE)
    await finish(archive.fill_job(AT_ONCE))
    await with_table(archive, Attributes([COMMENTS]))
    await enter_table(archive.index, forget=True)
    await archive.store(tiny("1.9", "1.9.1", "1.9.1.1", ContrastBolusAgent="A BETWEEN"))
    await archive.index_all()
    await with_table(archive, TABLE)
    assert await lacking(archive) == {AGENT.tag}
    await finish(archive.fill_job(AT_ONCE))
    assert await archive.index.count(by_agent()) == STUDIES + 1
    assert await archive.index.count(by_agent("A BETWEEN")) == 1


async def test_an_empty_index_is_filled_from_the_beginning(tmp_path: Path) -> None:
    archive = Archive(await SqliteIndex.open(tmp_path / "new", TABLE))
    await archive.store(tiny(ContrastBolusAgent="A1"))
    await archive.index_all()
    assert await lacking(archive) == set()
    assert await archive.index.count(by_agent()) == 1
    await archive.index.close()


async def test_a_rebuild_needs_no_filling(archive: Archive) -> None:
    await with_table(archive, TABLE)
    await enter_table(archive.index, forget=True)
    assert [step async for step in archive.service().rebuild()][-1].done
    assert await lacking(archive) == set()
    assert await archive.index.count(by_agent()) == STUDIES
    assert not await archive.fill_job(AT_ONCE).step()


async def test_the_job_runs_until_it_is_stopped_and_tells_how_far_it_is(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_job, "_LOOK", 0.01)
    await with_table(archive, TABLE)
    job = archive.fill_job(AT_ONCE)
    running = asyncio.create_task(job.run())
    async with asyncio.timeout(20):
        while await lacking(archive):
            await asyncio.sleep(0.01)
    assert job._remaining() == 0
    job.stop()
    await running
    assert replace(await archive.index.fill_state(), revision="").owner == ""
