"""Going round again where others write the same documents at the same time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from isocenter.core.errors import Unavailable

_ROUNDS = 40
_LONGEST = 0.5  # seconds


async def rounds() -> AsyncIterator[int]:
    """The numbers of the rounds, with a growing pause before all but the first two. Raises
    `Unavailable` if none succeeds."""
    for attempt in range(_ROUNDS):
        if attempt > 1:
            longest = min(0.002 * 2**attempt, _LONGEST)
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
        yield attempt
    raise Unavailable(
        "others write the same documents of the search index all the time", fix="try again"
    )
