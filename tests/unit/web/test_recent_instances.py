"""Instances of a series that is being looked at are looked up once for many requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from isocenter.core.access import SYSTEM, Caller, Kind
from isocenter.core.apis import StoredInstance
from isocenter.core.errors import Unavailable
from isocenter.core.identity import InstanceName
from isocenter.web.recent import GOOD_SECONDS, RecentInstances

NAMES = ("main", "1.2", "1.2.3")
SERIES = (SYSTEM, *NAMES)
ONE = StoredInstance(
    InstanceName(*NAMES, "1"), "d" * 64, "key", 10, "1.9", "1.2.840.10008.1.2.1", 400, 1
)


class Storage:
    """A series of three instances."""

    def __init__(self) -> None:
        self.asked = 0
        self.callers: list[object] = []
        self.error: Exception | None = None

    async def instances(self, *series: Caller | str) -> AsyncIterator[StoredInstance]:
        assert series[1:] == NAMES
        self.asked += 1
        self.callers.append(series[0])
        if self.error:
            raise self.error
        for uid in ("1", "2", "3"):
            yield replace(ONE, name=InstanceName(*NAMES, uid))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(storage: Storage, clock: Clock) -> RecentInstances:
    return RecentInstances(storage, clock)  # type: ignore[arg-type]


async def looked_up() -> None:
    """Let what goes on beside a request end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others)


async def test_the_second_request_of_a_series_has_it_looked_up_for_those_that_follow(
    recent, storage
) -> None:
    assert recent.find(SERIES, "1") is None
    await looked_up()
    assert storage.asked == 0
    assert recent.find(SERIES, "2") is None
    await looked_up()
    assert recent.find(SERIES, "3").name.instance == "3"
    assert recent.find(SERIES, "9") is None
    assert storage.asked == 1
    assert (recent.lookups.hits, recent.lookups.misses) == (1, 3)


async def test_what_one_caller_looks_at_is_found_for_no_other(recent, storage) -> None:
    another = (Caller(Kind.PERSON, "eva", ("viewer",)), *NAMES)
    for _ in range(2):
        recent.find(SERIES, "1")
    await looked_up()
    assert recent.find(SERIES, "1") is not None
    assert recent.find(another, "1") is None
    recent.find(another, "1")
    await looked_up()
    assert recent.find(another, "1") is not None
    assert storage.callers == [SYSTEM, another[0]]


async def test_a_series_that_is_still_looked_at_is_looked_up_again_before_it_is_too_old(
    recent, storage, clock
) -> None:
    for _ in range(2):
        recent.find(SERIES, "1")
    await looked_up()
    clock.now += 0.6 * GOOD_SECONDS
    assert recent.find(SERIES, "1") is not None
    await looked_up()
    assert storage.asked == 2
    clock.now += 0.6 * GOOD_SECONDS
    assert recent.find(SERIES, "1") is not None


async def test_after_a_moment_nothing_is_remembered(recent, storage, clock) -> None:
    for _ in range(2):
        recent.find(SERIES, "1")
    await looked_up()
    clock.now += GOOD_SECONDS + 0.1
    assert recent.find(SERIES, "1") is None


async def test_what_goes_wrong_meanwhile_is_left_to_the_one_who_asks(recent, storage) -> None:
    storage.error = Unavailable("storage is away")
    for _ in range(2):
        assert recent.find(SERIES, "1") is None
    await looked_up()
    assert recent.find(SERIES, "1") is None
    storage.error = None
    await looked_up()
    assert recent.find(SERIES, "1") is not None
