"""Records of what touches no patient's data and may come in floods: peers that are refused.

Nobody waits for them. The first of a host is recorded at once, further ones are counted and
recorded together, once a minute; however many hosts there are, and whatever they say, what waits is
bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field, replace

from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime.access_windows import WINDOW_SECONDS
from isocenter.runtime.audit_log import AuditLog

logger = logging.getLogger(__name__)

STOP_SECONDS = 2.0
_MAX_HOSTS = 1000  # that are told apart; others are counted together
_MAX_KINDS = 8  # of refusals of one host in one record
_AGAIN_SECONDS = 1.0  # where a record could not be made durable


@dataclass(frozen=True, slots=True)
class Notice:
    """One refusal."""

    source: Source
    what: str  # "association refused"
    why: str


@dataclass(slots=True)
class _Window:
    """Refusals of one host that are not recorded yet."""

    due: float  # of the event loop's clock
    counts: Counter[Notice] = field(default_factory=Counter)


class Notices:
    """Where edges tell whom they refused."""

    def __init__(self, audit_log: AuditLog, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._audit_log = audit_log
        self._window_seconds = window_seconds
        self._windows: dict[tuple[str, str], _Window] = {}  # by host, and what was refused
        self._news = asyncio.Event()
        self._recording: asyncio.Task[None] | None = None

    def note(self, source: Source, what: str, why: str) -> None:
        """Somebody was refused. Returns at once."""
        loop = asyncio.get_running_loop()
        if (source.host, what) not in self._windows and len(self._windows) >= _MAX_HOSTS:
            source = Source(source.protocol, known=False)
        window = self._windows.get((source.host, what))
        if window is None:
            window = self._windows[source.host, what] = _Window(loop.time())
            self._news.set()
        notice = Notice(source, what, why)
        if notice not in window.counts and len(window.counts) >= _MAX_KINDS:
            notice = Notice(Source(source.protocol, source.host, known=False), what, "others")
        window.counts[notice] += 1
        if self._recording is None:
            # It outlives the request that starts it, and is no part of its trace.
            self._recording = loop.create_task(self._record_for_ever(), context=Context())

    async def stop(self) -> None:
        """Record what is counted so far, as far as that works in `STOP_SECONDS`."""
        if self._recording is not None:
            self._recording.cancel()
            with suppress(asyncio.CancelledError):
                await self._recording
            self._recording = None
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                for window in self._windows.values():
                    await self._record(window)

    async def _record_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._news.clear()
            next_due = min((one.due for one in self._windows.values()), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_due):
                    await self._news.wait()
            for key, window in list(self._windows.items()):
                if window.due > clock():
                    continue
                if not window.counts:
                    del self._windows[key]
                    continue
                recorded = await self._record(window)
                window.due = clock() + (self._window_seconds if recorded else _AGAIN_SECONDS)

    async def _record(self, window: _Window) -> bool:
        """Whether what a window has counted is durable now."""
        counted, window.counts = window.counts, Counter()
        if not counted:
            return True
        first, *others = counted
        total = counted.total()
        recorded = False
        try:
            await self._audit_log.record(
                AuditAction.NETWORK,
                _in_common(first.source) if others else first.source,
                outcome=AuditOutcome.FAILURE,
                detail=first.what if total == 1 else f"{first.what}, {total} times",
                error="; ".join(map(_told, counted, counted.values())) if others else first.why,
            )
            recorded = True
        except Exception as error:  # noqa: BLE001 (whatever it is, peers go on being refused)
            logger.warning("refusals are not recorded yet", extra={"error": str(error)})
        finally:
            if not recorded:
                window.counts.update(counted)
        return recorded


def _in_common(source: Source) -> Source:
    """What all refusals of a host have in common."""
    return replace(
        source, ae_title="", called_ae_title="", user="", tls_subject="", purpose="", known=False
    )


def _told(notice: Notice, count: int) -> str:
    source = notice.source
    titles = f"{source.ae_title} to {source.called_ae_title}: " if source.ae_title else ""
    times = f" ({count} times)" if count > 1 else ""
    return f"{titles}{notice.why}{times}"
