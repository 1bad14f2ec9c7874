"""Reading the audit trail."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.core.errors import Invalid
from isocenter.core.events import AuditEvent
from isocenter.core.ports import AuditFilter, AuditIndex
from isocenter.runtime.role import Env

MAX_PAGE = 10_000


class AuditService:
    """`core.apis.AuditTrail` on the audit index."""

    def __init__(self, *, index: AuditIndex) -> None:
        self._index = index

    async def search(
        self, which: AuditFilter, limit: int, before: str = ""
    ) -> Sequence[AuditEvent]:
        """Newest first; raises `Invalid` for a page that is empty or too long."""
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(
                f"a page of {limit} audit records is not possible",
                fix=f"ask for 1 to {MAX_PAGE}, then for those before the last one",
            )
        return await self._index.search(which, limit, before)

    async def count(self, which: AuditFilter) -> int:
        """How many records there are."""
        return await self._index.count(which)


async def create(env: Env) -> AuditService:
    """The service of this process."""
    return AuditService(index=await env.audit_index())
