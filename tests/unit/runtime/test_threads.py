"""Blocking calls in threads: answers, errors, how many at once, and cancelling."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from isocenter.runtime.threads import Threads


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    threads = Threads(2, "test")
    yield threads
    await threads.close()


async def test_a_call_answers_and_raises_in_another_thread(threads: Threads) -> None:
    assert await threads.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    assert await threads.run(divmod, 7, 2) == (3, 1)


async def test_no_more_calls_are_under_way_than_there_are_threads(threads: Threads) -> None:
    both = threading.Barrier(2)
    running = 0
    most = 0
    lock = threading.Lock()

    def meet() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1

    await asyncio.gather(*(threads.run(meet) for _ in range(6)))
    assert most == 2


async def test_a_cancelled_caller_gets_away_when_the_call_is_over(threads: Threads) -> None:
    begun, go = threading.Event(), threading.Event()
    done = False

    def slow() -> None:
        nonlocal done
        begun.set()
        assert go.wait(10)
        done = True

    task = asyncio.create_task(threads.run(slow))
    assert await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):  # however often
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done


async def test_a_timeout_ends_when_the_call_does(threads: Threads) -> None:
    go = threading.Event()
    asyncio.get_running_loop().call_later(0.05, go.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await threads.run(go.wait, 10)
    assert go.is_set()


async def test_closing_waits_for_the_calls_under_way() -> None:
    threads = Threads(1, "test")
    go = threading.Event()
    task = asyncio.create_task(threads.run(go.wait, 10))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.05, go.set)
    await threads.close()
    assert go.is_set()
    assert await task


async def test_calls_of_a_strand_follow_each_other_in_the_thread_of_the_first(
    threads: Threads,
) -> None:
    go = threading.Event()
    done: list[str] = []
    strand = threads.strand()

    def slow() -> int:
        assert go.wait(10)
        done.append("slow")
        return threading.get_ident()

    def fail() -> None:
        done.append("fail")
        raise ZeroDivisionError

    def last() -> int:
        done.append("last")
        return threading.get_ident()

    first, second, third = strand.start(slow), strand.start(fail), strand.start(last)
    assert await threads.run(threading.get_ident) != threading.get_ident(), "others go on"
    assert done == []
    go.set()
    assert await first == await third
    with pytest.raises(ZeroDivisionError):
        await second
    assert done == ["slow", "fail", "last"]
    assert await strand.start(divmod, 7, 2) == (3, 1)


async def test_what_a_strand_began_is_done_though_nobody_awaits_it() -> None:
    threads = Threads(1, "test")
    go = threading.Event()
    strand = threads.strand()
    begun = strand.start(go.wait, 10)
    after = strand.start(go.is_set)
    asyncio.get_running_loop().call_later(0.05, go.set)
    await threads.close()
    assert await begun
    assert await after


async def test_many_calls_share_few_threads(threads: Threads) -> None:
    def which() -> str:
        return threading.current_thread().name

    names = set(await asyncio.gather(*(threads.run(which) for _ in range(100))))
    assert names <= {"test_0", "test_1"}
