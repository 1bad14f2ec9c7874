"""Storage over gRPC: the servicer of `core.apis.Storage` (its client: `rpc_client`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import grpc.aio

from isocenter.core.access import Caller
from isocenter.core.apis import Storage
from isocenter.core.errors import Invalid
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_pieces import lean_server
from isocenter.runtime.rpc_stream import (
    as_chunks,
    as_items,
    first_of,
    uploaded,
)
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import (
    blob_info_to,
    caller_from,
    instance_from,
    instance_to,
    pixels_to,
    versions_to,
)
from isocenter.storage.rpc_client import StorageClient
from isocenter.v1 import storage_pb2, storage_pb2_grpc

__all__ = ["StorageClient", "StorageServicer", "add_to"]

Context = grpc.aio.ServicerContext[object, object]
Chunks = AsyncIterator[storage_pb2.Chunk]
Items = AsyncIterator[storage_pb2.ItemChunk]


class StorageServicer(storage_pb2_grpc.StorageServiceServicer):
    """Answers calls with a local `Storage`."""

    def __init__(self, service: Storage) -> None:
        self._service = service

    @answers_errors
    async def Put(  # noqa: N802 (named in the proto, as all below)
        self, request_iterator: AsyncIterator[storage_pb2.PutRequest], context: Context
    ) -> storage_pb2.PutResponse:
        """A complete small object."""
        del context
        target = (await first_of(request_iterator, "target")).target
        data = [part async for part in uploaded(request_iterator)]
        await self._service.put(target.key, data, target.digest)
        return storage_pb2.PutResponse()

    @answers_errors
    async def Keep(  # noqa: N802
        self, request: storage_pb2.KeepRequest, context: Context
    ) -> storage_pb2.PutResponse:
        """The same in one message."""
        del context
        await self._service.put(request.key, [request.data], request.digest)
        return storage_pb2.PutResponse()

    @answers_errors
    async def Stage(  # noqa: N802
        self, request_iterator: AsyncIterator[storage_pb2.StageRequest], context: Context
    ) -> AsyncIterator[storage_pb2.StageResponse]:
        """A large object whose key comes at its end."""
        del context
        async with await self._service.stage() as staged:
            yield storage_pb2.StageResponse(durable=False)
            async for request in request_iterator:
                if request.WhichOneof("part") == "data":
                    await staged.write(request.data)
                    continue
                if request.rest:
                    await staged.write(request.rest)
                await staged.commit(request.commit.key, request.commit.digest)
                yield storage_pb2.StageResponse(durable=True)
                return
            raise Invalid("the stream ended without `commit`", fix="end it with `commit`")

    @answers_errors
    async def Stat(  # noqa: N802
        self, request: storage_pb2.StatRequest, context: Context
    ) -> storage_pb2.BlobInfo:
        """What a listing tells of one blob."""
        del context
        return blob_info_to(await self._service.stat(request.key))

    @answers_errors
    async def Read(self, request: storage_pb2.ReadRequest, context: Context) -> Chunks:  # noqa: N802
        """A range of a blob."""
        del context
        length = request.length if request.HasField("length") else None
        data = self._service.read(request.key, request.offset, length)
        async with aclosing(as_chunks(data)) as chunks:
            async for chunk in chunks:
                yield chunk

    @answers_errors
    async def List(  # noqa: N802
        self, request: storage_pb2.ListRequest, context: Context
    ) -> AsyncIterator[storage_pb2.BlobInfo]:
        """What is kept below a prefix."""
        del context
        found = self._service.list(request.prefix, request.after)
        async with aclosing(generator(found)) as infos:
            async for info in infos:
                yield blob_info_to(info)

    @answers_errors
    async def Remove(  # noqa: N802
        self, request: storage_pb2.RemoveRequest, context: Context
    ) -> storage_pb2.RemoveResponse:
        """Remove a derived blob."""
        del context
        await self._service.remove(request.key)
        return storage_pb2.RemoveResponse()

    @answers_errors
    async def Move(  # noqa: N802
        self, request: storage_pb2.MoveRequest, context: Context
    ) -> storage_pb2.MoveResponse:
        """Another key for an object."""
        del context
        await self._service.move(request.key, request.target)
        return storage_pb2.MoveResponse()

    @answers_errors
    async def Instances(  # noqa: N802
        self, request: storage_pb2.LevelRequest, context: Context
    ) -> AsyncIterator[storage_pb2.StoredInstance]:
        """The current version of every instance."""
        del context
        found = self._service.instances(*_asked(request))
        async with aclosing(generator(found)) as instances:
            async for instance in instances:
                yield instance_to(instance)

    @answers_errors
    async def Metadata(self, request: storage_pb2.LevelRequest, context: Context) -> Items:  # noqa: N802
        """The DICOM JSON Model of the instances."""
        del context
        found = self._service.described(*_asked(request))
        told = None
        async with aclosing(generator(found)) as values:
            async for versions, value in values:
                news = versions_to(versions) if versions and versions is not told else None
                told = versions
                for item in as_items(value, versions=news):
                    yield item

    @answers_errors
    async def DataSet(self, request: storage_pb2.StoredInstance, context: Context) -> Chunks:  # noqa: N802
        """The data set as stored."""
        del context
        data = self._service.data_set(instance_from(request))
        async with aclosing(as_chunks(data)) as chunks:
            async for chunk in chunks:
                yield chunk

    @answers_errors
    async def GetPixelFormat(  # noqa: N802
        self, request: storage_pb2.StoredInstance, context: Context
    ) -> storage_pb2.PixelFormat:
        """What a decoder must know."""
        del context
        return pixels_to(await self._service.pixel_format(instance_from(request)))

    @answers_errors
    async def Frames(self, request: storage_pb2.FramesRequest, context: Context) -> Items:  # noqa: N802
        """Frames as stored."""
        del context
        found = self._service.frames(instance_from(request.instance), list(request.numbers))
        async with aclosing(generator(found)) as frames:
            async for frame in frames:
                for item in as_items(frame.data, number=frame.number):
                    yield item

    @answers_errors
    async def Bulk(self, request: storage_pb2.BulkRequest, context: Context) -> Chunks:  # noqa: N802
        """A range of the value of a bulk data element."""
        del context
        length = request.length if request.HasField("length") else None
        instance = instance_from(request.instance)
        value = self._service.bulk(instance, request.path, request.offset, length)
        async for chunk in as_chunks(value):
            yield chunk

    @answers_errors
    async def GetBulkSize(  # noqa: N802
        self, request: storage_pb2.BulkRequest, context: Context
    ) -> storage_pb2.GetBulkSizeResponse:
        """The length of the value of a bulk data element."""
        del context
        size = await self._service.bulk_size(instance_from(request.instance), request.path)
        return storage_pb2.GetBulkSizeResponse(size=size)

    @answers_errors
    async def Verify(  # noqa: N802
        self, request: storage_pb2.VerifyRequest, context: Context
    ) -> AsyncIterator[storage_pb2.VerifyResponse]:
        """Every object against its digest."""
        del context
        async with aclosing(generator(self._service.verify(request.prefix))) as found:
            async for one in found:
                yield storage_pb2.VerifyResponse(key=one.key, ok=one.ok, problem=one.problem)


def _asked(request: storage_pb2.LevelRequest) -> tuple[Caller, str, str, str, str]:
    caller = caller_from(request.caller)
    return caller, request.partition, request.study, request.series, request.instance


def add_to(server: grpc.aio.Server, service: Storage) -> Sequence[str]:
    """Register the service; answers with its full name."""
    servicer = StorageServicer(service)
    storage_pb2_grpc.add_StorageServiceServicer_to_server(servicer, lean_server(server))
    return [storage_pb2.DESCRIPTOR.services_by_name["StorageService"].full_name]
