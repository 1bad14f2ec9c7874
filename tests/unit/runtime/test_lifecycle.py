"""A process from its first role's start to its last role's stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import pytest

from isocenter.core.errors import Unavailable
from isocenter.runtime.lifecycle import run
from isocenter.runtime.role import Role


class Recorder(Role):
    """Writes down what happens to it."""

    def __init__(self, name: str, happened: list[str]) -> None:
        self.name = name
        self.happened = happened
        self.fail: dict[str, Exception] = {}
        self.drained = asyncio.Event()
        self.drained.set()

    def _note(self, what: str) -> None:
        self.happened.append(f"{what} {self.name}")
        if what in self.fail:
            raise self.fail[what]

    async def start(self) -> None:
        self._note("start")

    async def drain(self) -> None:
        self._note("drain")
        await self.drained.wait()

    async def stop(self) -> None:
        self._note("stop")


@pytest.fixture
def happened() -> list[str]:
    return []


@pytest.fixture
def roles(happened) -> list[Recorder]:
    return [Recorder(name, happened) for name in "abc"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_stops_in_reverse_order(roles, happened, number):
    async with asyncio.timeout(10):
        await run(roles, drain_seconds=5, started=lambda: os.kill(os.getpid(), number))
    assert happened == [
        "start a", "start b", "start c",
        "drain c", "drain b", "drain a",
        "stop c", "stop b", "stop a",
    ]  # fmt: skip


async def test_a_process_says_in_one_line_each_that_it_started_and_stopped(roles, caplog):
    caplog.set_level(logging.INFO)
    stop = asyncio.Event()
    async with asyncio.timeout(10):
        await run(roles, drain_seconds=5, stop=stop, started=stop.set)
    assert [record.message for record in caplog.records] == ["started", "stopped"]
    assert caplog.records[0].roles == "a b c"


async def test_an_event_stops_too_and_the_caller_hears_of_the_draining(roles, happened):
    stop = asyncio.Event()
    async with asyncio.timeout(10):
        await run(
            roles,
            drain_seconds=5,
            stop=stop,
            started=stop.set,
            draining=lambda: happened.append("draining"),
        )
    assert happened[3] == "draining"


async def test_a_role_that_cannot_start_stops_those_before_it_and_its_error_goes_on(
    roles, happened
):
    roles[1].fail["start"] = Unavailable("the port is taken", fix="free it")
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="the port is taken; free it"):
            await run(roles, drain_seconds=5)
    assert happened == ["start a", "start b", "stop b", "stop a"]


async def test_draining_is_bounded(roles, happened):
    roles[0].drained.clear()
    stop = asyncio.Event()
    async with asyncio.timeout(10):
        await run(roles, drain_seconds=0.05, stop=stop, started=stop.set)
    assert happened[-3:] == ["stop c", "stop b", "stop a"]


async def test_a_second_signal_ends_the_draining(roles, happened):
    roles[0].drained.clear()
    stop = asyncio.Event()
    async with asyncio.timeout(10):
        await run(
            roles,
            drain_seconds=3600,
            stop=stop,
            started=stop.set,
            draining=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )
    assert happened[-1] == "stop a"


async def test_a_role_that_fails_to_drain_or_stop_does_not_keep_the_others(roles, happened):
    roles[2].fail["drain"] = ValueError("drain")
    roles[1].fail["stop"] = Unavailable("stop")
    stop = asyncio.Event()
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="stop"):
            await run(roles, drain_seconds=5, stop=stop, started=stop.set)
    assert happened[-6:] == ["drain c", "drain b", "drain a", "stop c", "stop b", "stop a"]
