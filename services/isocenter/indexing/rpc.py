"""Administration of the index over gRPC: the servicer and the client of `core.apis.Indexing`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

import grpc.aio

from isocenter.core.apis import Indexing, RebuildProgress, ReplayProgress, SweepProgress
from isocenter.runtime.rpc_channel import connected
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_stream import download
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import moment, timestamp
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

    @answers_errors
    async def Replay(  # noqa: N802 (named in the proto)
        self, request: indexing_pb2.ReplayRequest, context: Context
    ) -> AsyncIterator[indexing_pb2.ReplayProgress]:
        """How far it is, again and again."""
        del context
        since = moment(request.since) if request.HasField("since") else None
        replay = self._service.replay(since, dict(request.offsets))
        async with aclosing(generator(replay)) as progress:
            async for step in progress:
                yield indexing_pb2.ReplayProgress(
                    events=step.events, problems=step.problems, done=step.done
                )

    @answers_errors
    async def Sweep(  # noqa: N802 (named in the proto)
        self, request: indexing_pb2.SweepRequest, context: Context
    ) -> AsyncIterator[indexing_pb2.SweepProgress]:
        """How far it is, again and again."""
        del request, context
        async with aclosing(generator(self._service.sweep())) as progress:
            async for step in progress:
                yield indexing_pb2.SweepProgress(
                    objects=step.objects,
                    announced=step.announced,
                    waiting=step.waiting,
                    problems=step.problems,
                    done=step.done,
                )


class IndexingClient:
    """`Indexing` in another process.

    How long a step of these takes depends on the archive, and an operator is watching: that a
    peer is gone is found by keepalive, and nothing else is given up.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = indexing_pb2_grpc.IndexingServiceStub(channel)

    async def rebuild(self) -> AsyncIterator[RebuildProgress]:
        """How far it is, again and again."""
        await connected(self._channel)
        call = self._stub.Rebuild(indexing_pb2.RebuildRequest())
        async with aclosing(download(call, patience=None)) as progress:
            async for step in progress:
                yield RebuildProgress(step.studies, step.instances, dict(step.problems), step.done)

    async def replay(
        self, since: datetime | None, offsets: Mapping[int, int]
    ) -> AsyncIterator[ReplayProgress]:
        """How far it is, again and again."""
        await connected(self._channel)
        request = indexing_pb2.ReplayRequest(
            since=timestamp(since) if since else None, offsets=offsets
        )
        async with aclosing(download(self._stub.Replay(request), patience=None)) as progress:
            async for step in progress:
                yield ReplayProgress(step.events, dict(step.problems), step.done)

    async def sweep(self) -> AsyncIterator[SweepProgress]:
        """How far it is, again and again."""
        await connected(self._channel)
        call = self._stub.Sweep(indexing_pb2.SweepRequest())
        async with aclosing(download(call, patience=None)) as progress:
            async for step in progress:
                yield SweepProgress(
                    step.objects, step.announced, step.waiting, dict(step.problems), step.done
                )


def add_to(server: grpc.aio.Server, service: Indexing) -> Sequence[str]:
    """Register the service; answers with its full name."""
    indexing_pb2_grpc.add_IndexingServiceServicer_to_server(IndexingServicer(service), server)
    return [indexing_pb2.DESCRIPTOR.services_by_name["IndexingService"].full_name]
