"""Ingest over gRPC: the servicer and the client of `core.apis.Ingest`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing

import grpc.aio

from isocenter.core.access import Caller
from isocenter.core.apis import Announcement, Ingest, Stored
from isocenter.core.deletions import Deletion
from isocenter.core.events import Source
from isocenter.core.ports import Buffer
from isocenter.runtime.rpc_channel import connected
from isocenter.runtime.rpc_errors import answers_errors, raised_by_peer
from isocenter.runtime.rpc_pieces import Gathering, gathered, lean_channel, lean_server, piece
from isocenter.runtime.rpc_stream import (
    STEP_SECONDS,
    closing,
    download,
    each,
    first_of,
    in_time,
    upload,
    uploaded,
)
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import (
    caller_from,
    caller_to,
    deletion_from,
    deletion_to,
    name_from,
    name_to,
    source_from,
    source_to,
)
from isocenter.v1 import ingest_pb2, ingest_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]

_STUDY_SECONDS = 900.0  # to delete or restore the largest study


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Answers calls with a local `Ingest`."""

    def __init__(self, service: Ingest) -> None:
        self._service = service

    @answers_errors
    async def Store(  # noqa: N802 (named in the proto)
        self, request_iterator: AsyncIterator[ingest_pb2.StoreRequest], context: Context
    ) -> ingest_pb2.StoreResponse:
        """One object; what is not complete is not kept."""
        del context
        first = (await first_of(request_iterator, "announcement")).announcement
        return await self._store(first, uploaded(request_iterator))

    @answers_errors
    async def StoreWhole(  # noqa: N802
        self, request: ingest_pb2.StoreWholeRequest, context: Context
    ) -> ingest_pb2.StoreResponse:
        """The same in one message."""
        del context
        return await self._store(request.announcement, each([request.data]))

    @answers_errors
    async def Delete(  # noqa: N802
        self, request: ingest_pb2.DeleteRequest, context: Context
    ) -> ingest_pb2.Deletion:
        """A study, series or instance."""
        del context
        level = request.partition, request.study, request.series, request.instance
        caller, by = caller_from(request.caller), source_from(request.source)
        return deletion_to(await self._service.delete(caller, *level, by, request.reason))

    @answers_errors
    async def ListDeletions(  # noqa: N802
        self, request: ingest_pb2.ListDeletionsRequest, context: Context
    ) -> AsyncIterator[ingest_pb2.Deletion]:
        """What can be restored."""
        del context
        caller = caller_from(request.caller)
        listed = self._service.deletions(caller, request.partition)
        async with aclosing(generator(listed)) as found:
            async for one in found:
                yield deletion_to(one)

    @answers_errors
    async def Restore(  # noqa: N802
        self, request: ingest_pb2.RestoreRequest, context: Context
    ) -> ingest_pb2.Deletion:
        """The undoing."""
        del context
        caller, by = caller_from(request.caller), source_from(request.source)
        restored = await self._service.restore(caller, request.partition, request.deletion, by)
        return deletion_to(restored)

    async def _store(
        self, announced: ingest_pb2.Announcement, data_set: AsyncIterator[Buffer]
    ) -> ingest_pb2.StoreResponse:
        announcement = Announcement(
            source=source_from(announced.source),
            caller=caller_from(announced.caller),
            transfer_syntax=announced.transfer_syntax,
            sop_class=announced.sop_class,
            instance=announced.instance,
            study=announced.study,
            general_sop_class=announced.general_sop_class,
        )
        stored = await self._service.store(announcement, data_set)
        return ingest_pb2.StoreResponse(
            name=name_to(stored.name),
            sop_class=stored.sop_class,
            transfer_syntax=stored.transfer_syntax,
            digest=stored.digest,
            size=stored.size,
            coerced=stored.coerced,
        )


class IngestClient:
    """`Ingest` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = ingest_pb2_grpc.IngestServiceStub(lean_channel(channel))

    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        """Take in one data set: in one message if it is small, else streamed as it comes."""
        await connected(self._channel)
        announced = ingest_pb2.Announcement(
            source=source_to(announcement.source),
            caller=caller_to(announcement.caller),
            transfer_syntax=announcement.transfer_syntax,
            sop_class=announcement.sop_class,
            instance=announcement.instance,
            study=announcement.study,
            general_sop_class=announcement.general_sop_class,
        )
        gathering = Gathering(ingest_pb2.StoreRequest)
        parts = aiter(data_set)
        async for part in parts:
            if full := list(gathering.add(part)):
                stored = await self._stream(announced, full, parts, gathering)
                break
        else:
            stored = await self._whole(announced, gathering.rest())
        return Stored(
            name=name_from(stored.name),
            sop_class=stored.sop_class,
            transfer_syntax=stored.transfer_syntax,
            digest=stored.digest,
            size=stored.size,
            coerced=tuple(stored.coerced),
        )

    async def delete(
        self,
        caller: Caller,
        partition: str,
        study: str,
        series: str,
        instance: str,
        by: Source,
        reason: str,
    ) -> Deletion:
        """Delete what is kept at or below a level."""
        await connected(self._channel)
        request = ingest_pb2.DeleteRequest(
            partition=partition,
            study=study,
            series=series,
            instance=instance,
            source=source_to(by),
            reason=reason,
            caller=caller_to(caller),
        )
        with raised_by_peer():
            return deletion_from(await self._stub.Delete(request, timeout=_STUDY_SECONDS))

    async def deletions(self, caller: Caller, partition: str) -> AsyncIterator[Deletion]:
        """What can be restored."""
        await connected(self._channel)
        request = ingest_pb2.ListDeletionsRequest(partition=partition, caller=caller_to(caller))
        call = self._stub.ListDeletions(request)
        async with aclosing(download(call)) as found:
            async for one in found:
                yield deletion_from(one)

    async def restore(self, caller: Caller, partition: str, deletion: str, by: Source) -> Deletion:
        """Undo a deletion."""
        await connected(self._channel)
        request = ingest_pb2.RestoreRequest(
            partition=partition,
            deletion=deletion,
            source=source_to(by),
            caller=caller_to(caller),
        )
        with raised_by_peer():
            return deletion_from(await self._stub.Restore(request, timeout=_STUDY_SECONDS))

    async def _whole(
        self, announced: ingest_pb2.Announcement, data_set: Sequence[Buffer]
    ) -> ingest_pb2.StoreResponse:
        kind = ingest_pb2.StoreWholeRequest
        request = piece(kind, data_set, others=kind(announcement=announced))
        with raised_by_peer():
            return await self._stub.StoreWhole(request, timeout=STEP_SECONDS)

    async def _stream(
        self,
        announced: ingest_pb2.Announcement,
        begun: Sequence[ingest_pb2.StoreRequest],
        parts: AsyncIterator[Buffer],
        gathering: Gathering,
    ) -> ingest_pb2.StoreResponse:
        kind = ingest_pb2.StoreRequest

        async def messages() -> AsyncGenerator[ingest_pb2.StoreRequest, None]:
            for message in begun:
                yield message
            async with aclosing(gathered(parts, kind, gathering)) as rest:
                async for message in rest:
                    yield message

        async with closing(self._stub.Store()) as call:
            await upload(call, kind(announcement=announced), messages())
            return await in_time(call)


def add_to(server: grpc.aio.Server, service: Ingest) -> Sequence[str]:
    """Register the service; answers with its full name."""
    servicer = IngestServicer(service)
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(servicer, lean_server(server))
    return [ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name]
