"""Before events are taken: the index of this version, after an upgrade filled from the objects
beside that in use, and with the attributes of its table."""

from __future__ import annotations

import logging

from isocenter.core.apis import Indexing
from isocenter.core.ports import StudyIndex
from isocenter.indexing.fill_job import enter_table

logger = logging.getLogger(__name__)


class Filling:
    """Makes the index of this version where another one's is in use."""

    def __init__(self, index: StudyIndex, indexing: Indexing) -> None:
        self._index = index
        self._indexing = indexing
        self.problem = ""

    async def __call__(self) -> None:
        """Raises `Unavailable` while another process fills it."""
        if await self._index.unfilled():
            await self._rebuild()
        await enter_table(self._index, forget=False)

    async def _rebuild(self) -> None:
        logger.warning("the search index is of another version and is made anew for this one")
        try:
            async for step in self._indexing.rebuild():
                self.problem = (
                    f"the search index is made anew for this version: {step.instances} instances"
                )
        finally:
            self.problem = ""
        logger.info("the search index of this version answers")
