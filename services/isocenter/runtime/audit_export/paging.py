"""All records that pass a filter, page by page: no more than one is held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.audit_api import AuditTrail
from isocenter.core.errors import Conflict

PAGE = 1000  # records


async def pages(
    trail: AuditTrail, which: AuditFilter, size: int = PAGE, *, limit: int = 0, before: str = ""
) -> AsyncIterator[Sequence[Entry]]:
    """Newest first: `limit` records at most (0: all), those before the one with the id `before`.

    Raises `Conflict` if retention removes meanwhile what was just read: then there is no place to
    go on from.
    """
    left, last = limit, before
    oldest: datetime | None = None
    while page := await trail.search(which, min(size, left) if limit else size, last):
        if oldest and page[0].event.at > oldest:
            raise Conflict(
                "records expired while they were read",
                fix="read again, with a time behind which nothing expires",
            )
        yield page
        left -= len(page)
        if len(page) < size or (limit and not left):
            return
        last, oldest = page[-1].event.id, page[-1].event.at
