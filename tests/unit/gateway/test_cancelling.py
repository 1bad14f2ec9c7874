"""C-CANCEL in every phase of C-FIND, C-GET and C-MOVE, and requesters that vanish."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from isocenter.dimse.messages import Request
from isocenter.gateway import c_move
from isocenter.runtime.aes import KnownAE
from support.gateway_fakes import FakeEnv, from_test_file, series
from support.live_gateway import Live, live
from support.moves import Asked, Destination, Requester, destination, requester
from support.waiting import until

SECOND = 1.0
J2K = from_test_file("MR_small_jp2klossless.dcm")
HELD = [*series(9), *series(1, study="1.2.4"), J2K]


@dataclass
class Stuck:
    """Work that never goes on; knows how many are in it."""

    there: int = 0

    async def wait(self, end: asyncio.Event | None = None) -> None:
        self.there += 1
        try:
            await (end or asyncio.Event()).wait()
        finally:
            self.there -= 1

    async def answers(self, *_: object) -> AsyncIterator[object]:
        await self.wait()
        yield None

    async def status(self, request: Request) -> int:
        await self.wait(request.association.closed)
        return 0x0110


@dataclass
class Phase:
    """Where a request is when it is cancelled: how it gets there, and the counts that are right
    then (remaining, completed, failed)."""

    arrange: Callable[[FakeEnv, Destination, Stuck], None]
    counts: tuple[int | None, int, int]
    pauses: tuple[float, ...] = ()
    study: str = "1.2.3"
    series: str = ""


def index(env: FakeEnv, _: Destination, stuck: Stuck) -> None:
    env.fake_query.search = stuck.answers


def listing(env: FakeEnv, _: Destination, stuck: Stuck) -> None:
    env.fake_storage.instances = stuck.answers


def reading(env: FakeEnv, _: Destination, stuck: Stuck) -> None:
    env.fake_storage.data_set = stuck.answers


def transcoding(env: FakeEnv, _: Destination, stuck: Stuck) -> None:
    env.fake_transcoding.data_set = stuck.answers


def sending(_: FakeEnv, dest: Destination, stuck: Stuck) -> None:
    dest.answer = stuck.status


def pausing(_: FakeEnv, dest: Destination, stuck: Stuck) -> None:
    async def out_of_resources(request) -> int:
        del request
        stuck.there = 1  # its next try is far away
        return 0xA700

    dest.answer = out_of_resources


PLANNING = {
    "index": Phase(index, (None, None, None), study="", series="1.2.3.1"),
    "listing": Phase(listing, (None, None, None)),
}
DELIVERING = {
    "reading": Phase(reading, (9, 0, 0)),
    "transcoding": Phase(transcoding, (1, 0, 0), study=J2K.stored.name.study),
}
MOVING = {
    **PLANNING,
    **DELIVERING,
    "sending": Phase(sending, (8, 0, 1)),
    "sending the last": Phase(sending, (0, 0, 1), study="1.2.4"),
    "pausing": Phase(pausing, (9, 0, 0), pauses=(60.0,)),
}


@dataclass
class Scene:
    """A gateway, who asks it, and a destination."""

    gateway: Live
    asking: Requester
    dest: Destination
    stuck: Stuck

    async def ask(self, verb: str, phase: Phase) -> Asked:
        phase.arrange(self.gateway.env, self.dest, self.stuck)
        asked = await self.asking.ask(verb, phase.study, series=phase.series)
        await until(lambda: self.stuck.there)
        return asked


@asynccontextmanager
async def scene(*more: KnownAE, store=None) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as held:
        dest = await held.enter_async_context(destination())
        aes = [KnownAE(title="DEST", host="127.0.0.1", port=dest.port, move_associations=1), *more]
        gateway = await held.enter_async_context(live(HELD, known_aes=aes))
        asking = await held.enter_async_context(requester(gateway.port, store=store))
        yield Scene(gateway, asking, dest, Stuck())


async def keep(request) -> None:
    async for _ in request.data:
        pass
    await request.respond(0)


def counts(response) -> tuple[int | None, int | None, int | None]:
    return response.remaining, response.completed, response.failed


# --- C-CANCEL ------------------------------------------------------------------------------------


async def test_a_search_is_cancelled_while_the_index_is_silent():
    async with scene() as on:
        asked = await on.ask("find", Phase(index, (None, None, None)))
        final, seconds = await asked.cancel()
        assert on.stuck.there == 0
        assert (await (await on.asking.ask("get", "1.2.5")).final()).status == 0x0000
    assert (final.status, counts(final)) == (0xFE00, (None, None, None))
    assert seconds < SECOND


@pytest.mark.parametrize("name", MOVING)
async def test_a_move_is_cancelled(name, monkeypatch):
    phase = MOVING[name]
    monkeypatch.setattr(c_move, "PAUSES", phase.pauses)
    async with scene() as on:
        asked = await on.ask("move", phase)
        final, seconds = await asked.cancel()
        await until(lambda: on.dest.server.associations == 0)
    assert (final.status, counts(final)) == (0xFE00, phase.counts)
    assert seconds < SECOND
    assert on.dest.received == []


@pytest.mark.parametrize("name", [*PLANNING, *DELIVERING])
async def test_a_get_is_cancelled(name):
    phase = MOVING[name]
    async with scene(store=keep) as on:
        asked = await on.ask("get", phase)
        final, seconds = await asked.cancel()
        assert not asked.association.closed.is_set()
    assert (final.status, counts(final)) == (0xFE00, phase.counts)
    assert seconds < SECOND


async def test_a_get_is_cancelled_in_a_sub_operation_which_is_finished_first():
    stored: list[str] = []
    gate = asyncio.Event()

    async def slowly(request) -> None:
        stored.append(request.command.sop_instance)
        if len(stored) == 2:
            await gate.wait()
        await keep(request)

    async with scene(store=slowly) as on:
        asked = await on.asking.ask("get", "1.2.3")
        await until(lambda: len(stored) == 2)
        await asked.association.cancel()
        await asyncio.sleep(2 * c_move.PAUSES[0])  # longer than what a C-MOVE gives it
        assert not asked.task.done()
        gate.set()
        final = await asked.final()
    assert (final.status, counts(final)) == (0xFE00, (7, 2, 0))
    assert len(stored) == 2


async def test_a_move_is_cancelled_while_it_waits_for_its_turn():
    async with scene() as on:
        queued = KnownAE(title="DEST", host="127.0.0.1", port=on.dest.port)
        under_way = [await on.ask("move", Phase(sending, (8, 0, 1)))]
        while len(under_way) < queued.move_requests:
            under_way.append(await on.asking.ask("move", "1.2.3"))
        await until(lambda: on.stuck.there == queued.move_requests)
        waiting = await on.asking.ask("move", "1.2.3")
        await until(lambda: len(on.gateway.env.fake_audit.records) == queued.move_requests + 1)
        final, seconds = await waiting.cancel()
        assert on.stuck.there == queued.move_requests
        for asked in under_way:
            assert (await asked.cancel())[0].status == 0xFE00
    assert (final.status, counts(final)) == (0xFE00, (9, 0, 0))
    assert seconds < SECOND


@pytest.mark.parametrize("accepts", [True, False])
async def test_a_move_is_cancelled_while_it_connects(accepts):
    """To a host that answers no association request, and to one that does not even take the
    connection, since its queue of them is full."""
    with socket.socket() as silent, socket.socket() as filler:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5 if accepts else 0)
        port = silent.getsockname()[1]
        if not accepts:
            filler.connect(("127.0.0.1", port))
        known = KnownAE(title="SILENT", host="127.0.0.1", port=port)
        async with scene(known) as on:
            asked = await on.asking.ask("move", "1.2.3", destination="SILENT")
            await until(lambda: on.gateway.env.fake_audit.records)
            await asyncio.sleep(0.1)
            final, seconds = await asked.cancel()
    assert (final.status, counts(final)) == (0xFE00, (9, 0, 0))
    assert seconds < SECOND


async def test_what_is_cancelled_between_sub_operations_is_counted_to_the_last_one():
    async with scene() as on:

        async def briefly(request) -> int:
            del request
            await asyncio.sleep(0.05)
            return 0

        on.dest.answer = briefly
        asked = await on.asking.ask("move", "1.2.3")
        await until(lambda: len(on.dest.received) == 3)
        final, seconds = await asked.cancel()
        assert seconds < SECOND
        assert final.status == 0xFE00
        assert final.completed == len(on.dest.received) < 9
        assert (final.remaining, final.failed) == (9 - final.completed, 0)


# --- requesters that vanish ----------------------------------------------------------------------


def open_files() -> int:
    """Sockets and files of this process."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("how", ["abort", "reset"])
@pytest.mark.parametrize(
    ("verb", "name"),
    [
        *(("move", name) for name in (*MOVING, "queued")),
        *(("get", name) for name in (*PLANNING, *DELIVERING, "sending")),
        ("find", "index"),
    ],
)
async def test_a_requester_that_vanishes_leaves_nothing(verb, name, how, monkeypatch):
    mine = Stuck()

    async def store(request) -> None:
        await mine.status(request)

    async with scene(store=store) as on:
        tasks, files = len(asyncio.all_tasks()), open_files()
        phase = MOVING.get(name, MOVING["sending"])
        monkeypatch.setattr(c_move, "PAUSES", phase.pauses)
        if (verb, name) == ("get", "sending"):
            gone = [await on.asking.ask("get", "1.2.3")]
            await until(lambda: mine.there)
        else:
            gone = [await on.ask(verb, phase)]
        if name == "queued":
            gone += [await on.asking.ask("move", "1.2.3") for _ in range(6)]
            await until(lambda: len(on.gateway.env.fake_audit.records) == 7)
        for asked in gone:
            if how == "abort":
                await asked.association.abort()
            await asked.association.abandon()
            await asyncio.gather(asked.task, return_exceptions=True)
        await until(lambda: on.dest.server.associations == 0)
        await until(lambda: open_files() == files)
        await until(lambda: on.stuck.there == 0 or name == "pausing")
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
