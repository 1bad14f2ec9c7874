"""Writing the audit trail: records go through the log before the access they record.

While the log is down they wait in the outbox, so that reads go on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditOutcome, Source
from isocenter.runtime.access_journal import Access
from isocenter.runtime.access_windows import WINDOW_SECONDS, AccessWindows
from isocenter.runtime.audit_bounds import bounded_list, bounded_source, bounded_text
from isocenter.runtime.event_codec import audit_record, unique_id
from isocenter.runtime.outbox import Outbox
from isocenter.runtime.wire import ACTIONS, OUTCOMES, source_to, timestamp
from isocenter.v1 import events_pb2


@lru_cache(maxsize=1024)
def _repeated(
    action: AuditAction,
    outcome: AuditOutcome,
    source: Source,
    partition: str,
    detail: str,
    process: str,
) -> bytes:
    """The fields in which the records of many accesses agree."""
    return events_pb2.AuditEvent(
        action=ACTIONS[action],
        outcome=OUTCOMES[outcome],
        source=source_to(bounded_source(source)),
        partition=bounded_text(partition),
        detail=bounded_text(detail),
        process=process,
    ).SerializeToString()


class AuditLog:
    """Where services and edges record accesses to patient data.

    `record` returns when the record is durable; the caller answers only then. An access whose
    record cannot be made durable raises `Unavailable` and does not happen.
    """

    def __init__(
        self,
        outbox: Outbox,
        instance: str,
        *,
        journal: Path | None = None,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        """`instance` names this process; it becomes part of the record ids. `journal`: the folder
        where counts of accesses survive this process."""
        self._outbox = outbox
        self._instance = instance
        self._windows = AccessWindows(
            self._accessed, self._new_id, folder=journal, seconds=window_seconds
        )

    async def record(
        self,
        action: AuditAction,
        source: Source,
        *,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        partition: str = "",
        patient_ids: tuple[str, ...] = (),
        studies: tuple[str, ...] = (),
        series: tuple[str, ...] = (),
        instances: tuple[str, ...] = (),
        instance_count: int = 0,
        detail: str = "",
        destination: str = "",
        error: str = "",
        query: str = "",
        digests: tuple[str, ...] = (),
        at: datetime | None = None,
        event_id: str = "",
    ) -> None:
        """Append one record and wait until it is durable. `at`: when it happened, if not now;
        `event_id`: of a record that may be appended again."""
        event_id = event_id or self._new_id()
        # Messages of protobuf that follow each other are one message with the fields of both.
        varying = events_pb2.AuditEvent(
            at=timestamp(at or datetime.now(UTC)),
            id=event_id,
            patient_ids=bounded_list(patient_ids),
            studies=bounded_list(studies),
            series=bounded_list(series),
            instances=bounded_list(instances),
            instance_count=instance_count,
            destination=bounded_text(destination),
            error=bounded_text(error),
            query=bounded_text(query),
            digests=bounded_list(digests),
        )
        repeated = _repeated(action, outcome, source, partition, detail, self._instance)
        data = repeated + varying.SerializeToString()
        study = studies[0] if studies else ""
        await self._outbox.append(TOPIC_AUDIT, audit_record(event_id, study, data))

    async def accessed(
        self,
        source: Source,
        *,
        partition: str,
        patient_ids: tuple[str, ...],
        study: str,
        series: str,
        instance_count: int,
        detail: str,
    ) -> None:
        """Record a retrieve of which many follow each other (frames of a series).

        The first access of a source to a series in a window of a minute is durable before this
        returns; further ones are counted and recorded, with their number, when the window ends.
        """
        access = Access(
            AuditAction.RETRIEVE,
            source,
            partition,
            detail,
            bounded_list(patient_ids),
            (study,),
            (series,) if series else (),
        )
        await self._windows.accessed(access, instance_count)

    async def searched(
        self,
        source: Source,
        *,
        partition: str,
        detail: str,
        query: str,
        patient_ids: tuple[str, ...] = (),
        studies: tuple[str, ...] = (),
    ) -> None:
        """Record a search. The same one of the same source, again within a minute, is counted like
        retrieves that follow each other: lists are asked for again and again to stay fresh."""
        access = Access(
            AuditAction.QUERY,
            source,
            partition,
            bounded_text(detail),
            bounded_list(patient_ids),
            bounded_list(studies),
            query=bounded_text(query),
        )
        await self._windows.accessed(access, 1)

    def start(self) -> None:
        """Record, in the background, what processes that were killed had counted."""
        self._windows.start()

    async def close(self) -> None:
        """Record what is counted so far. Raises `Unavailable` if that cannot be made durable."""
        await self._windows.close()

    async def _accessed(self, access: Access, count: int, event_id: str) -> None:
        retrieve = access.action is AuditAction.RETRIEVE
        times = "" if retrieve or count == 1 else f", {count} times"
        await self.record(
            access.action,
            access.source,
            partition=access.partition,
            patient_ids=access.patient_ids,
            studies=access.studies,
            series=access.series,
            instance_count=count if retrieve else 0,
            detail=access.detail + times,
            query=access.query,
            event_id=event_id,
        )

    def _new_id(self) -> str:
        return f"{self._instance}-{unique_id()}"
