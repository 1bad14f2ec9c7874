"""Who reads the audit trail over HTTP: each reading is recorded in it before it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import AuditTrail, Head, Verification
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.audit_reading import (
    EVERYTHING,
    trail_changed,
    trail_used,
    trail_verified,
)
from isocenter.web.exchange import DICOMWEB, Exchange, closing
from isocenter.web.problems import Problem

Clock = Callable[[], datetime]

_TELL_SECONDS = 0.5  # between two answers about how far a verification is


def now_utc() -> datetime:
    """The time."""
    return datetime.now(UTC)


class TrailAccess:
    """The trail, and the log in which its readings are recorded."""

    def __init__(self, *, trail: AuditTrail, audit_log: AuditLog, allowed: bool) -> None:
        self._trail = trail
        self._audit_log = audit_log
        self._allowed = allowed

    async def read(
        self, exchange: Exchange, what: str, which: AuditFilter = EVERYTHING
    ) -> AuditTrail:
        """The trail for a reading, which is recorded on return. HEAD too: it tells the length of
        what it keeps back. Raises the 403 `Problem`."""
        self.check()
        await trail_used(self._audit_log, exchange.source, what, which)
        return self._trail

    @asynccontextmanager
    async def change(self, exchange: Exchange, what: str) -> AsyncIterator[AuditTrail]:
        """The trail for a change of what is kept beside it. That is recorded before, and once more
        if it fails. Raises the 403 `Problem`."""
        self.check()
        async with trail_changed(self._audit_log, exchange.source, what):
            yield self._trail

    async def verify(
        self, exchange: Exchange, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncGenerator[Verification, None]:
        """How far a verification is, now and then; the last answer is the result, and recorded."""
        trail = await self.read(exchange, "verification")
        clock = asyncio.get_running_loop().time
        told = clock()
        async with closing(trail.verify(trust, heads)) as reports:
            async for report in reports:
                if report.done:
                    await trail_verified(self._audit_log, exchange.source, report)
                elif clock() - told < _TELL_SECONDS:
                    continue
                told = clock()
                yield report

    def check(self) -> None:
        """Raises the 403 `Problem`."""
        if not self._allowed:
            raise Problem(403, "the audit trail is not read over HTTP here ([web] audit = false)")


def base_url(exchange: Exchange) -> str:
    """Our root as this client reaches it. Raises `Invalid`."""
    return exchange.root.removesuffix(DICOMWEB)
