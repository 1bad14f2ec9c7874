"""The gRPC client of `core.apis.Storage`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Self

import grpc.aio

from isocenter.core.access import Caller
from isocenter.core.apis import Frame, PixelFormat, StoredInstance, Verification, Versions
from isocenter.core.errors import Unavailable
from isocenter.core.ports import BlobInfo, Buffer, StagedBlob
from isocenter.runtime.rpc_channel import UNARY_SECONDS, connected
from isocenter.runtime.rpc_errors import raised_by_peer
from isocenter.runtime.rpc_pieces import CHUNK, Gathering, gathered, lean_channel, piece
from isocenter.runtime.rpc_stream import (
    STEP_SECONDS,
    Outcome,
    closing,
    download,
    each,
    in_time,
    items,
    received,
    send,
    upload,
)
from isocenter.runtime.wire import (
    blob_info_from,
    caller_to,
    instance_from,
    instance_to,
    pixels_from,
    versions_from,
)
from isocenter.v1 import storage_pb2, storage_pb2_grpc

_StageCall = grpc.aio.StreamStreamCall[storage_pb2.StageRequest, storage_pb2.StageResponse]


class StorageClient:
    """`Storage` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = storage_pb2_grpc.StorageServiceStub(lean_channel(channel))

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Keep a complete small object."""
        await connected(self._channel)
        if sum(map(len, data)) <= CHUNK:
            await _keep(self._stub, key, data, digest)
            return
        request = storage_pb2.PutRequest
        first = request(target=request.Target(key=key, digest=digest))
        async with closing(self._stub.Put()) as call:
            await upload(call, first, gathered(each(data), request))
            await in_time(call)

    async def stage(self) -> StagedBlob:
        """Begin an object."""
        await connected(self._channel)
        return _RemoteUpload(self._stub)

    async def stat(self, key: str) -> BlobInfo:
        """What a listing tells of one blob."""
        await connected(self._channel)
        with raised_by_peer():
            request = storage_pb2.StatRequest(key=key)
            return blob_info_from(await self._stub.Stat(request, timeout=UNARY_SECONDS))

    async def read(
        self, key: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of a blob."""
        await connected(self._channel)
        request = storage_pb2.ReadRequest(key=key, offset=offset, length=length)
        async with aclosing(received(self._stub.Read(request))) as parts:
            async for part in parts:
                yield bytes(part)

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """What is kept below a prefix."""
        await connected(self._channel)
        call = self._stub.List(storage_pb2.ListRequest(prefix=prefix, after=after))
        async with aclosing(download(call)) as infos:
            async for info in infos:
                yield blob_info_from(info)

    async def remove(self, key: str) -> None:
        """Remove a derived blob."""
        await connected(self._channel)
        with raised_by_peer():
            await self._stub.Remove(storage_pb2.RemoveRequest(key=key), timeout=UNARY_SECONDS)

    async def move(self, key: str, target: str) -> None:
        """Another key for an object."""
        await connected(self._channel)
        request = storage_pb2.MoveRequest(key=key, target=target)
        with raised_by_peer():
            await self._stub.Move(request, timeout=STEP_SECONDS)

    async def instances(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[StoredInstance]:
        """The current version of every instance."""
        await connected(self._channel)
        call = self._stub.Instances(_level(caller, partition, study, series, instance))
        async with aclosing(download(call)) as found:
            async for one in found:
                yield instance_from(one)

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        """The DICOM JSON Model of the instances."""
        found = self.described(caller, partition, study, series, instance)
        async with aclosing(found) as values:
            async for _, value in values:
                yield value

    async def described(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncGenerator[tuple[Versions | None, bytes], None]:
        """The same, each with what all of them are together."""
        await connected(self._channel)
        call = self._stub.Metadata(_level(caller, partition, study, series, instance))
        versions: Versions | None = None
        async with aclosing(items(call)) as found:
            async for end, value in found:
                if end.HasField("versions"):
                    versions = versions_from(end.versions)
                yield versions, value

    async def data_set(self, instance: StoredInstance) -> AsyncIterator[Buffer]:
        """The data set as stored."""
        await connected(self._channel)
        async with aclosing(received(self._stub.DataSet(instance_to(instance)))) as parts:
            async for part in parts:
                yield part

    async def pixel_format(self, instance: StoredInstance) -> PixelFormat:
        """What a decoder must know."""
        await connected(self._channel)
        with raised_by_peer():
            call = self._stub.GetPixelFormat(instance_to(instance), timeout=UNARY_SECONDS)
            return pixels_from(await call)

    async def frames(
        self, instance: StoredInstance, numbers: Sequence[int]
    ) -> AsyncIterator[Frame]:
        """Frames as stored."""
        await connected(self._channel)
        request = storage_pb2.FramesRequest(instance=instance_to(instance), numbers=numbers)
        async with aclosing(items(self._stub.Frames(request))) as found:
            async for end, data in found:
                yield Frame(end.number, data)

    async def bulk_size(self, instance: StoredInstance, path: str) -> int:
        """The length of the value of a bulk data element."""
        await connected(self._channel)
        request = storage_pb2.BulkRequest(instance=instance_to(instance), path=path)
        with raised_by_peer():
            return (await self._stub.GetBulkSize(request, timeout=UNARY_SECONDS)).size

    async def bulk(
        self, instance: StoredInstance, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of that value."""
        await connected(self._channel)
        request = storage_pb2.BulkRequest(
            instance=instance_to(instance), path=path, offset=offset, length=length
        )
        async with aclosing(received(self._stub.Bulk(request))) as parts:
            async for part in parts:
                yield bytes(part)

    async def verify(self, prefix: str) -> AsyncIterator[Verification]:
        """Every object against its digest."""
        await connected(self._channel)
        call = self._stub.Verify(storage_pb2.VerifyRequest(prefix=prefix))
        async with aclosing(download(call)) as found:
            async for one in found:
                yield Verification(one.key, one.ok, one.problem)


class _RemoteUpload:
    """An object being written to storage in another process: one message if it is small, else
    streamed as it is written."""

    def __init__(self, stub: storage_pb2_grpc.StorageServiceAsyncStub) -> None:
        self._stub = stub
        self._stream: _Stream | None = None
        self._hasher = hashlib.sha256()
        self._gathering = Gathering(storage_pb2.StageRequest)

    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        return self._hasher.hexdigest()

    async def write(self, data: Buffer) -> None:
        """Add bytes at the end."""
        self._hasher.update(data)
        for message in self._gathering.add(data):
            if self._stream is None:
                self._stream = _Stream(self._stub.Stage())
                await self._stream.response()  # there is room
            await self._stream.send(message)

    async def commit(self, key: str, digest: str) -> None:
        """Durable and visible under `key` on return."""
        rest = self._gathering.rest()
        if self._stream is None:
            await _keep(self._stub, key, rest, digest)
            return
        request = storage_pb2.StageRequest
        commit = request(commit=request.Commit(key=key, digest=digest))
        await self._stream.send(piece(request, rest, field="rest", others=commit))
        response = await self._stream.response()
        if not response.durable:
            raise Unavailable("storage did not confirm the object", fix="send it again")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.cancel()


class _Stream:
    """The call that a large object goes through."""

    def __init__(self, call: _StageCall) -> None:
        self._call = call
        self._outcome = Outcome(call)

    async def send(self, message: storage_pb2.StageRequest) -> None:
        """One message. Raises why the call is over, if it is."""
        if not await send(self._call, message):
            await self.response()

    def cancel(self) -> None:
        """End the call, if it is not over yet."""
        self._call.cancel()

    async def response(self) -> storage_pb2.StageResponse:
        """The next answer of the service."""
        async with self._outcome.raised():
            response = await in_time(self._call.read())
        if not isinstance(response, storage_pb2.StageResponse):
            raise Unavailable("storage ended the upload early", fix="send the object again")
        return response


async def _keep(
    stub: storage_pb2_grpc.StorageServiceAsyncStub, key: str, data: Sequence[Buffer], digest: str
) -> None:
    """A whole object in one message."""
    named = storage_pb2.KeepRequest(key=key, digest=digest)
    with raised_by_peer():
        await stub.Keep(piece(storage_pb2.KeepRequest, data, others=named), timeout=UNARY_SECONDS)


def _level(
    caller: Caller, partition: str, study: str, series: str, instance: str
) -> storage_pb2.LevelRequest:
    return storage_pb2.LevelRequest(
        partition=partition,
        study=study,
        series=series,
        instance=instance,
        caller=caller_to(caller),
    )
