"""The ingest role: answers calls only."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Ingest
from isocenter.ingest import rpc
from isocenter.runtime.role import Env, Role


class IngestRole(Role):
    """Offers the service of this process over gRPC."""

    name = "ingest"

    def __init__(self, service: Ingest) -> None:
        self._service = service

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the service; answers with its full name."""
        return rpc.add_to(server, self._service)


async def build(env: Env) -> IngestRole:
    """The role over the service of this process."""
    return IngestRole(await env.ingest())
