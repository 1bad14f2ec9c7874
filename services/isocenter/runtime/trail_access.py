"""Who reads the audit trail, whatever by: each reading is recorded in it before it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import AuditTrail, Head, Verification
from isocenter.core.errors import Refused
from isocenter.core.events import Source
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.audit_reading import (
    EVERYTHING,
    trail_changed,
    trail_used,
    trail_verified,
)
from isocenter.runtime.streams import generator

_TELL_SECONDS = 0.5  # between two answers about how far a verification is


class TrailAccess:
    """The trail, and the log in which its readings are recorded."""

    def __init__(self, *, trail: AuditTrail, audit_log: AuditLog, allowed: bool) -> None:
        self._trail = trail
        self._audit_log = audit_log
        self._allowed = allowed

    async def read(self, source: Source, what: str, which: AuditFilter = EVERYTHING) -> AuditTrail:
        """The trail for a reading, which is recorded on return. HEAD too: it tells the length of
        what it keeps back. Raises `Refused`."""
        self.check()
        await trail_used(self._audit_log, source, what, which)
        return self._trail

    @asynccontextmanager
    async def change(self, source: Source, what: str) -> AsyncIterator[AuditTrail]:
        """The trail for a change of what is kept beside it. That is recorded before, and once more
        if it fails. Raises `Refused`."""
        self.check()
        async with trail_changed(self._audit_log, source, what):
            yield self._trail

    async def verify(
        self, source: Source, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncGenerator[Verification, None]:
        """How far a verification is, now and then; the last answer is the result, and recorded."""
        trail = await self.read(source, "verification")
        clock = asyncio.get_running_loop().time
        told = clock()
        async with aclosing(generator(trail.verify(trust, heads))) as reports:
            async for report in reports:
                if report.done:
                    await trail_verified(self._audit_log, source, report)
                elif clock() - told < _TELL_SECONDS:
                    continue
                told = clock()
                yield report

    def check(self) -> None:
        """Raises `Refused`."""
        if not self._allowed:
            raise Refused("the audit trail is not read here ([web] audit = false)")
