"""What a C-MOVE or C-GET asks for: the instances behind an identifier (PS3.4 C.4.2.1.4).

Instances are found in storage, so a retrieve by UIDs from the study down needs no index. Where
the study is not named, or a patient is asked for, the index names the studies.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from isocenter.core.access import Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Query, Storage, StoredInstance
from isocenter.core.errors import IsocenterError, Mismatch, Withheld
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.identity import DEFAULT_PARTITION, is_uid
from isocenter.core.key_text import text_of
from isocenter.core.matching import Key, Level, Search
from isocenter.dimse.messages import Request
from isocenter.gateway.callers import Callers
from isocenter.gateway.contexts import MODELS, WITHOUT_BULK_DATA
from isocenter.gateway.frames import Extracted, FrameExtractor, frame_range
from isocenter.gateway.identifiers import (
    FRAME,
    INSTANCE_UID,
    PATIENT_ID,
    SERIES_UID,
    STUDY_UID,
    Identifier,
    read,
)
from isocenter.gateway.progress import Tally
from isocenter.gateway.suboperations import Ended
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.study_patients import StudyPatients

log = logging.getLogger(__name__)

MAX_NAMED = 10  # series and instances named in an audit record; the count is of all

# The unique keys that count at each level: that of the level, and those above it but the
# patient's (a Study Instance UID needs no patient to be unique).
_UNIQUE_KEYS: dict[Level, tuple[str, ...]] = {
    Level.PATIENT: (PATIENT_ID,),
    Level.STUDY: (STUDY_UID,),
    Level.SERIES: (STUDY_UID, SERIES_UID),
    Level.INSTANCE: (STUDY_UID, SERIES_UID, INSTANCE_UID),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which instances; an empty tuple where any will do."""

    level: Level
    patients: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


def wanted(identifier: Identifier) -> Wanted:
    """The unique keys of an identifier. Raises `Mismatch` if that of its level is missing, or if
    a value is a pattern or no UID."""
    level = identifier.level
    values = {tag: identifier.values(tag) for tag in _UNIQUE_KEYS[level]}
    key = _UNIQUE_KEYS[level][-1]
    if not values[key]:
        raise Mismatch(f"level {level.value} needs a value of ({key[:4]},{key[4:]})")
    patients = values.pop(PATIENT_ID, ())
    if len(patients) > 1 or any(set(value) & set("*?") for value in patients):
        raise Mismatch("(0010,0020) must be one value without wild cards")
    for tag, uids in values.items():
        if not all(is_uid(uid) for uid in uids):
            raise Mismatch(f"({tag[:4]},{tag[4:]}) is no list of UIDs")
    return Wanted(
        level=level,
        patients=patients,
        studies=values.get(STUDY_UID, ()),
        series=values.get(SERIES_UID, ()),
        instances=values.get(INSTANCE_UID, ()),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """A retrieve that is known to the last instance."""

    asked: Wanted
    query: str  # the keys with their values, as text
    instances: Sequence[StoredInstance]  # that are kept
    extracted: Extracted | None = None  # what goes out in place of the one that is kept
    withheld: Sequence[str] = ()  # why of some nothing goes out, for the audit trail

    @property
    def sent(self) -> Sequence[StoredInstance]:
        """What goes out."""
        return self.instances if self.extracted is None else (self.extracted.instance,)

    @property
    def level(self) -> str:
        """That of the request, and how much less than the whole goes out."""
        if self.extracted is None:
            return self.asked.level.value
        return f"{FRAME}, {self.extracted.instance.number_of_frames} frames"


@dataclass(frozen=True, slots=True)
class _Who:
    """Whose retrieve it is."""

    asks: Caller
    takes: bool  # whole objects, not only what describes them
    gets: Caller | None  # the destination of a C-MOVE


class Retrieval:
    """Finds and records what a retrieve is about."""

    def __init__(
        self,
        *,
        storage: Storage,
        query: Query,
        audit: AuditLog,
        patients: StudyPatients,
        callers: Callers,
        guard: Guard,
        extractor: FrameExtractor,
        max_identifier: int,
    ) -> None:
        self._storage = storage
        self._guard = guard
        self._extractor = extractor
        self._query = query
        self._audit = audit
        self._patients = patients
        self._callers = callers
        self._guard = guard
        self._max_identifier = max_identifier

    async def plan(self, request: Request, to: Caller | None = None) -> Plan:
        """Which instances a C-MOVE or C-GET asks for; none if nothing matches. `to`: the
        destination of a C-MOVE."""
        identifier = await self._identifier(request)
        frames = frame_range(identifier) if identifier.frames else None
        asked, query = wanted(identifier), text_of(identifier.keys)
        taking = request.context.abstract_syntax != WITHOUT_BULK_DATA.get
        who = _Who(await self._callers.caller(request.association), taking, to)
        instances, withheld = await self._resolve(who, asked)
        if frames is None or not instances:
            return Plan(asked, query, instances, withheld=withheld)
        extracted = await self._extractor.extract(instances[0], frames)
        return Plan(asked, query, instances, extracted)

    async def _identifier(self, request: Request) -> Identifier:
        data = await request.read_data(self._max_identifier)
        model = MODELS[request.context.abstract_syntax]
        return read(data, request.context.transfer_syntax, model.levels, frames=model.frames)

    # --- the audit trail -------------------------------------------------------------------------

    async def record(
        self, action: AuditAction, request: Request, plan: Plan, *, destination: str = ""
    ) -> Ended:
        """Write what is about to leave into the audit trail; answers with what writes, once it is
        known, that not all of it did."""
        source = self._callers.source(request.association)
        names = [stored.name for stored in plan.instances]
        verb = "C-GET" if action is AuditAction.RETRIEVE else "C-MOVE"
        studies = tuple(dict.fromkeys(name.study for name in names)) or plan.asked.studies
        patients = plan.asked.patients or await self._patients.of(DEFAULT_PARTITION, studies)
        error = "; ".join(plan.withheld) or ("" if names else "nothing that is kept matches")
        fields: dict[str, Any] = {
            "partition": DEFAULT_PARTITION,
            "patient_ids": patients,
            "studies": studies,
            "series": tuple(dict.fromkeys(name.series for name in names))[:MAX_NAMED],
            "detail": f"{verb} {plan.level}",
            "destination": destination,
            "query": plan.query,
        }
        await self._audit.record(
            action,
            source,
            outcome=AuditOutcome.MINOR_FAILURE if error else AuditOutcome.SUCCESS,
            instances=tuple(name.instance for name in names[:MAX_NAMED]),
            instance_count=len(names),
            error=error,
            **fields,
        )
        return partial(self._record_end, action, source, fields)

    async def _record_end(
        self, action: AuditAction, source: Source, fields: Mapping[str, Any], tally: Tally
    ) -> None:
        left = tally.completed + tally.warning
        if not tally.failed and not tally.remaining:
            return
        try:
            await self._audit.record(
                action,
                source,
                outcome=AuditOutcome.MINOR_FAILURE if left else AuditOutcome.FAILURE,
                instances=tuple(tally.failed_uids),
                instance_count=tally.failed + tally.remaining,
                error=f"{left} sent, {tally.failed} failed, {tally.remaining} not sent",
                **fields,
            )
        except IsocenterError as error:
            log.warning("the end of a retrieve is not recorded", extra={"error": str(error)})

    async def record_refusal(self, request: Request, destination: str) -> None:
        """Write into the audit trail that nothing leaves for an unknown destination."""
        asked, query = None, ""
        with suppress(IsocenterError):  # what is asked for may be malformed
            identifier = await self._identifier(request)
            asked, query = wanted(identifier), text_of(identifier.keys)
        await self._audit.record(
            AuditAction.EXPORT,
            self._callers.source(request.association),
            outcome=AuditOutcome.FAILURE,
            partition=DEFAULT_PARTITION,
            patient_ids=asked.patients if asked else (),
            studies=asked.studies if asked else (),
            detail="C-MOVE",
            destination=destination,
            error="move destination unknown",
            query=query,
        )

    async def _resolve(
        self, who: _Who, asked: Wanted
    ) -> tuple[list[StoredInstance], Sequence[str]]:
        """All instances that may go out, by study, series and SOP Instance UID, and why others may
        not. A list, since the first pending response already tells how many sub-operations
        remain."""
        found: list[StoredInstance] = []
        withheld: dict[str, None] = {}
        for study in asked.studies or await self._studies(who.asks, asked):
            try:
                found += await self._of_study(who, study, asked)
            except Withheld as error:
                withheld[error.message] = None
        return found, tuple(withheld)

    async def _studies(self, caller: Caller, asked: Wanted) -> list[str]:
        keys = (
            Key(PATIENT_ID, "LO", asked.patients),
            Key(SERIES_UID, "UI", asked.series),
            Key(INSTANCE_UID, "UI", asked.instances),
        )
        level = Level.STUDY if asked.level is Level.PATIENT else asked.level
        search = Search(
            level=level, keys=tuple(key for key in keys if key.values), include=(STUDY_UID,)
        )
        studies: dict[str, None] = {}
        async for batch in self._query.search(caller, search):
            for match in batch:
                studies.update(dict.fromkeys(match.attributes[STUDY_UID]["Value"]))
        return list(studies)

    async def _of_study(self, who: _Who, study: str, asked: Wanted) -> list[StoredInstance]:
        if who.takes:
            await self._guard.check(who.asks, Right.DOWNLOAD, DEFAULT_PARTITION, study)
        if who.gets is not None:
            await self._guard.check_sending(who.gets, DEFAULT_PARTITION, study)
        series = asked.series[0] if len(asked.series) == 1 else ""
        instance = asked.instances[0] if series and len(asked.instances) == 1 else ""
        all_series, all_instances = frozenset(asked.series), frozenset(asked.instances)
        kept = self._storage.instances(who.asks, DEFAULT_PARTITION, study, series, instance)
        return [
            stored
            async for stored in kept
            if (not all_series or stored.name.series in all_series)
            and (not all_instances or stored.name.instance in all_instances)
        ]
