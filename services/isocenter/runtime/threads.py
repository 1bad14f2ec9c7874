"""Threads for blocking calls of adapters, called from one event loop.

As `asyncio.to_thread`, but at a third of its cost for each call, and with the one thing about
cancelling that a call in a thread can keep: its caller gets away only when the call is over, for
until then its buffers are being read and its files are being written.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

T = TypeVar("T")


class _Call(asyncio.Future[Any]):
    """A call in hand. A task that is cancelled while it awaits this is told so at the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
        super().__init__(loop=loop)
        self.work = work

    def cancel(self, msg: object = None) -> bool:
        """Not possible."""
        del msg
        return False


class Threads:
    """At most so many threads, started when they are needed."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._in_hand = 0
        self._threads: list[threading.Thread] = []

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """What `call` answers or raises; it is over when this returns, cancelled or not."""
        made = _Call(asyncio.get_running_loop(), lambda: call(*args))
        self._in_hand += 1
        if self._in_hand > len(self._threads) < self._most:
            self._start()
        self._calls.put(made)
        try:
            return cast(T, await made)
        finally:
            self._in_hand -= 1

    async def close(self) -> None:
        """Wait until all calls are over, and end the threads."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._threads.clear()

    def _start(self) -> None:
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            answer, error = None, None
            try:
                answer = call.work()
            except BaseException as raised:  # noqa: BLE001 (given to the caller)
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                call.get_loop().call_soon_threadsafe(_finish, call, answer, error)
            del call, answer, error  # an idle thread holds nothing


def _finish(call: _Call, answer: object, error: BaseException | None) -> None:
    if error is None:
        call.set_result(answer)
    else:
        call.set_exception(error)
        call.exception()  # its caller may have been cancelled and never ask
