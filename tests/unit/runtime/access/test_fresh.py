"""What was looked up a moment ago is not looked up again, and no longer than that."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.core.errors import Unavailable
from isocenter.runtime.access import fresh
from isocenter.runtime.access.fresh import Fresh
from support.waiting import until


class Records:
    """Where is looked, and a clock."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {"eva": "first"}
        self.looks: list[str] = []
        self.now = 100.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.fresh = Fresh(self.look_up, 2.0, lambda: self.now)

    async def look_up(self, name: str) -> str | None:
        self.looks.append(name)
        found = self.kept.get(name)
        await self.gate.wait()
        if self.error:
            raise self.error
        return found


@pytest.fixture
def records() -> Records:
    return Records()


async def test_for_some_seconds_it_is_not_looked_up_again(records: Records) -> None:
    assert await records.fresh.get("eva") == "first"
    records.kept["eva"] = "second"
    records.now += 1.9
    assert await records.fresh.get("eva") == "first"
    records.now += 0.1
    assert await records.fresh.get("eva") == "second"
    assert records.looks == ["eva"] * 2


async def test_what_is_forgotten_is_looked_up(records: Records) -> None:
    assert await records.fresh.get("eva") == "first"
    records.kept["eva"] = "second"
    records.fresh.forget("eva")
    records.fresh.forget("nobody")
    assert await records.fresh.get("eva") == "second"


async def test_what_is_not_there_may_be_there_in_a_moment(records: Records) -> None:
    assert await records.fresh.get("ben") is None
    records.kept["ben"] = "new"
    assert await records.fresh.get("ben") == "new"


async def test_what_is_gone_is_not_remembered(records: Records) -> None:
    await records.fresh.get("eva")
    del records.kept["eva"]
    records.now += 2
    assert await records.fresh.get("eva") is None
    assert await records.fresh.get("eva") is None
    assert len(records.looks) == 3


async def test_callers_at_the_same_time_share_a_look(records: Records) -> None:
    records.gate.clear()
    asking = [asyncio.create_task(records.fresh.get("eva")) for _ in range(5)]
    await until(lambda: records.looks)
    records.gate.set()
    assert await asyncio.gather(*asking) == ["first"] * 5
    assert records.looks == ["eva"]


async def test_a_look_that_took_long_is_as_old_as_its_beginning(records: Records) -> None:
    records.gate.clear()
    asking = asyncio.create_task(records.fresh.get("eva"))
    await until(lambda: records.looks)
    records.kept["eva"] = "second"
    records.now += 2
    records.gate.set()
    assert await asking == "first"
    assert await records.fresh.get("eva") == "second"


async def test_a_caller_who_goes_away_takes_nobody_along(records: Records) -> None:
    records.gate.clear()
    one, other = (asyncio.create_task(records.fresh.get("eva")) for _ in range(2))
    await until(lambda: records.looks)
    one.cancel()
    await asyncio.wait([one])
    records.gate.set()
    assert await other == "first"
    assert one.cancelled()


async def test_what_goes_wrong_is_told_to_all_and_not_remembered(records: Records) -> None:
    records.error = Unavailable("the object store is down")
    done = await asyncio.gather(
        *(records.fresh.get("eva") for _ in range(2)), return_exceptions=True
    )
    assert done == [records.error] * 2
    records.error = None
    assert await records.fresh.get("eva") == "first"


async def test_so_many_are_remembered_those_of_long_ago_go_first(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "_HELD", 2)
    records.kept = {name: name for name in "abc"}
    for name in "abcbc":
        assert await records.fresh.get(name) == name
    assert await records.fresh.get("a") == "a"
    assert records.looks == ["a", "b", "c", "a"]
