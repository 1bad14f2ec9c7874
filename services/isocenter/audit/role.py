"""The audit role: keeps the trail from the log, and answers for it."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.audit import rpc
from isocenter.audit.consumer import AuditConsumer
from isocenter.audit.settings import AuditSettings
from isocenter.core.apis import AuditTrail
from isocenter.runtime.role import Env, Role


class AuditRole(Role):
    """Consumes the audit topic and offers `AuditTrail`."""

    name = "audit"

    def __init__(self, *, service: AuditTrail, consumer: AuditConsumer) -> None:
        self.service = service
        self._consumer = consumer

    async def start(self) -> None:
        """Begin to consume."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Stop consuming."""
        await self._consumer.stop()

    def problems(self) -> Sequence[str]:
        """Why records are not being taken now."""
        return self._consumer.problems()

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Offer the trail to other processes."""
        return rpc.add_to(server, self.service)


async def build(env: Env) -> AuditRole:
    """The role on the log and the audit index."""
    settings = env.section(AuditSettings)
    consumer = AuditConsumer(
        bus=await env.bus(),
        index=await env.audit_index(),
        batch=settings.batch,
        linger=settings.linger_seconds,
    )
    return AuditRole(service=await env.audit_trail(), consumer=consumer)
