"""The storage role: answers calls only."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Storage
from isocenter.runtime.role import Env, Role
from isocenter.storage import objects_rpc, rpc
from isocenter.storage.objects_rpc import ObjectServicer


class StorageRole(Role):
    """Offers the service of this process over gRPC, and objects to programs outside."""

    name = "storage"

    def __init__(self, service: Storage, objects: ObjectServicer) -> None:
        self._service = service
        self._objects = objects

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the services; answers with their full names."""
        return [*rpc.add_to(server, self._service), *objects_rpc.add_to(server, self._objects)]


async def build(env: Env) -> StorageRole:
    """The role over the service of this process."""
    storage = await env.storage()
    objects = ObjectServicer(
        storage=storage, blobs=await env.blobs(), audit_log=await env.audit_log()
    )
    return StorageRole(storage, objects)
