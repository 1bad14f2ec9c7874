"""Threads for blocking calls of adapters, called from one event loop.

As `asyncio.to_thread`, but at a third of its cost for each call, and with the one thing about
cancelling that a call in a thread can keep: its caller gets away only when the call is over, for
until then its buffers are being read and its files are being written.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

T = TypeVar("T")
Job = Callable[[], None]


class _Call(asyncio.Future[Any]):
    """A call in hand. A task that is cancelled while it awaits this is told so at the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
        super().__init__(loop=loop)
        self.work = work

    def cancel(self, msg: object = None) -> bool:
        """Not possible."""
        del msg
        return False

    def carry_out(self) -> None:
        """Do the work, in a thread, and tell the event loop."""
        answer, error = None, None
        try:
            answer = self.work()
        except BaseException as raised:  # noqa: BLE001 (given to the caller)
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.get_loop().call_soon_threadsafe(_finish, self, answer, error)


class Threads:
    """At most so many threads, started when they are needed."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []  # the last one has been so for the shortest time
        self._waiting: deque[Job] = deque()  # while none is idle

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """What `call` answers or raises; it is over when this returns, cancelled or not."""
        made = _Call(asyncio.get_running_loop(), lambda: call(*args))
        self._hand_over(made.carry_out)
        return cast(T, await made)

    def strand(self) -> Strand:
        """For calls that follow each other."""
        return Strand(self._hand_over)

    async def close(self) -> None:
        """Wait until all calls are over, and end the threads."""
        workers, self._workers = self._workers, []
        for worker in workers:
            await asyncio.to_thread(worker.end)
        self._idle.clear()

    def _hand_over(self, job: Job) -> None:
        with self._lock:
            if not self._idle and len(self._workers) < self._most:
                name = f"{self._name}_{len(self._workers)}"
                self._workers.append(_Worker(name, self._next))
                self._idle.append(self._workers[-1])
            if not self._idle:
                self._waiting.append(job)
                return
            worker = self._idle.pop()
        worker.jobs.put(job)

    def _next(self, worker: _Worker) -> Job | None:
        """What is to be done by a worker that is done with its job; None: it is idle."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(worker)
            return None


class _Worker:
    """A thread with a queue of its own: of several that wait at one, each job would wake two."""

    def __init__(self, name: str, then: Callable[[_Worker], Job | None]) -> None:
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._then = then
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Once everything that was handed over is done."""
        self.jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            following: Job | None = job
            while following is not None:
                following()
                following = self._then(self)
            del job  # an idle thread holds nothing


class Strand:
    """Calls of which each begins when the one before it is over, at once and in its thread if it
    was made by then."""

    def __init__(self, hand_over: Callable[[Job], None]) -> None:
        self._hand_over = hand_over
        self._lock = threading.Lock()
        self._calls: deque[_Call] = deque()
        self._in_hand = False

    def start(self, call: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """What `call` will answer or raise; it begins whether or not that is awaited."""
        made = _Call(asyncio.get_running_loop(), lambda: call(*args))
        with self._lock:
            self._calls.append(made)
            first, self._in_hand = not self._in_hand, True
        if first:
            self._hand_over(self._work)
        return made

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._in_hand = False
                    return
                made = self._calls.popleft()
            made.carry_out()
            del made  # it holds what it was called with


def _finish(call: _Call, answer: object, error: BaseException | None) -> None:
    if error is None:
        call.set_result(answer)
    else:
        call.set_exception(error)
        call.exception()  # its caller may have been cancelled and never ask
