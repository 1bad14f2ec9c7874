"""/livez and /readyz: whether this process runs, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isocenter.runtime import health
from isocenter.web.exchange import Exchange, Handler

PROBES = frozenset({"/livez", "/readyz"})  # asked all the time, and no part of anything

_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


async def livez(exchange: Exchange) -> None:
    """200 while the process answers at all."""
    await exchange.answer(200, _HEADERS, health.ALIVE)


def readyz(problems: Callable[[], Sequence[str]]) -> Handler:
    """The handler that answers 200, or 503 with what is wrong."""

    async def handle(exchange: Exchange) -> None:
        status, body = health.readiness(problems())
        await exchange.answer(status, _HEADERS, body)

    return handle
