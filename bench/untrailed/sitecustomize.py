"""Isocenter without its audit trail, to measure what the trail costs: no record is written and none
is taken in. It is imported by processes that have this folder on PYTHONPATH, and by no others."""

from __future__ import annotations

from isocenter.audit import role
from isocenter.runtime import audit_log


async def _nothing(*_: object, **__: object) -> None:
    """In place of everything that the trail does."""


audit_log.AuditLog.record = _nothing  # type: ignore[method-assign]
audit_log.AuditLog.accessed = _nothing  # type: ignore[method-assign]
role.AuditRole.start = _nothing  # type: ignore[method-assign]
role.AuditRole.stop = _nothing  # type: ignore[method-assign]
