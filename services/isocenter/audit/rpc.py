"""The port of the audit role for other roles; `audit.rpc_client` is its client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc.aio

from isocenter.audit.rpc_client import AuditClient
from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import AuditTrail, Head, Hold, SavedSearch, Verification
from isocenter.core.events import Source
from isocenter.runtime import audit_rpc
from isocenter.runtime.audit_reading import EVERYTHING
from isocenter.runtime.audit_rpc import AuditServicer

__all__ = ["AuditClient", "add_to"]


class _OfRoles:
    """Access of roles: what they do in somebody's name is recorded already."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def read(self, source: Source, what: str, which: AuditFilter = EVERYTHING) -> AuditTrail:
        """See `audit_rpc.Access`."""
        del source, what, which
        return self._trail

    def asked(self, which: AuditFilter) -> AuditFilter:
        """See `audit_rpc.Access`."""
        return which

    async def save(self, source: Source, search: SavedSearch) -> None:
        """See `audit_rpc.Access`. It says in whose name."""
        del source
        await self._trail.save(search)

    async def forget(self, source: Source, name: str) -> None:
        """See `audit_rpc.Access`."""
        del source
        await self._trail.forget(name)

    async def hold(self, source: Source, hold: Hold) -> None:
        """See `audit_rpc.Access`. It says in whose name."""
        del source
        await self._trail.hold(hold)

    async def release(self, source: Source, name: str) -> None:
        """See `audit_rpc.Access`."""
        del source
        await self._trail.release(name)

    def verify(
        self, source: Source, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        """See `audit_rpc.Access`."""
        del source
        return self._trail.verify(trust, heads)


def add_to(server: grpc.aio.Server, service: AuditTrail) -> Sequence[str]:
    """Register the service; answers with its full name."""
    return audit_rpc.add_to(server, AuditServicer(_OfRoles(service)))
