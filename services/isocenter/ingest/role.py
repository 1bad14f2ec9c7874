"""The ingest role: answers calls, and relays what waits in the outbox to the log."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Ingest
from isocenter.ingest import rpc
from isocenter.runtime.outbox import Relay
from isocenter.runtime.role import Env, Role


class IngestRole(Role):
    """Offers the service of this process over gRPC. Every copy relays: that twice is harmless."""

    name = "ingest"

    def __init__(self, service: Ingest, relay: Relay) -> None:
        self._service = service
        self._relay = relay

    async def start(self) -> None:
        """Begin to relay."""
        await self._relay.start()

    async def stop(self) -> None:
        """Stop relaying; what waits is taken by another copy, or by the next one."""
        await self._relay.stop()

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the service; answers with its full name."""
        return rpc.add_to(server, self._service)


async def build(env: Env) -> IngestRole:
    """The role over the service of this process."""
    relay = Relay(await env.bus(), await env.storage(), telemetry=env.telemetry)
    return IngestRole(await env.ingest(), relay)
