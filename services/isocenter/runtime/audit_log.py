"""Writing the audit trail: records go through the log before the access they record.

While the log is down they wait in the outbox, so that reads go on.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from isocenter.core.errors import IsocenterError
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditOutcome, Source
from isocenter.runtime.event_codec import audit_record, unique_id
from isocenter.runtime.outbox import Outbox
from isocenter.runtime.wire import ACTIONS, OUTCOMES, source_to, timestamp
from isocenter.v1 import events_pb2

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60.0


@lru_cache(maxsize=1024)
def _repeated(
    action: AuditAction, outcome: AuditOutcome, source: Source, partition: str, detail: str
) -> bytes:
    """The fields in which the records of many accesses agree."""
    return events_pb2.AuditEvent(
        action=ACTIONS[action],
        outcome=OUTCOMES[outcome],
        source=source_to(source),
        partition=partition,
        detail=detail,
    ).SerializeToString()


@dataclass(frozen=True, slots=True)
class _Access:
    """What must agree for accesses to be counted as one."""

    source: Source
    partition: str
    study: str
    series: str
    detail: str


@dataclass(slots=True)
class _Window:
    """Accesses after the first one, which is `recorded` on its own."""

    ends_at: float  # of the event loop's clock
    recorded: asyncio.Task[None]
    instance_count: int = 0


class AuditLog:
    """Where services and edges record accesses to patient data.

    `record` returns when the record is durable; the caller answers only then. An access whose
    record cannot be made durable raises `Unavailable` and does not happen.
    """

    def __init__(
        self, outbox: Outbox, instance: str, *, window_seconds: float = WINDOW_SECONDS
    ) -> None:
        """`instance` names this process; it becomes part of the record ids."""
        self._outbox = outbox
        self._instance = instance
        self._window_seconds = window_seconds
        self._windows: dict[_Access, _Window] = {}
        self._flusher: asyncio.Task[None] | None = None

    async def record(
        self,
        action: AuditAction,
        source: Source,
        *,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        partition: str = "",
        patient_ids: tuple[str, ...] = (),
        studies: tuple[str, ...] = (),
        series: tuple[str, ...] = (),
        instances: tuple[str, ...] = (),
        instance_count: int = 0,
        detail: str = "",
        destination: str = "",
        error: str = "",
    ) -> None:
        """Append one record and wait until it is durable."""
        event_id = f"{self._instance}-{unique_id()}"
        # Messages of protobuf that follow each other are one message with the fields of both.
        varying = events_pb2.AuditEvent(
            at=timestamp(datetime.now(UTC)),
            id=event_id,
            patient_ids=patient_ids,
            studies=studies,
            series=series,
            instances=instances,
            instance_count=instance_count,
            destination=destination,
            error=error,
        )
        data = _repeated(action, outcome, source, partition, detail) + varying.SerializeToString()
        study = studies[0] if studies else ""
        await self._outbox.append(TOPIC_AUDIT, audit_record(event_id, study, data))

    async def accessed(
        self,
        source: Source,
        *,
        partition: str,
        study: str,
        series: str,
        instance_count: int,
        detail: str,
    ) -> None:
        """Record a retrieve of which many follow each other (frames of a series).

        The first access of a source to a series in a window of a minute is durable before this
        returns; further ones are counted and recorded, with their number, when the window ends.
        """
        access = _Access(source, partition, study, series, detail)
        window = self._windows.get(access)
        if window is None:
            window = self._begin(access, instance_count)
        else:
            window.instance_count += instance_count
        # A caller that goes away must not take the record from others who wait for it.
        await asyncio.shield(window.recorded)

    def _begin(self, access: _Access, instance_count: int) -> _Window:
        loop = asyncio.get_running_loop()
        recorded = loop.create_task(self._retrieved(access, instance_count))
        window = _Window(loop.time() + self._window_seconds, recorded)
        self._windows[access] = window
        recorded.add_done_callback(lambda task: self._began(access, window, task))
        if self._flusher is None:
            # It outlives the access that starts it, and is no part of its trace.
            self._flusher = loop.create_task(self._flush_for_ever(), context=Context())
        return window

    def _began(self, access: _Access, window: _Window, task: asyncio.Task[None]) -> None:
        """Without its first record there is no window: the next access tries again."""
        failed = task.cancelled() or task.exception() is not None
        if failed and self._windows.get(access) is window:
            del self._windows[access]

    async def _retrieved(self, access: _Access, instance_count: int) -> None:
        await self.record(
            AuditAction.RETRIEVE,
            access.source,
            partition=access.partition,
            studies=(access.study,),
            series=(access.series,) if access.series else (),
            instance_count=instance_count,
            detail=access.detail,
        )

    async def _flush_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._window_seconds / 10)
            now = loop.time()
            ended = [access for access, window in self._windows.items() if window.ends_at <= now]
            for access in ended:
                try:
                    await self._end(access)
                except IsocenterError as error:
                    logger.warning("audit records wait for the log", extra={"error": str(error)})
                    break  # they stay; the next round tries again

    async def _end(self, access: _Access) -> None:
        """Record what a window counted, then forget it. Its count stays if that fails."""
        window = self._windows[access]
        while window.instance_count:
            count = window.instance_count
            await self._retrieved(access, count)
            window.instance_count -= count
        del self._windows[access]

    async def close(self) -> None:
        """Record what is counted so far. Raises `Unavailable` if that cannot be made durable."""
        if self._flusher is not None:
            self._flusher.cancel()
            with suppress(asyncio.CancelledError):
                await self._flusher
            self._flusher = None
        for access, window in list(self._windows.items()):
            await asyncio.wait([window.recorded])
            if access in self._windows:
                await self._end(access)
