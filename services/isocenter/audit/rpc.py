"""The port of the audit role for other roles; `audit.rpc_client` is its client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc.aio

from isocenter.audit.rpc_client import AuditClient
from isocenter.core.access_api import Asker
from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import AuditTrail, Head, Hold, SavedSearch, Verification
from isocenter.runtime import audit_rpc
from isocenter.runtime.audit_reading import EVERYTHING
from isocenter.runtime.audit_rpc import AuditServicer

__all__ = ["AuditClient", "add_to"]


class _OfRoles:
    """Access of roles: what they do in somebody's name is recorded already."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def read(self, asker: Asker, what: str, which: AuditFilter = EVERYTHING) -> AuditTrail:
        """See `audit_rpc.Access`."""
        del asker, what, which
        return self._trail

    def asked(self, which: AuditFilter) -> AuditFilter:
        """See `audit_rpc.Access`."""
        return which

    async def save(self, asker: Asker, search: SavedSearch) -> None:
        """See `audit_rpc.Access`. It says in whose name."""
        del asker
        await self._trail.save(search)

    async def forget(self, asker: Asker, name: str) -> None:
        """See `audit_rpc.Access`."""
        del asker
        await self._trail.forget(name)

    async def hold(self, asker: Asker, hold: Hold) -> None:
        """See `audit_rpc.Access`. It says in whose name."""
        del asker
        await self._trail.hold(hold)

    async def release(self, asker: Asker, name: str) -> None:
        """See `audit_rpc.Access`."""
        del asker
        await self._trail.release(name)

    def verify(
        self, asker: Asker, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        """See `audit_rpc.Access`."""
        del asker
        return self._trail.verify(trust, heads)


def add_to(server: grpc.aio.Server, service: AuditTrail) -> Sequence[str]:
    """Register the service; answers with its full name."""
    return audit_rpc.add_to(server, AuditServicer(_OfRoles(service)))
