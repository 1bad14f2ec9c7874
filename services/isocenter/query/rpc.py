"""Query over gRPC: the servicer and the client of `core.apis.Query`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import grpc.aio
import orjson

from isocenter.core.access import Caller
from isocenter.core.apis import FillProgress, Query
from isocenter.core.matching import Search
from isocenter.core.ports import Match
from isocenter.runtime.rpc_channel import UNARY_SECONDS, connected
from isocenter.runtime.rpc_errors import answers_errors, raised_by_peer
from isocenter.runtime.rpc_matches import in_messages
from isocenter.runtime.rpc_stream import download
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import caller_from, search_from, search_to
from isocenter.v1 import indexing_pb2, indexing_pb2_grpc, query_pb2, query_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]


class QueryServicer(
    query_pb2_grpc.QueryServiceServicer, indexing_pb2_grpc.AttributeServiceServicer
):
    """Answers calls with a local `Query`."""

    def __init__(self, service: Query) -> None:
        self._service = service

    @answers_errors
    async def Search(  # noqa: N802 (named in the proto)
        self, request: query_pb2.SearchRequest, context: Context
    ) -> AsyncIterator[query_pb2.SearchResponse]:
        """Answers in batches."""
        del context
        caller = caller_from(request.caller)
        found = self._service.search(caller, search_from(request))
        async with aclosing(generator(found)) as batches:
            async for batch in batches:
                for matches in in_messages(orjson.dumps(match.attributes) for match in batch):
                    yield query_pb2.SearchResponse(matches=matches)

    @answers_errors
    async def Count(  # noqa: N802 (named in the proto)
        self, request: query_pb2.SearchRequest, context: Context
    ) -> query_pb2.CountResponse:
        """How many answers there are."""
        del context
        caller = caller_from(request.caller)
        count = await self._service.count(caller, search_from(request))
        return query_pb2.CountResponse(count=count)

    @answers_errors
    async def Unfilled(  # noqa: N802 (named in the proto)
        self, request: indexing_pb2.UnfilledRequest, context: Context
    ) -> indexing_pb2.UnfilledResponse:
        """The added attributes by which searches do not find everything yet."""
        del request, context
        return indexing_pb2.UnfilledResponse(
            attributes={
                tag: indexing_pb2.FillProgress(looked=one.looked, total=one.total)
                for tag, one in (await self._service.unfilled()).items()
            }
        )


class QueryClient:
    """`Query` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = query_pb2_grpc.QueryServiceStub(channel)
        self._attributes = indexing_pb2_grpc.AttributeServiceStub(channel)

    async def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        """Answers in batches."""
        await connected(self._channel)
        async with aclosing(download(self._stub.Search(search_to(caller, search)))) as responses:
            async for response in responses:
                yield [Match(orjson.loads(match)) for match in response.matches]

    async def count(self, caller: Caller, search: Search) -> int:
        """How many answers there are."""
        await connected(self._channel)
        with raised_by_peer():
            response = await self._stub.Count(search_to(caller, search), timeout=UNARY_SECONDS)
        return response.count

    async def unfilled(self) -> Mapping[str, FillProgress]:
        """The added attributes by which searches do not find everything yet."""
        await connected(self._channel)
        with raised_by_peer():
            response = await self._attributes.Unfilled(
                indexing_pb2.UnfilledRequest(), timeout=UNARY_SECONDS
            )
        return {
            tag: FillProgress(one.looked, one.total) for tag, one in response.attributes.items()
        }


def add_to(server: grpc.aio.Server, service: Query) -> Sequence[str]:
    """Register the services; answers with their full names."""
    servicer = QueryServicer(service)
    query_pb2_grpc.add_QueryServiceServicer_to_server(servicer, server)
    indexing_pb2_grpc.add_AttributeServiceServicer_to_server(servicer, server)
    return [
        query_pb2.DESCRIPTOR.services_by_name["QueryService"].full_name,
        indexing_pb2.DESCRIPTOR.services_by_name["AttributeService"].full_name,
    ]
