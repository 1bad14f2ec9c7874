"""Applying the log to the live index once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.events import TOPIC_INSTANCES
from isocenter.core.identity import ObjectName
from isocenter.core.matching import Level, Search
from support.archive import Archive
from support.datasets import tiny

STUDIES = Search(Level.STUDY, include_all=True)


@pytest.fixture
def archive(index: SqliteIndex) -> Archive:
    return Archive(index, MemoryBus(partitions=2))


async def replay(archive: Archive, since=None, offsets=None):
    return [step async for step in archive.service().replay(since, offsets or {})][-1]


async def test_what_an_index_has_lost_is_applied_again_and_nothing_else_changes(archive) -> None:
    events = [
        await archive.store(tiny(f"1.{n}", "1.2", "1.3", PatientID=f"P{n}")) for n in range(6)
    ]
    await archive.index_all()
    before = await archive.everything()
    await archive.index.remove([ObjectName(event.name, event.digest) for event in events[:4]])
    step = await replay(archive)
    assert (step.events, step.problems, step.done) == (6, {}, True)
    assert await archive.everything() == before


async def test_a_replay_begins_at_a_time_or_at_offsets(archive) -> None:
    for number in range(6):
        await archive.store(tiny(f"1.{number}", "1.2", "1.3"))
    held = [delivery async for delivery in archive.bus.replay(TOPIC_INSTANCES)]
    middle = sorted(delivery.appended_at for delivery in held)[3]
    wanted = sum(delivery.appended_at >= middle for delivery in held)
    assert (await replay(archive, since=middle)).events == wanted
    await archive.index_all()
    end = await archive.bus.end(TOPIC_INSTANCES)
    assert (await replay(archive, offsets=end)).events == 0
    last = {0: max(end[0] - 1, 0), 1: end[1]}
    assert (await replay(archive, offsets=last)).events == min(end[0], 1)


async def test_an_event_that_cannot_be_applied_is_named_and_the_rest_is_applied(archive) -> None:
    good = await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.announce(replace(good, header=None, digest="0" * 64))
    step = await replay(archive)
    assert step.events == 2
    (place,) = step.problems
    held = [d async for d in archive.bus.replay(TOPIC_INSTANCES)]
    assert place == f"{held[1].partition}/{held[1].offset}"
    assert len(await archive.answers(STUDIES)) == 1
