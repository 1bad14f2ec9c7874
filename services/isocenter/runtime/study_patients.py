"""Whose studies are accessed: the Patient IDs that records of the audit trail name, although the
caller asked by UIDs alone.

The search index knows them. It is asked once for a study, and while it does not answer nobody waits
for it: the record then names the study without the patient.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing

from isocenter.core.access import SYSTEM
from isocenter.core.apis import Query
from isocenter.core.errors import IsocenterError
from isocenter.core.matching import Key, Level, Search
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

PATIENT_ID, STUDY_UID = "00100020", "0020000D"
_ASKED = 8  # studies of one access
_HELD = 10_000  # studies
_FRESH_SECONDS = 300.0  # a correction may give a study to another patient
_PATIENCE = 1.0
_DOWN_SECONDS = 5.0  # how long the index is not asked again when it did not answer

_Study = tuple[str, str]  # partition and Study Instance UID


class StudyPatients:
    """What one process remembers."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._held: OrderedDict[_Study, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._ask_at = 0.0

    async def of(self, partition: str, studies: Sequence[str]) -> tuple[str, ...]:
        """The Patient IDs of studies, or of the first few if they are many. Never raises."""
        found: dict[str, None] = {}
        for study in studies[:_ASKED]:
            known = self._remembered((partition, study))
            if known is None:
                known = await self._asked((partition, study))
            found |= dict.fromkeys(known)
        return tuple(found)

    def _remembered(self, study: _Study) -> tuple[str, ...] | None:
        until, patients = self._held.get(study, (0.0, ()))
        return patients if time.monotonic() < until else None

    async def _asked(self, study: _Study) -> tuple[str, ...]:
        if time.monotonic() < self._ask_at:
            return ()
        try:
            async with asyncio.timeout(_PATIENCE):
                patients = await self._search(study)
        except (IsocenterError, TimeoutError) as error:
            self._ask_at = time.monotonic() + _DOWN_SECONDS
            logger.warning("audit records name no patient now", extra={"error": str(error)})
            return ()
        if patients:  # else it may be indexed in a moment
            self._held[study] = time.monotonic() + _FRESH_SECONDS, patients
            self._held.move_to_end(study)
            if len(self._held) > _HELD:
                self._held.popitem(last=False)
        return patients

    async def _search(self, study: _Study) -> tuple[str, ...]:
        partition, uid = study
        search = Search(
            Level.STUDY,
            keys=(Key(STUDY_UID, "UI", (uid,)),),
            partition=partition,
            include=(PATIENT_ID,),
            limit=1,
        )
        async with aclosing(generator(self._query.search(SYSTEM, search))) as batches:
            async for batch in batches:
                for match in batch:
                    values = match.attributes.get(PATIENT_ID, {}).get("Value", ())
                    return tuple(value for value in values if isinstance(value, str))
        return ()
