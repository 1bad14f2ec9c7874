"""Objects over gRPC for programs that follow the events: whole files by their keys."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import grpc.aio

from isocenter.core.access import Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Storage
from isocenter.core.errors import Corrupted, Invalid, NotFound, Withheld
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.identity import ObjectName
from isocenter.core.ports import Buffer
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.rpc_callers import Context, asker_of
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_pieces import lean_server
from isocenter.runtime.rpc_stream import as_chunks
from isocenter.runtime.streams import generator
from isocenter.v1 import objects_pb2, objects_pb2_grpc, storage_pb2

_PURPOSE_LENGTH = 200


class ObjectServicer(objects_pb2_grpc.ObjectServiceServicer):
    """Answers whoever may take the study away, and records that before."""

    def __init__(self, *, storage: Storage, guard: Guard, audit_log: AuditLog) -> None:
        self._storage = storage
        self._guard = guard
        self._audit_log = audit_log

    @answers_errors
    async def GetObject(  # noqa: N802 (named in the proto)
        self, request: objects_pb2.GetObjectRequest, context: Context
    ) -> AsyncIterator[storage_pb2.Chunk]:
        """A whole Part 10 file."""
        name, by = _name(request), asker_of(context)
        source = replace(by.source, purpose=request.purpose or by.source.purpose)
        study = name.name.partition, name.name.study
        try:
            await self._guard.check(by.caller, Right.DOWNLOAD, *study)
            await self._storage.stat(request.key)
        except (NotFound, Withheld) as error:
            await self._record(source, name, error=error.message)
            raise NotFound("no such object is kept here") from error
        await self._record(source, name)
        data = _checked(self._storage.read(request.key), name)
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


async def _checked(data: AsyncIterator[Buffer], name: ObjectName) -> AsyncIterator[Buffer]:
    """A file, of which the last chunk comes only if all of it is what was kept. Raises
    `Corrupted`."""
    digest, held = hashlib.sha256(), b""
    async with aclosing(generator(data)) as chunks:
        async for chunk in chunks:
            if held:
                yield held
            held = bytes(chunk)
            digest.update(held)
    if digest.hexdigest() != name.digest:
        raise Corrupted("the object is not what was kept", fix="run `isocenter verify`")
    yield held


def add_to(server: grpc.aio.Server, servicer: ObjectServicer) -> Sequence[str]:
    """Register the service; answers with its full name."""
    objects_pb2_grpc.add_ObjectServiceServicer_to_server(servicer, lean_server(server))
    return [objects_pb2.DESCRIPTOR.services_by_name["ObjectService"].full_name]
