"""What the routes of the audit trail share: the address they are reached at, and the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from isocenter.web.exchange import DICOMWEB, Exchange

ROOT = "/audit"  # of the pages

Clock = Callable[[], datetime]


def now_utc() -> datetime:
    """The time."""
    return datetime.now(UTC)


def base_url(exchange: Exchange) -> str:
    """Our root as this client reaches it. Raises `Invalid`."""
    return exchange.root.removesuffix(DICOMWEB)
