"""Looking at the audit trail is itself audited (PS3.15 A.5.3.2): the record of a reading, whatever
it is read by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Verification
from isocenter.core.errors import IsocenterError
from isocenter.core.events import AuditAction, AuditOutcome, Source

if TYPE_CHECKING:  # the command line tells its help without it
    from isocenter.runtime.audit_log import AuditLog

EVERYTHING = AuditFilter()
VERIFIED = "audit trail"  # `detail` of the record of a verification begins with it
NOTHING_VERIFIED = f"{VERIFIED}: nothing is sealed yet"
_FINDINGS = 5  # that the record of a verification tells


async def trail_used(
    audit_log: AuditLog, source: Source, what: str, which: AuditFilter = EVERYTHING
) -> None:
    """Somebody reads what passes a filter; recorded on return, so before it is read."""
    await audit_log.record(
        AuditAction.AUDIT,
        source,
        patient_ids=(which.patient_id,) if which.patient_id else (),
        studies=(which.study,) if which.study else (),
        instances=(which.instance,) if which.instance else (),
        detail=f"audit trail {what}",
        query=filter_text(which),
    )


@asynccontextmanager
async def trail_changed(audit_log: AuditLog, by: Source, what: str) -> AsyncIterator[None]:
    """Around a change of what is kept beside the trail: recorded before, and once more if it
    fails."""
    await audit_log.record(AuditAction.AUDIT, by, detail=what)
    try:
        yield
    except IsocenterError as error:
        failed = AuditOutcome.FAILURE
        with suppress(IsocenterError):  # the first record tells of the attempt
            await audit_log.record(
                AuditAction.AUDIT, by, outcome=failed, detail=what, error=str(error)
            )
        raise


async def trail_verified(audit_log: AuditLog, by: Source, result: Verification) -> None:
    """Leave the result of a verification in the trail."""
    findings = result.findings
    more = f"; and {len(findings) - _FINDINGS} more" if len(findings) > _FINDINGS else ""
    await audit_log.record(
        AuditAction.VERIFY,
        by,
        outcome=AuditOutcome.FAILURE if findings else AuditOutcome.SUCCESS,
        detail=NOTHING_VERIFIED
        if result.of_nothing
        else f"{VERIFIED}: {result.records} records of {len(result.chains)} chains",
        error="; ".join(str(finding) for finding in findings[:_FINDINGS]) + more,
    )


def filter_text(which: AuditFilter) -> str:
    """A filter on one line: `who=eva&actions=query,retrieve`."""
    said = ((one.name, getattr(which, one.name)) for one in fields(which))
    return "&".join(f"{name}={_told(value)}" for name, value in said if value)


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return ",".join(_told(one) for one in value)
    return str(value.value if isinstance(value, Enum) else value)
