"""The storage role: answers calls only."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Storage
from isocenter.runtime.role import Env, Role
from isocenter.storage import rpc


class StorageRole(Role):
    """Offers the service of this process over gRPC."""

    name = "storage"

    def __init__(self, service: Storage) -> None:
        self._service = service

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the services; answers with their full names."""
        return rpc.add_to(server, self._service)


async def build(env: Env) -> StorageRole:
    """The role over the service of this process."""
    return StorageRole(await env.storage())
