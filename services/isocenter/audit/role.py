"""The audit role: keeps the trail from the log, and answers for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import grpc.aio

from isocenter.audit import rpc
from isocenter.audit.care import Care
from isocenter.audit.consumer import AuditConsumer
from isocenter.audit.forwarding import Forwarding
from isocenter.audit.keys import key_folder
from isocenter.audit.publishing import Publisher
from isocenter.audit.retention import Retention
from isocenter.audit.segments import Segments
from isocenter.audit.service import AuditService
from isocenter.audit.settings import AuditSettings
from isocenter.audit.trail import Trail
from isocenter.core.audit_api import AuditTrail
from isocenter.runtime.role import Env, Role


class Task(Protocol):
    """Something that the role does in the background."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class AuditRole(Role):
    """Consumes the audit topic and offers `AuditTrail`."""

    name = "audit"

    def __init__(
        self, *, service: AuditTrail, consumer: AuditConsumer, tasks: Sequence[Task] = ()
    ) -> None:
        self.service = service
        self._consumer = consumer
        self._tasks = (*tasks, consumer)

    async def start(self) -> None:
        """Begin to consume."""
        for task in self._tasks:
            await task.start()

    async def stop(self) -> None:
        """Stop consuming; the last seal is made before what follows it ends."""
        for task in reversed(self._tasks):
            await task.stop()

    def problems(self) -> Sequence[str]:
        """Why records are not being taken now."""
        return self._consumer.problems()

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Offer the trail to other processes."""
        return rpc.add_to(server, self.service)


async def build(env: Env) -> AuditRole:
    """The role on the log, the audit index and the object store."""
    settings = env.section(AuditSettings)
    segments = Segments(await env.audit_store())
    keys = key_folder(settings, env.data)
    index = await env.audit_index()
    bus = await env.bus()
    forwarding = Forwarding(
        bus=bus,
        collectors=settings.forward,
        keys=keys,
        site=env.site,
        telemetry=env.telemetry,
    )
    publisher = Publisher(
        settings=settings,
        keys=keys,
        segments=segments,
        collectors=forwarding.tell,
        telemetry=env.telemetry,
    )
    consumer = AuditConsumer(
        bus=bus,
        trail=Trail(segments=segments, keys=keys, index=index),
        settings=settings,
        site=env.site,
        sealed=publisher.sealed,
    )
    retention = Retention(
        segments=segments,
        keys=keys,
        index=index,
        outbox=await env.outbox(),
        keep_days=settings.keep_days,
    )
    care = Care(
        retention=retention,
        segments=segments,
        index=index,
        audit_log=await env.audit_log(),
        verify_hours=settings.verify_hours,
    )
    service = await env.audit_trail()
    if isinstance(service, AuditService):
        # What is wrong elsewhere is told, but takes the role out of nobody's service.
        telling = (consumer, forwarding, publisher)
        service.problems = lambda: [one for part in telling for one in part.problems()]
    return AuditRole(service=service, consumer=consumer, tasks=[care, forwarding, publisher])
