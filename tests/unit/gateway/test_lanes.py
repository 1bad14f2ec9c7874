"""Lanes: in which order work is done, what may go on beside it, and that nothing stops for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.errors import Unprocessable
from isocenter.gateway.c_store import CStore
from isocenter.gateway.lanes import HOLD, KEPT, LINGER, PLACES, Lanes, Turn, Work
from isocenter.gateway.limits import Limits
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory, KnownAE, Lane
from support.gateway_fakes import FakeIngest, FakeRequest
from support.gateway_parts import callers_of

CT = "1.2.840.10008.5.1.4.1.1.2"
AES = tuple(
    KnownAE(title=title, lane=lane)
    for title, lane in (
        ("ER", Lane.EMERGENCY),
        ("CT", Lane.ROUTINE),
        ("MR", Lane.ROUTINE),
        ("OLD1", Lane.BULK),
        ("OLD2", Lane.BULK),
    )
)
SETTINGS = GatewaySettings(known_aes=AES)
CALLERS = callers_of(SETTINGS, Directory(AES))
HIGH, MEDIUM, LOW = 1, 0, 2


@dataclass
class Desk:
    """Lanes with a clock that is set by hand, and in which order places were given."""

    now: float = 1000.0
    order: list[str] = field(default_factory=list)
    got: dict[str, Turn] = field(default_factory=dict)  # by name, the latest
    waiting: list[asyncio.Task[Turn]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lanes = Lanes(Limits(SETTINGS, CALLERS), lambda: self.now)

    def turn(self, ae: str, *, work: Work = Work.STORE, priority: int = MEDIUM) -> Turn:
        asked = FakeRequest(CT, b"data", fields={"priority": priority})
        asked.association.calling_ae_title = ae
        return self.lanes.turn(work, asked)

    def ask(self, ae: str, name: str = "", **more) -> asyncio.Task[Turn]:
        """Somebody wants a place."""

        async def take() -> Turn:
            turn = self.turn(ae, **more)
            await turn.take()
            self.order.append(name or ae)
            self.got[name or ae] = turn
            return turn

        task = asyncio.create_task(take())
        self.waiting.append(task)
        return task

    async def settle(self) -> list[str]:
        """Whoever may have a place has it: who got one since the last time."""
        for _ in range(3):
            await asyncio.sleep(0)
        new, self.order = self.order, []
        return new

    async def fill(self, ae: str, count: int) -> list[Turn]:
        turns = [self.ask(ae) for _ in range(count)]
        assert len(await self.settle()) == count
        return [task.result() for task in turns]


async def test_without_contention_a_place_is_there_at_once():
    desk = Desk()
    for ae in ("OLD1", "CT", "ER"):
        turn = desk.turn(ae)
        coroutine = turn.take()
        with pytest.raises(StopIteration):
            coroutine.send(None)  # it ends without waiting for anything
        turn.give_back()
        desk.now += LINGER


async def test_an_emergency_never_waits_for_the_places_of_others():
    desk = Desk()
    await desk.fill("OLD1", PLACES[Lane.BULK])
    desk.ask("OLD1", "one too many")
    assert await desk.settle() == []
    desk.ask("CT")
    desk.ask("ER")
    assert await desk.settle() == ["CT", "ER"]


async def test_lower_lanes_wait_and_keep_one_place():
    desk = Desk()
    await desk.fill("ER", 1)
    for name in ("OLD1", "CT", "OLD2", "MR"):
        desk.ask(name)
    assert KEPT == 1
    assert await desk.settle() == ["OLD1", "CT"]
    desk.got["ER"].give_back()
    desk.got["CT"].give_back()
    desk.ask("CT", "CT again")
    assert await desk.settle() == ["MR"]  # the next object of ER is to be expected
    desk.now += LINGER
    desk.got["MR"].give_back()
    assert await desk.settle() == ["CT again"]
    desk.got["CT again"].give_back()
    desk.now += LINGER
    desk.got["OLD1"].give_back()
    assert await desk.settle() == ["OLD2"]


async def test_the_first_lane_goes_first():
    desk = Desk()
    urgent = await desk.fill("ER", PLACES[Lane.EMERGENCY] - 2)
    await desk.fill("CT", 1)
    await desk.fill("OLD1", 1)
    for name in ("OLD2", "MR", "ER"):
        desk.ask(name)
    assert await desk.settle() == []
    urgent[0].give_back()
    assert await desk.settle() == ["ER"]
    desk.got["CT"].give_back()
    desk.got["OLD1"].give_back()
    assert await desk.settle() == ["MR", "OLD2"]


async def drained(desk: Desk, first: Turn, count: int) -> list[str]:
    """The names of those that wait for one place, in the order in which they get it."""
    names, turn = [], first
    for _ in range(count):
        turn.give_back()
        [name] = await desk.settle()
        names.append(name)
        turn = desk.got[name]
    return names


async def test_aes_of_a_lane_take_turns_however_much_they_ask_for():
    desk = Desk()
    await desk.fill("ER", 1)
    [turn] = await desk.fill("OLD1", 1)
    for number in range(4):
        desk.ask("OLD1", f"1-{number}")
    for number in range(2):
        desk.ask("OLD2", f"2-{number}")
    assert await desk.settle() == []
    assert await drained(desk, turn, 6) == ["1-0", "2-0", "1-1", "2-1", "1-2", "1-3"]


async def test_priority_lifts_a_request_within_its_ae_only():
    desk = Desk()
    await desk.fill("ER", 1)
    [turn] = await desk.fill("OLD1", 1)
    desk.ask("OLD1", "low", priority=LOW)
    desk.ask("OLD1", "medium")
    desk.ask("OLD2", "other")
    desk.ask("OLD1", "high", priority=HIGH)
    assert await desk.settle() == []
    assert await drained(desk, turn, 4) == ["high", "other", "medium", "low"]


async def test_who_gives_up_waiting_leaves_no_gap():
    desk = Desk()
    await desk.fill("ER", 1)
    [turn] = await desk.fill("OLD1", 1)
    gone, stays = desk.ask("OLD1", "gone"), desk.ask("OLD1", "stays")
    await desk.settle()
    gone.cancel()
    turn.give_back()
    assert await desk.settle() == ["stays"]
    assert gone.cancelled()
    assert stays.done()


async def test_a_place_given_to_who_is_cancelled_in_that_moment_is_given_back():
    desk = Desk()
    await desk.fill("ER", 1)
    [turn] = await desk.fill("OLD1", 1)
    gone = desk.ask("OLD1", "gone")
    await desk.settle()
    turn.give_back()
    gone.cancel()
    assert await desk.settle() == []
    desk.ask("OLD1", "next")
    assert await desk.settle() == ["next"]


async def test_reading_makes_way_for_what_is_urgent_but_not_for_stores_of_its_own_lane():
    desk = Desk()
    await desk.fill("OLD1", PLACES[Lane.BULK])
    desk.ask("OLD1", "store")
    for number in range(3):
        desk.ask("OLD1", f"read {number}", work=Work.READ)
    assert await desk.settle() == ["read 0", "read 1", "read 2"]
    desk.ask("ER", "urgent", work=Work.READ)
    desk.ask("OLD2", "late", work=Work.READ)
    assert await desk.settle() == ["urgent"]


async def test_a_step_that_waits_for_a_peer_gives_its_place_back():
    desk = Desk()
    await desk.fill("ER", 1)
    first, second = desk.turn("OLD1", work=Work.READ), desk.turn("OLD2", work=Work.READ)
    await first.step()
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        await second.step()
    assert asyncio.get_running_loop().time() - began >= HOLD * 0.9
    with first, second:
        assert second._taken
    assert not second._taken


async def test_no_place_is_held_while_the_peer_is_waited_for_and_one_while_it_becomes_durable():
    desk, coming, commit = Desk(), asyncio.Event(), asyncio.Event()

    async def arriving() -> AsyncIterator[bytes]:
        yield b"begin"
        await coming.wait()
        yield b"end"

    turn = desk.turn("OLD1")
    seen: list[tuple[bytes, bool]] = []

    async def store() -> None:
        with turn:
            seen.extend([(part, turn._taken) async for part in turn.chunks(arriving())])
            seen.append((b"", turn._taken))
            await commit.wait()

    storing = asyncio.create_task(store())
    await desk.settle()
    assert not turn._taken  # the first part is done, the next one not there
    coming.set()
    await desk.settle()
    assert seen == [(b"begin", True), (b"end", True), (b"", True)]
    assert turn._taken
    commit.set()
    await storing
    assert not turn._taken


async def test_a_store_that_fails_gives_its_place_back():
    desk, ingest = Desk(), FakeIngest()
    store = CStore(ingest=ingest, callers=CALLERS, lanes=desk.lanes)
    ingest.error = Unprocessable("cut off")
    for _ in range(PLACES[Lane.ROUTINE] + 1):
        command = {"affected_sop_class": CT, "affected_sop_instance": "1.2.3"}
        asked = FakeRequest(CT, b"data set", fields=command)
        asked.association.calling_ae_title = "CT"
        await asyncio.wait_for(store(asked), 5)
        assert asked.statuses == [0xC000]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([known.title for known in AES] + ["STRANGER"]),
            st.sampled_from(Work),
            st.sampled_from([HIGH, MEDIUM, LOW, 9]),
            st.booleans(),  # whether it gives up waiting
        ),
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_is_asked_for_everybody_gets_a_place_in_the_end(asked, choices):
    async def run() -> None:
        desk = Desk()
        for ae, work, priority, gives_up in asked:
            task = desk.ask(ae, work=work, priority=priority)
            if choices.random() < 0.3:
                await desk.settle()
            if gives_up:
                task.cancel()
        patient = [
            task for task, (*_, gives_up) in zip(desk.waiting, asked, strict=True) if not gives_up
        ]
        given = set()
        for _ in range(len(asked) + 1):
            await desk.settle()
            new = [task for task in desk.waiting if task.done() and task not in given]
            given.update(new)
            choices.shuffle(new)
            for task in new:
                if not task.cancelled():
                    task.result().give_back()
        assert all(task.done() for task in patient)
        activity = desk.lanes._gates[Work.STORE]._activity
        assert set(activity._open.values()) == {0}

    asyncio.run(run())
