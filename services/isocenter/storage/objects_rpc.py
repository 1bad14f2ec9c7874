"""Objects over gRPC for programs outside: whole files by their keys, each access audited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import grpc.aio

from isocenter.core.apis import Storage
from isocenter.core.errors import Invalid, NotFound
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.identity import ObjectName
from isocenter.core.ports import BlobStore, Kept
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.rpc_callers import Context, source_of
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_pieces import lean_server
from isocenter.runtime.rpc_stream import as_chunks
from isocenter.v1 import objects_pb2, objects_pb2_grpc, storage_pb2

_PURPOSE_LENGTH = 200


class ObjectServicer(objects_pb2_grpc.ObjectServiceServicer):
    """Answers calls of programs that follow the events."""

    def __init__(self, *, storage: Storage, blobs: BlobStore, audit_log: AuditLog) -> None:
        self._storage = storage
        self._blobs = blobs
        self._audit_log = audit_log

    @answers_errors
    async def GetObject(  # noqa: N802 (named in the proto)
        self, request: objects_pb2.GetObjectRequest, context: Context
    ) -> AsyncIterator[storage_pb2.Chunk]:
        """A whole Part 10 file."""
        name = _name(request)
        source = source_of(context)
        source = replace(source, purpose=request.purpose or source.purpose)
        try:
            await self._storage.stat(request.key)
        except NotFound as error:
            await self._record(source, name, error=str(error))
            raise
        await self._record(source, name)
        data = self._blobs.checked(Kept(request.key, name.digest))
        async with aclosing(as_chunks(data)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _record(self, source: Source, name: ObjectName, *, error: str = "") -> None:
        await self._audit_log.record(
            AuditAction.RETRIEVE,
            source,
            outcome=AuditOutcome.FAILURE if error else AuditOutcome.SUCCESS,
            partition=name.name.partition,
            studies=(name.name.study,),
            series=(name.name.series,),
            instances=(name.name.instance,),
            instance_count=0 if error else 1,
            detail="gRPC GetObject",
            error=error,
            digests=(name.digest,),
        )


def _name(request: objects_pb2.GetObjectRequest) -> ObjectName:
    if len(request.purpose) > _PURPOSE_LENGTH or not request.purpose.isprintable():
        raise Invalid(
            f"`purpose` is longer than {_PURPOSE_LENGTH} characters or not printable",
            fix="say in a few words what the object is for",
        )
    name = ObjectName.from_key(request.key)
    if name is None:
        raise Invalid("`key` is no key of an object", fix="take it from an InstanceStored event")
    return name


def add_to(server: grpc.aio.Server, servicer: ObjectServicer) -> Sequence[str]:
    """Register the service; answers with its full name."""
    objects_pb2_grpc.add_ObjectServiceServicer_to_server(servicer, lean_server(server))
    return [objects_pb2.DESCRIPTOR.services_by_name["ObjectService"].full_name]
