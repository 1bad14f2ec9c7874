"""Child processes of `isocenter up`: started together, restarted when they die, drained together.

A child is told the number of a socket it inherits. It writes `READY` there once its roles run,
and the end of file tells it that the supervisor is gone, so no child outlives a killed parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from isocenter.core.errors import Unavailable

log = logging.getLogger(__name__)

READY = b"ready\n"

# A child that dies is restarted at once, one that keeps dying ever more slowly.
RESTART_SECONDS = (0.0, 0.5, 1, 2, 5, 10)
HEALTHY_SECONDS = 60  # a child that ran this long starts again from the first delay

LATE_SECONDS = 5  # beyond what a child gives its own work, before it is killed
HURRY_SECONDS = 2  # the same, once nobody waits for work any more


@dataclass(frozen=True, slots=True)
class Child:
    """One process: a name for the log, and its command line. `{fd}` stands for the socket."""

    name: str
    command: Sequence[str]


class Supervisor:
    """Runs children until told to stop."""

    def __init__(
        self, children: Sequence[Child], *, ready_seconds: float, drain_seconds: float
    ) -> None:
        self._children = children
        self._ready_seconds = ready_seconds
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start every child; return when all are ready. Raises `Unavailable` naming the child
        that ended or did not become ready in time."""
        ready = [asyncio.Event() for _ in self._children]
        self._keepers = [
            asyncio.create_task(self._keep(child, event), name=child.name)
            for child, event in zip(self._children, ready, strict=True)
        ]
        try:
            async with asyncio.timeout(self._ready_seconds):
                for event, keeper in zip(ready, self._keepers, strict=True):
                    waiting = asyncio.create_task(event.wait())
                    await asyncio.wait({waiting, keeper}, return_when=asyncio.FIRST_COMPLETED)
                    if not event.is_set():
                        waiting.cancel()
                        await keeper  # it ended: raises why
        except TimeoutError as error:
            late = [
                child.name
                for child, event in zip(self._children, ready, strict=True)
                if not event.is_set()
            ]
            raise Unavailable(
                f"{', '.join(late)} did not become ready within {self._ready_seconds:.0f} s",
                fix="look at the messages above; `isocenter check` tells what is missing",
            ) from error

    def hurry(self) -> None:
        """Let `stop` wait for no work any more: what does not end now is killed."""
        self._hurrying.set()

    async def stop(self) -> None:
        """Ask every child to drain, wait, and kill what does not end in time."""
        self._stopping.set()
        self._terminate()
        everything = asyncio.gather(*self._keepers, return_exceptions=True)
        impatient = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait(
            (everything, impatient),
            timeout=self._drain_seconds + LATE_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not everything.done() and impatient.done():
            self._terminate()  # asked a second time, a child drains no more
            await asyncio.wait((everything,), timeout=HURRY_SECONDS)
        impatient.cancel()
        for name, process in self._running.items():
            log.error("killed a process that did not end in time", extra={"child": name})
            _signal(process, signal.SIGKILL)
        await everything

    def _terminate(self) -> None:
        for process in self._running.values():
            _signal(process, signal.SIGTERM)

    async def _keep(self, child: Child, ready: asyncio.Event) -> None:
        attempt = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run_once(child, ready)
            if self._stopping.is_set():
                return
            if not ready.is_set():
                raise Unavailable(
                    f"{child.name} ended with exit code {code} while starting",
                    fix="look at the messages above; `isocenter check` tells what is missing",
                )
            attempt = 0 if loop.time() - started > HEALTHY_SECONDS else attempt + 1
            delay = RESTART_SECONDS[min(attempt, len(RESTART_SECONDS) - 1)]
            log.error(
                "a process ended and is started again",
                extra={"child": child.name, "exit_code": code, "delay": delay},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self, child: Child, ready: asyncio.Event) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [part.replace("{fd}", str(theirs.fileno())) for part in child.command]
            # A session of its own: Ctrl-C reaches the supervisor alone, which drains in order.
            process = await asyncio.create_subprocess_exec(
                *command, pass_fds=(theirs.fileno(),), start_new_session=True
            )
        self._running[child.name] = process
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)  # it came too late to be asked with the others
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            if await reader.readline() == READY:
                ready.set()
            return await process.wait()
        finally:
            writer.close()
            self._running.pop(child.name, None)


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Unless it has ended. Its own methods look whether it has, and take its exit code away from
    who waits for it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


class Lifeline:
    """The child's end of the socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)

    def ready(self) -> None:
        """Tell the supervisor that the roles run."""
        self._socket.send(READY)  # a few bytes into an empty socket buffer never block

    async def parent_gone(self) -> None:
        """Return when the supervisor has ended."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while await loop.sock_recv(self._socket, 64):
                pass
