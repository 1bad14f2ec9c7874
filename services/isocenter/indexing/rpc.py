"""Administration of the index over gRPC: the servicer and the client of `core.apis.Indexing`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import grpc.aio

from isocenter.core.apis import Indexing, RebuildProgress
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_stream import download, generator
from isocenter.v1 import indexing_pb2, indexing_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]


class IndexingServicer(indexing_pb2_grpc.IndexingServiceServicer):
    """Answers calls with a local `Indexing`."""

    def __init__(self, service: Indexing) -> None:
        self._service = service

    @answers_errors
    async def Rebuild(  # noqa: N802 (named in the proto)
        self, request: indexing_pb2.RebuildRequest, context: Context
    ) -> AsyncIterator[indexing_pb2.RebuildProgress]:
        """How far it is, again and again."""
        del request, context
        async with aclosing(generator(self._service.rebuild())) as progress:
            async for step in progress:
                yield indexing_pb2.RebuildProgress(
                    studies=step.studies,
                    instances=step.instances,
                    problems=step.problems,
                    done=step.done,
                )


class IndexingClient:
    """`Indexing` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = indexing_pb2_grpc.IndexingServiceStub(channel)

    async def rebuild(self) -> AsyncIterator[RebuildProgress]:
        """How far it is, again and again."""
        call = self._stub.Rebuild(indexing_pb2.RebuildRequest())
        async with aclosing(download(call)) as progress:
            async for step in progress:
                yield RebuildProgress(step.studies, step.instances, dict(step.problems), step.done)


def add_to(server: grpc.aio.Server, service: Indexing) -> Sequence[str]:
    """Register the service; answers with its full name."""
    indexing_pb2_grpc.add_IndexingServiceServicer_to_server(IndexingServicer(service), server)
    return [indexing_pb2.DESCRIPTOR.services_by_name["IndexingService"].full_name]
