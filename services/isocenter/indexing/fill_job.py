"""Attributes that an administrator adds, filled for what is kept already: from the metadata packs,
while everything is served.

The index says what is filled and how far (`core.fill_state`), so the job goes on where any member
left it. One at a time owns it, for as long as it says so again and again; that two do for a moment
is work done twice, and no harm: a part may be filled any number of times, and a position is only
written over the one it was read from.

What is stored meanwhile has the attributes from the beginning, unless a process that was started
with the former settings indexes it. So, when such processes have had time to end, what came since
the attributes were added is looked at once more, and only then they count as filled.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from isocenter.core.apis import Storage
from isocenter.core.fill_state import FillState
from isocenter.core.ports import IndexEntry, StudyIndex
from isocenter.indexing.from_objects import Count, Found, read_series, series_of_objects
from isocenter.indexing.packing import SeriesName
from isocenter.indexing.settings import IndexingSettings
from isocenter.runtime.instruments import FILL_ATTRIBUTES, FILL_OBJECTS, FILL_REMAINING
from isocenter.runtime.retrying import Retrying, Stopped
from isocenter.runtime.streams import generator
from isocenter.runtime.telemetry import OFF, Observations, Telemetry

logger = logging.getLogger(__name__)

_STEP = 1000  # objects between two positions, at least
_BATCH = 500  # entries of one call of the index
_LEASE = 15.0  # seconds in which an owner says again that it is
_LOOK = 2.0  # seconds between two looks whether there is something to do
# The clock of an object store may differ from ours by so much before `isocenter check` says so.
_CLOCKS = 60.0


async def enter_table(
    index: StudyIndex, *, forget: bool, now: Callable[[], float] = time.time
) -> FillState:
    """See to it that the index holds the attributes of its table; `forget`: and no others. What it
    says then."""
    while True:
        state = await index.fill_state()
        entered = state.with_table(index.attributes, now=now(), total=0, forget=forget)
        if entered is state:
            return state
        if entered.unfilled - state.unfilled:
            held = (await index.totals()).instances
            entered = replace(entered, total=held) if held else entered.all_filled()
        if await index.replace_fill_state(entered, state):
            logger.info(
                "the searchable attributes are others than before",
                extra={"added": len(entered.held), "to_be_filled": len(entered.unfilled)},
            )
            return entered


class FillJob:
    """Fills while there is something to fill."""

    def __init__(
        self,
        *,
        index: StudyIndex,
        storage: Storage,
        settings: IndexingSettings,
        owner: str,
        now: Callable[[], float] = time.time,
        telemetry: Telemetry = OFF,
    ) -> None:
        """`owner` names this process among all of the installation."""
        self._index = index
        self._storage = storage
        self._overlap = settings.overlap_seconds
        self._owner = owner
        self._now = now
        self._telemetry = telemetry
        self._state = FillState()
        self.retrying = Retrying(settings.retry_seconds, "the filling of attributes")
        telemetry.observe(FILL_ATTRIBUTES, lambda: self._told(len(self._state.unfilled)))
        telemetry.observe(FILL_REMAINING, lambda: self._told(self._remaining()))

    async def run(self) -> None:
        """Fill until `stop`."""
        with suppress(Stopped):
            await self.retrying(lambda: enter_table(self._index, forget=True, now=self._now))
            while not self.retrying.stopping:
                began = time.monotonic()
                worked = await self.retrying(self.step)
                # As long a rest as the work took: others want to read and write too.
                await self.retrying.rest(time.monotonic() - began if worked else _LOOK)

    def stop(self) -> None:
        """End after the step in hand, unless it is being tried again."""
        self.retrying.stop()

    async def step(self) -> bool:
        """Fill a part, if there is one and it is this process's to do; whether it was."""
        if not self._index.attributes.added:
            return False
        # Again: a process with other settings may have forgotten them when it began.
        state = self._state = await enter_table(self._index, forget=False, now=self._now)
        now = self._now()
        if not state.unfilled or (state.again and now < state.since + self._overlap):
            return False
        if state.owner not in ("", self._owner) and state.until > now:
            return False
        mine = state.revised(owner=self._owner, until=now + _LEASE)
        if not await self._index.replace_fill_state(mine, state):
            return False
        reached = await self._fill(mine)
        if await self._index.replace_fill_state(reached, mine):
            self._state = reached
            if not reached.unfilled:
                logger.info("the attributes that were added are filled")
        return True

    async def _fill(self, state: FillState) -> FillState:
        """Fill on from a state; the one that is reached."""
        objects = 0
        waiting: list[IndexEntry] = []
        parts = series_of_objects(self._storage, state.after)
        async with aclosing(generator(parts)) as every_series:
            async for series, found in every_series:
                entries = await self._read(series, self._due(found, state))
                waiting += [one for one in entries if one.attributes.keys() & state.unfilled]
                waiting = await self._refill(waiting, _BATCH)
                objects += len(found)
                self._telemetry.count(FILL_OBJECTS, len(found))
                if objects >= _STEP:
                    await self._refill(waiting, 1)
                    looked = state.looked if state.again else state.looked + objects
                    return state.revised(after=found[-1].name.key, looked=looked)
        await self._refill(waiting, 1)
        if state.again:
            return state.all_filled()
        looked = state.looked + objects
        return state.revised(again=True, after="", looked=looked, owner="", until=0.0)

    def _due(self, found: Sequence[Found], state: FillState) -> Sequence[Found]:
        """In the second round, what came since the attributes were added."""
        if not state.again:
            return found
        since = state.since - _CLOCKS
        return [one for one in found if one.modified_at.timestamp() >= since]

    async def _read(self, series: SeriesName, found: Sequence[Found]) -> Sequence[IndexEntry]:
        if not found:
            return ()
        count = Count()
        entries = await read_series(self._storage, self._index.attributes, series, found, count)
        if count.problems:
            logger.warning(
                "objects cannot be read for attributes that were added",
                extra={"objects": len(count.problems)},
            )
        return entries

    async def _refill(self, entries: list[IndexEntry], least: int) -> list[IndexEntry]:
        """Refill while there are at least so many; those that are left."""
        while len(entries) >= least:
            await self._index.refill(entries[:_BATCH])
            entries = entries[_BATCH:]
        return entries

    def _remaining(self) -> int:
        return max(self._state.total - self._state.looked, 0) if self._state.unfilled else 0

    def _told(self, value: int) -> Observations:
        return [(value, {})] if self._index.attributes.added else []
