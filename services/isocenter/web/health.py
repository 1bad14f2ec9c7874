"""/livez and /readyz: whether this process runs, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from isocenter.web.exchange import Exchange, Handler

_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


async def livez(exchange: Exchange) -> None:
    """200 while the process answers at all."""
    await exchange.answer(200, _HEADERS, b'{"status":"ok"}')


def readyz(problems: Callable[[], Sequence[str]]) -> Handler:
    """The handler that answers 200, or 503 with what is wrong."""

    async def handle(exchange: Exchange) -> None:
        found = list(problems())
        status, word = (503, "not ready") if found else (200, "ok")
        await exchange.answer(status, _HEADERS, orjson.dumps({"status": word, "problems": found}))

    return handle
