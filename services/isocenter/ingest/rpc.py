"""Ingest over gRPC: the servicer and the client of `core.apis.Ingest`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

import grpc.aio

from isocenter.core.apis import Announcement, Ingest, Stored
from isocenter.core.ports import Buffer
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_pieces import gathered, lean_channel, lean_server
from isocenter.runtime.rpc_stream import closing, first_of, in_time, upload, uploaded
from isocenter.runtime.wire import name_from, name_to, source_from, source_to
from isocenter.v1 import ingest_pb2, ingest_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]


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
        announcement = Announcement(
            source=source_from(first.source),
            transfer_syntax=first.transfer_syntax,
            sop_class=first.sop_class,
            instance=first.instance,
            study=first.study,
        )
        stored = await self._service.store(announcement, uploaded(request_iterator))
        return ingest_pb2.StoreResponse(
            name=name_to(stored.name),
            sop_class=stored.sop_class,
            transfer_syntax=stored.transfer_syntax,
            digest=stored.digest,
            size=stored.size,
        )


class IngestClient:
    """`Ingest` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ingest_pb2_grpc.IngestServiceStub(lean_channel(channel))

    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        """Take in one data set."""
        request = ingest_pb2.StoreRequest
        first = request(
            announcement=ingest_pb2.Announcement(
                source=source_to(announcement.source),
                transfer_syntax=announcement.transfer_syntax,
                sop_class=announcement.sop_class,
                instance=announcement.instance,
                study=announcement.study,
            )
        )
        async with closing(self._stub.Store()) as call:
            await upload(call, first, gathered(data_set, request))
            stored = await in_time(call)
        return Stored(
            name=name_from(stored.name),
            sop_class=stored.sop_class,
            transfer_syntax=stored.transfer_syntax,
            digest=stored.digest,
            size=stored.size,
        )


def add_to(server: grpc.aio.Server, service: Ingest) -> Sequence[str]:
    """Register the service; answers with its full name."""
    servicer = IngestServicer(service)
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(servicer, lean_server(server))
    return [ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name]
