"""Who reads the audit trail, whatever by: each reading is recorded in it before it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from isocenter.core.access import Right
from isocenter.core.access_api import Asker, Guard
from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import AuditTrail, Head, Hold, SavedSearch, Verification
from isocenter.core.audit_values import consistent
from isocenter.core.errors import Refused
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.audit_reading import (
    EVERYTHING,
    filter_text,
    trail_changed,
    trail_used,
    trail_verified,
)
from isocenter.runtime.streams import generator

_TELL_SECONDS = 0.5  # between two answers about how far a verification is


class Kept(NamedTuple):
    """A search that was saved, and whether there was none of its name."""

    search: SavedSearch
    new: bool


class TrailAccess:
    """The trail, and the log in which its readings are recorded."""

    def __init__(
        self, *, trail: AuditTrail, audit_log: AuditLog, guard: Guard, allowed: bool
    ) -> None:
        self._guard = guard
        self._trail = trail
        self._audit_log = audit_log
        self._allowed = allowed

    async def read(self, asker: Asker, what: str, which: AuditFilter = EVERYTHING) -> AuditTrail:
        """The trail for a reading, which is recorded on return. HEAD too: it tells the length of
        what it keeps back. Raises `Refused`."""
        self._check(asker, Right.AUDIT)
        await trail_used(self._audit_log, asker.source, what, which)
        return self._trail

    def asked(self, which: AuditFilter) -> AuditFilter:
        """The filter, if somebody may mean it. Raises `Invalid`."""
        return consistent(which)

    async def save(self, asker: Asker, search: SavedSearch) -> Kept:
        """Keep a search in the name of the source. Raises `Invalid`, `Refused`."""
        search = replace(search, by=asker.source, at=datetime.now(UTC))
        async with self._change(asker, f"saved search {search.name}: {filter_text(search.which)}"):
            new = all(one.name != search.name for one in await self._trail.saved())
            await self._trail.save(search)
        return Kept(search, new)

    async def forget(self, asker: Asker, name: str) -> None:
        """Remove a saved search. Raises `NotFound`, `Refused`."""
        async with self._change(asker, f"saved search {name}: removed"):
            await self._trail.forget(name)

    async def hold(self, asker: Asker, hold: Hold) -> Hold:
        """Place a legal hold in the name of the source. Raises `Conflict`, `Invalid`, `Refused`."""
        hold = replace(hold, by=asker.source, at=datetime.now(UTC))
        async with self._change(asker, f"legal hold {hold.name}: {hold.reason}"):
            await self._trail.hold(hold)
        return hold

    async def release(self, asker: Asker, name: str) -> None:
        """End a legal hold. Raises `NotFound`, `Refused`."""
        async with self._change(asker, f"legal hold {name}: released"):
            await self._trail.release(name)

    async def verify(
        self, asker: Asker, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncGenerator[Verification, None]:
        """How far a verification is, now and then; the last answer is the result, and recorded."""
        trail = await self.read(asker, "verification")
        clock = asyncio.get_running_loop().time
        told = clock()
        async with aclosing(generator(trail.verify(trust, heads))) as reports:
            async for report in reports:
                if report.done:
                    await trail_verified(self._audit_log, asker.source, report)
                elif clock() - told < _TELL_SECONDS:
                    continue
                told = clock()
                yield report

    @asynccontextmanager
    async def _change(self, asker: Asker, what: str) -> AsyncIterator[None]:
        """A change of what is kept beside the trail is recorded before, and once more if it
        fails."""
        self._check(asker, Right.HOLD)
        async with trail_changed(self._audit_log, asker.source, what):
            yield

    def _check(self, asker: Asker, right: Right) -> None:
        self._guard.require(asker.caller, right)
        self.check_open()

    def check_open(self) -> None:
        """Raises `Refused` where nobody reads the trail."""
        if not self._allowed:
            raise Refused("the audit trail is not read here ([web] audit = false)")
