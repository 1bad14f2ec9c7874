"""The writing thread of the embedded log: what waits is made durable by one transaction."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from isocenter.adapters.bus.log_file import LogFile, WriteLock, translated, write_lock
from isocenter.core.errors import IsocenterError, Unavailable

logger = logging.getLogger(__name__)

_GROUP = 1000  # jobs of one transaction
_TRIM_SECONDS = 30.0
_TRIM_STEP = 500

Job = Callable[[LogFile], None]
Wrote = Callable[[Collection[str]], None]  # is told the topics


@dataclass(frozen=True, slots=True)
class Retention:
    """How long records are kept that every known group has committed; None: for ever."""

    keep_days: float | None = None
    keep_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    job: Job
    topic: str  # that it adds to; "" if to none
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class Writer:
    """Runs jobs in the order of their submission, durable when awaited."""

    def __init__(self, directory: Path, file: LogFile, retention: Retention, wrote: Wrote) -> None:
        """`wrote` is called in the writing thread after each transaction that added records."""
        self._directory = directory
        self._file = file
        self._retention = retention
        self._wrote = wrote
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._trim_at = time.monotonic() + _TRIM_SECONDS
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    async def run(self, job: Job, topic: str = "") -> None:
        """Run one job, which adds to a topic; it is durable on return."""
        if self._closed:
            raise Unavailable("the log is closed", fix="open it again")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Pending(job, topic, loop, done))
        await done

    async def close(self) -> None:
        """Finish what was submitted and end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        with ExitStack() as stack:
            lock: WriteLock | None = None
            more = True
            while more:
                pending, more = self._take()
                try:
                    if lock is None:
                        with translated(self._file.path):
                            lock = stack.enter_context(write_lock(self._directory))
                    if pending:
                        self._write(lock, pending)
                        if topics := {item.topic for item in pending if item.topic}:
                            self._wrote(topics)
                except Exception as error:  # noqa: BLE001 (given to those who wait)
                    _resolve(pending, error)
                else:
                    _resolve(pending, None)
                if lock is not None and time.monotonic() >= self._trim_at:
                    self._trim(lock)

    def _take(self) -> tuple[list[_Pending], bool]:
        """All jobs that wait, after waiting for the first; and whether to go on."""
        pending: list[_Pending] = []
        try:
            item = self._queue.get(timeout=max(0.0, self._trim_at - time.monotonic()))
            while item is not None:
                pending.append(item)
                if len(pending) == _GROUP:
                    return pending, True
                item = self._queue.get_nowait()
        except queue.Empty:
            return pending, True
        return pending, False

    def _write(self, lock: WriteLock, pending: list[_Pending]) -> None:
        lock.take()
        try:
            self._take_more(pending)
            with self._file.transaction():
                for item in pending:
                    item.job(self._file)
        finally:
            lock.release()

    def _take_more(self, pending: list[_Pending]) -> None:
        """What was submitted while another process was writing goes into the same transaction."""
        while len(pending) < _GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if item is None:
                self._queue.put(None)  # the end, for the next `_take`
                return
            pending.append(item)

    def _trim(self, lock: WriteLock) -> None:
        """One small step of retention; the next one follows soon if there was something to do."""
        self._trim_at = time.monotonic() + _TRIM_SECONDS
        try:
            if self.trim_step(lock):
                self._trim_at = time.monotonic() + 1.0
        except IsocenterError as error:
            logger.warning("trimming the log failed", extra={"error": str(error)})

    def trim_step(self, lock: WriteLock) -> int:
        """Trim a few records of each topic; answers with how many."""
        keep = self._retention
        if keep.keep_days is None and keep.keep_bytes is None:
            return 0
        full = keep.keep_bytes is not None and self._file.used_bytes() > keep.keep_bytes
        before = None
        if not full:
            if keep.keep_days is None:
                return 0
            before = datetime.now(UTC) - timedelta(days=keep.keep_days)
        removed = 0
        for topic in self._file.topics():
            lock.take()
            try:
                with self._file.transaction():
                    removed += self._file.trim(topic, before, _TRIM_STEP)
            finally:
                lock.release()
        return removed


def _resolve(pending: Sequence[_Pending], error: BaseException | None) -> None:
    """Tell those who wait, each in its own event loop, with one call for all of a loop."""
    loops = {item.loop for item in pending}
    for loop in loops:
        futures = [item.done for item in pending if item.loop is loop]
        try:
            loop.call_soon_threadsafe(_set, futures, error)
        except RuntimeError:
            logger.debug("nobody waits for an append any more")


def _set(futures: Sequence[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in futures:
        if future.done():
            continue  # cancelled by its caller
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
