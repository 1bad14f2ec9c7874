"""The records of a process's start and stop: Application Activity of PS3.15 A.5.3.1.

Nothing waits for the one of the start: where neither the log nor the outbox takes it, it is tried
again for as long as the process lives. The one of the stop has a moment.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from isocenter import __version__
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import unique_id
from isocenter.runtime.retrying import Retrying, Stopped

logger = logging.getLogger(__name__)

PROTOCOL = "process"
STOP_SECONDS = 2.0
_LONGEST_PAUSE = 60.0  # between two tries, seconds


class ProcessRecords:
    """Of one process."""

    def __init__(self, audit_log: Callable[[], Awaitable[AuditLog]], roles: Sequence[str]) -> None:
        """`audit_log` opens it when there is something to write."""
        self._audit_log = audit_log
        self._source = Source(PROTOCOL, socket.gethostname())
        self._detail = f"{' '.join(roles)}, version {__version__}"
        self._start_id = f"start-{unique_id()}"  # one, however often it is tried
        self._started_at: datetime | None = None
        self._retrying = Retrying(_LONGEST_PAUSE, "the record of this process's start")
        self._starting: asyncio.Task[None] | None = None

    def started(self) -> None:
        """All roles have started. Returns at once."""
        self._started_at = datetime.now(UTC)
        self._starting = asyncio.create_task(self._retrying(self._record_start))

    async def stopped(self, error: str = "") -> None:
        """All roles have stopped; `error`: why, if nobody asked for it. Returns within
        `STOP_SECONDS`."""
        if self._starting is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._finish_start(self._starting)
                log = await self._audit_log()
                await log.record(
                    AuditAction.STOP,
                    self._source,
                    outcome=AuditOutcome.FAILURE if error else AuditOutcome.SUCCESS,
                    detail=self._detail,
                    error=error,
                )
        except Exception as problem:  # noqa: BLE001 (whatever it is, the process ends)
            logger.warning("the stop is not recorded", extra={"error": str(problem)})
        finally:
            self._starting.cancel()

    async def _finish_start(self, starting: asyncio.Task[None]) -> None:
        """The try under way, and one more if that was in vain."""
        self._retrying.stop()
        try:
            await asyncio.shield(starting)
        except Stopped:
            await self._record_start()

    async def _record_start(self) -> None:
        log = await self._audit_log()
        await log.record(
            AuditAction.START,
            self._source,
            detail=self._detail,
            at=self._started_at,
            event_id=self._start_id,
        )
