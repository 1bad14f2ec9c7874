"""What the archive holds, as metrics: asked of the search index now and then."""

from __future__ import annotations

import asyncio

from isocenter.core.errors import IsocenterError
from isocenter.core.ports import StudyIndex, Totals
from isocenter.runtime.instruments import ARCHIVE_BYTES, ARCHIVE_INSTANCES, ARCHIVE_STUDIES
from isocenter.runtime.telemetry import Observations, Telemetry

EVERY_SECONDS = 300.0


class ArchiveTotals:
    """Looks while telemetry is on."""

    def __init__(self, index: StudyIndex, telemetry: Telemetry) -> None:
        self._index = index
        self._telemetry = telemetry
        self._totals: Totals | None = None
        self._looking: asyncio.Task[None] | None = None
        telemetry.observe(ARCHIVE_STUDIES, lambda: self._told("studies"))
        telemetry.observe(ARCHIVE_INSTANCES, lambda: self._told("instances"))
        telemetry.observe(ARCHIVE_BYTES, lambda: self._told("bytes"))

    def start(self) -> None:
        """Look from now on."""
        if self._telemetry.on:
            self._looking = asyncio.create_task(self._look(), name="archive totals")

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            try:
                self._totals = await self._index.totals()
            except IsocenterError:
                self._totals = None  # unknown is not none
            await asyncio.sleep(EVERY_SECONDS)

    def _told(self, name: str) -> Observations:
        return [] if self._totals is None else [(getattr(self._totals, name), {})]
