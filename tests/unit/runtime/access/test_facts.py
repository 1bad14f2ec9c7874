"""What rules look at of a study is asked of the index, and remembered for a moment."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.core.access import FACTS, SYSTEM
from isocenter.core.errors import Unavailable
from isocenter.core.matching import Level
from isocenter.runtime.access import facts
from isocenter.runtime.access.facts import Facts
from support.policies import KnownStudies, facts_of, study
from support.waiting import until

NORTH = study("1.2", patient="P1", issuer="HR", modalities=["CT"], sites=["north"])


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def query() -> KnownStudies:
    return KnownStudies(NORTH, study("1.3"), study("1.4"))


@pytest.fixture
def known(query: KnownStudies, clock: Clock) -> Facts:
    return facts_of(query, clock=clock)


async def test_the_installation_itself_asks_for_what_rules_look_at(known, query) -> None:
    assert await known.of("main", "1.2") == NORTH
    ((caller, search),) = query.asked
    assert caller == SYSTEM
    assert (search.level, search.partition, search.include) == (Level.STUDY, "main", FACTS)


async def test_for_a_moment_it_is_not_asked_again(known, query, clock) -> None:
    for _ in range(3):
        assert await known.of("main", "1.2") == NORTH
    assert len(query.asked) == 1
    query.studies["1.2"] = moved = study("1.2", patient="P2")
    clock.now += facts._FRESH_SECONDS - 0.1
    assert await known.of("main", "1.2") == NORTH
    clock.now += 0.1
    assert await known.of("main", "1.2") == moved


async def test_what_is_not_known_may_be_known_in_a_moment(known, query) -> None:
    assert await known.of("main", "1.9") is None
    query.studies["1.9"] = new = study("1.9")
    assert await known.of("main", "1.9") == new


async def test_a_study_of_one_partition_is_none_of_another(known, query) -> None:
    assert await known.of("main", "1.2") == NORTH
    assert await known.of("other", "1.2") is None


async def test_so_many_studies_are_remembered_those_that_were_asked_first_go_first(
    known, query, monkeypatch
) -> None:
    monkeypatch.setattr(facts, "_HELD", 2)
    for uid in ("1.2", "1.3", "1.4", "1.3", "1.4", "1.2"):
        assert await known.of("main", uid) is not None
    asked = [search.keys[0].values[0] for _, search in query.asked]
    assert asked == ["1.2", "1.3", "1.4", "1.2"]


async def test_what_goes_wrong_is_told_and_not_remembered(known, query) -> None:
    query.error = Unavailable("the index is down")
    with pytest.raises(Unavailable):
        await known.of("main", "1.2")
    query.error = None
    assert await known.of("main", "1.2") == NORTH


async def test_what_is_stored_is_awaited_until_it_is_indexed(known, query) -> None:
    query.kept.add("1.9")
    asking = asyncio.create_task(known.once_indexed("main", "1.9"))
    await until(lambda: len(query.asked) > 2)
    query.studies["1.9"] = new = study("1.9")
    assert await asking == new


async def test_what_is_not_stored_is_not_awaited(known, query) -> None:
    assert await known.once_indexed("main", "1.9") is None
    assert len(query.asked) == 1


async def test_what_is_never_indexed_is_awaited_for_a_moment(known, query, clock) -> None:
    query.kept.add("1.9")
    asking = asyncio.create_task(known.once_indexed("main", "1.9"))
    await until(lambda: len(query.asked) > 2)
    assert not asking.done()
    clock.now += facts._AWAITED_SECONDS
    assert await asking is None
