"""What the audit role does by itself from time to time: retention, and verifying the trail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

from isocenter.audit.retention import Retention
from isocenter.audit.segments import Segments
from isocenter.audit.verifying import verify
from isocenter.core.audit import AuditFilter, AuditIndex
from isocenter.core.audit_api import Verification
from isocenter.core.errors import IsocenterError
from isocenter.core.events import AuditAction, Source
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.audit_reading import VERIFIED, trail_verified
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

LOOK_SECONDS = 600.0
_BY = Source("process", user="verification")


class Care:
    """One task; a look that fails is made again later, and nothing waits for it."""

    def __init__(
        self,
        *,
        retention: Retention,
        segments: Segments,
        index: AuditIndex,
        audit_log: AuditLog,
        verify_hours: float,
    ) -> None:
        """`verify_hours` 0: never."""
        self._retention = retention
        self._segments = segments
        self._index = index
        self._audit_log = audit_log
        self._verify_every = timedelta(hours=verify_hours)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End at once: what is half done the next look does."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._try("retention of the audit trail", self._expire)
            await self._try("verification of the audit trail", self._verify)

    async def _try(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except IsocenterError as error:
            logger.warning("%s is tried again later", what, extra={"error": str(error)})
        except Exception:
            logger.exception("%s failed", what)

    async def _expire(self) -> None:
        await self._retention.look(datetime.now(UTC))

    async def _verify(self) -> None:
        if self._verify_every and await self._is_due(datetime.now(UTC)):
            await trail_verified(self._audit_log, _BY, await self._verified())

    async def _is_due(self, now: datetime) -> bool:
        which = AuditFilter(
            since=now - self._verify_every, actions=(AuditAction.VERIFY,), text=VERIFIED
        )
        return await self._index.count(which) == 0

    async def _verified(self) -> Verification:
        result = Verification()
        async with aclosing(generator(verify(self._segments))) as reports:
            async for report in reports:
                result = report
        return result
