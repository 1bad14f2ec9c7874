"""Writing the audit trail: records go through the log before the access they record."""

from __future__ import annotations

from typing import Protocol

from isocenter.core.events import AuditAction, AuditOutcome, Source


class AuditLog(Protocol):
    """Where services and edges record accesses to patient data.

    `record` returns when the record is durable; the caller answers only then. An access whose
    record cannot be made durable raises `Unavailable` and does not happen.
    """

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
    ) -> None:
        """Append one record and wait until it is durable."""
        ...

    async def accessed(
        self,
        source: Source,
        *,
        partition: str,
        study: str,
        series: str,
        instance_count: int,
        detail: str,
    ) -> None:
        """Record a retrieve of which many follow each other (frames of a series).

        The first access of a source to a series in a window of a minute is durable before this
        returns; further ones are counted and recorded, with their number, when the window ends.
        """
        ...
