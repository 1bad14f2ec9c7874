"""Instances of series that are being looked at, so that each frame is not asked for twice.

A viewer takes the frames of a series one after the other, often from many instances. The second
request within a moment has the series' instances looked up beside it; what follows finds its
instance here. What was told a moment ago is good enough: objects never change, and a version that
came since then is not decided upon any sooner, nor is what a caller may see. What is not here is
always looked up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from isocenter.core.access import Caller
from isocenter.core.apis import Storage, StoredInstance
from isocenter.core.errors import IsocenterError
from isocenter.runtime.telemetry import Lookups

logger = logging.getLogger(__name__)

GOOD_SECONDS = 1.0
_AHEAD_SECONDS = GOOD_SECONDS / 2  # of age, from which on it is looked up again while it is used
_SERIES = 64  # held at once
_INSTANCES = 1000  # of one series

Series = tuple[Caller, str, str, str]  # for whom; partition, study, series


@dataclass(slots=True)
class _Seen:
    """What is known of a series."""

    asked_at: float = float("-inf")  # for an instance that was not here
    told_at: float = float("-inf")
    instances: Mapping[str, StoredInstance] = field(default_factory=dict)
    looking: asyncio.Task[None] | None = None


class RecentInstances:
    """Current versions by SOP Instance UID, for a moment."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._seen: OrderedDict[Series, _Seen] = OrderedDict()
        self.lookups = Lookups()

    def find(self, series: Series, uid: str) -> StoredInstance | None:
        """An instance, if it was seen a moment ago. Of a series that is asked for again and again,
        all are looked up meanwhile."""
        now = self._clock()
        seen = self._seen.setdefault(series, _Seen())
        self._seen.move_to_end(series)
        while len(self._seen) > _SERIES:
            self._seen.popitem(last=False)
        age = now - seen.told_at
        found = seen.instances.get(uid) if age <= GOOD_SECONDS else None
        self.lookups.note(hit=found is not None)
        wanted = age > _AHEAD_SECONDS if found else now - seen.asked_at <= GOOD_SECONDS
        if wanted and seen.looking is None:
            seen.looking = asyncio.create_task(self._look(series, seen))
        if found is None:
            seen.asked_at = now
        return found

    async def _look(self, series: Series, seen: _Seen) -> None:
        began = self._clock()
        instances: dict[str, StoredInstance] = {}
        try:
            async with aclosing(self._storage.instances(*series)) as found:  # type: ignore[type-var]  # generators
                async for one in found:
                    instances[one.name.instance] = one
                    if len(instances) == _INSTANCES:
                        break
            seen.told_at, seen.instances = began, instances
        except IsocenterError as error:  # whoever needs one looks it up, and is told
            logger.debug("a series was not looked up ahead", extra={"error": str(error)})
        finally:
            seen.looking = None
