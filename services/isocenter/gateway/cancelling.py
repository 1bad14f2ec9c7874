"""C-CANCEL (PS3.7 9.3.2.3): what is under way for a request ends when the requester asks for it, or
is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from isocenter.core.errors import Cancelled
from isocenter.dimse.messages import Request

T = TypeVar("T")


async def unless_cancelled(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. Raises `Cancelled` if the request is cancelled first; the work has
    been stopped then."""
    working = asyncio.ensure_future(work)
    cancel = asyncio.ensure_future(request.cancelled.wait())
    try:
        await asyncio.wait({working, cancel}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise cancelled()
    finally:
        await stopped(working, cancel)


def cancelled() -> Cancelled:
    """Why the work for a request ends before it is done."""
    return Cancelled("the requester cancelled, or is gone")


async def stopped(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
