"""C-MOVE to destinations that read ten kilobytes a second, over real processes: memory stays
bounded, others are served meanwhile, C-CANCEL ends it within a second, and nothing is left of it.

Both shapes have their embedded parts here: the bound is of our processes.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from time import monotonic

import pytest

from support.datasets import ct_image
from support.footprint import left_open, memory, store
from support.harness import Isocenter, running, wait_until
from support.moves import (
    Destination,
    bound_socket,
    destination,
    port_of,
    requester,
    slow_link,
)
from support.ports import free_ports
from support.waiting import until

MIB = 1024 * 1024
SLOW = 4
BOUND = 32 * MIB  # for each C-MOVE, in a process
EDGE, FRAMES = 1448, 48  # a frame of 4 MiB, an object of 192 MiB
MANY = 40
TITLES = [f"SLOW{number}" for number in range(SLOW)]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Known:
    """The destinations of an installation: ports that stay ours, where nobody listens yet."""

    shape: str
    slow: Mapping[str, socket.socket]
    good: int


@pytest.fixture(scope="module", params=["up", "split"])
def known(request: pytest.FixtureRequest) -> Iterator[Known]:
    """Four that will be slow, and one that will not."""
    with ExitStack() as bound:
        slow = {title: bound.enter_context(bound_socket()) for title in TITLES}
        yield Known(request.param, slow, free_ports(1)[0])


@pytest.fixture(scope="module")
def isocenter(tmp_path_factory: pytest.TempPathFactory, known: Known) -> Iterator[Isocenter]:
    """An installation of its own, for its memory is looked at."""
    data = tmp_path_factory.mktemp(f"destinations-{known.shape}") / "data"
    ports = {title: port_of(bound) for title, bound in known.slow.items()} | {"GOOD": known.good}
    aes = [{"title": title, "host": "127.0.0.1", "port": port} for title, port in ports.items()]
    settings = {"process.workers": 1, "gateway.known_aes": aes}
    with running(data, known.shape, settings) as installation:
        yield installation


def test_slow_destinations_take_bounded_memory_and_hold_nobody_up(
    isocenter: Isocenter, known: Known
) -> None:
    large, small = ct_image(EDGE, EDGE), ct_image(64, 64)
    large.NumberOfFrames = FRAMES
    large.PixelData = large.PixelData * FRAMES
    store(isocenter, large, 1)
    store(isocenter, small, MANY)
    studies = str(large.StudyInstanceUID), str(small.StudyInstanceUID)
    for study in studies:
        wait_until(lambda study=study: isocenter.search(f"/studies?StudyInstanceUID={study}"))
    asyncio.run(moved(isocenter, known, *studies, warm=True))
    base, before = memory(isocenter), left_open(isocenter)
    most = asyncio.run(moved(isocenter, known, *studies))
    growth = {name: round(taken / SLOW / MIB, 1) for name, taken in (most - base).items()}
    print("MiB for each C-MOVE:", growth)
    assert max((most - base).values(), default=0) <= SLOW * BOUND, growth
    wait_until(lambda: left_open(isocenter) <= before, what="nothing is open any more")


async def moved(
    isocenter: Isocenter, known: Known, large: str, small: str, *, warm: bool = False
) -> Counter[str]:
    """Move the large study to slow destinations and the small one to one that is not, then end it
    all; the most memory of each process meanwhile. To become warm, without the slow ones."""
    most = Counter[str]()
    async with AsyncExitStack() as held:
        asking = await held.enter_async_context(requester(isocenter.dicom_port))
        good = await held.enter_async_context(destination(number=known.good))
        slow: list[Destination] = []
        for title in () if warm else TITLES:
            slow.append(await held.enter_async_context(destination()))
            await held.enter_async_context(
                slow_link(slow[-1].port, 10_000, bound=known.slow[title].dup())
            )
        under_way = [await asking.ask("move", large, destination=title) for title in TITLES]
        if warm:
            for asked in under_way:
                assert (await asked.final()).status == 0xA702  # nobody is there
        else:
            await until(lambda: all(dest.tried for dest in slow))
        began = monotonic()
        final = await (await asking.ask("move", small, destination="GOOD")).final()
        assert monotonic() - began < 10
        assert (final.status, final.completed, len(good.received)) == (0x0000, MANY, MANY)
        if warm:
            return most
        for _ in range(20):
            most |= memory(isocenter)
            await asyncio.sleep(0.25)
        assert not any(asked.task.done() for asked in under_way if asked.task)
        assert all(asked.pending >= 2 for asked in under_way)
        for asked in under_way[::2]:
            final, seconds = await asked.cancel()
            assert seconds < 1
            assert (final.status, final.remaining, final.failed) == (0xFE00, 0, 1)
        for asked in under_way[1::2]:
            await asked.association.abandon()
        await until(lambda: all(dest.server and not dest.server.associations for dest in slow))
    return most
