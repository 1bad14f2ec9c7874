"""The audit trail over gRPC: the servicer and the client of `core.apis.AuditTrail`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import grpc.aio

from isocenter.core.apis import AuditTrail
from isocenter.core.events import AuditEvent
from isocenter.core.ports import AuditFilter
from isocenter.runtime.rpc_channel import UNARY_SECONDS, connected
from isocenter.runtime.rpc_errors import answers_errors, raised_by_peer
from isocenter.runtime.rpc_stream import download
from isocenter.runtime.wire import (
    audit_event_from,
    audit_event_to,
    audit_filter_from,
    audit_filter_to,
)
from isocenter.v1 import audit_pb2, audit_pb2_grpc

Context = grpc.aio.ServicerContext[object, object]

_RECORDS = 200  # of one message


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Answers calls with a local `AuditTrail`."""

    def __init__(self, service: AuditTrail) -> None:
        self._service = service

    @answers_errors
    async def SearchRecords(  # noqa: N802 (named in the proto)
        self, request: audit_pb2.SearchRecordsRequest, context: Context
    ) -> AsyncIterator[audit_pb2.SearchRecordsResponse]:
        """Newest first, in batches."""
        del context
        which = audit_filter_from(request.which)
        found = await self._service.search(which, request.limit, request.before)
        for start in range(0, len(found), _RECORDS):
            records = [audit_event_to(event) for event in found[start : start + _RECORDS]]
            yield audit_pb2.SearchRecordsResponse(records=records)

    @answers_errors
    async def CountRecords(  # noqa: N802 (named in the proto)
        self, request: audit_pb2.AuditFilter, context: Context
    ) -> audit_pb2.CountRecordsResponse:
        """How many records there are."""
        del context
        count = await self._service.count(audit_filter_from(request))
        return audit_pb2.CountRecordsResponse(count=count)


class AuditClient:
    """`AuditTrail` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = audit_pb2_grpc.AuditServiceStub(channel)

    async def search(
        self, which: AuditFilter, limit: int, before: str = ""
    ) -> Sequence[AuditEvent]:
        """Newest first."""
        await connected(self._channel)
        request = audit_pb2.SearchRecordsRequest(
            which=audit_filter_to(which), limit=limit, before=before
        )
        found: list[AuditEvent] = []
        call = self._stub.SearchRecords(request, timeout=UNARY_SECONDS)
        async with aclosing(download(call)) as responses:
            async for response in responses:
                found.extend(audit_event_from(record) for record in response.records)
        return found

    async def count(self, which: AuditFilter) -> int:
        """How many records there are."""
        await connected(self._channel)
        with raised_by_peer():
            response = await self._stub.CountRecords(audit_filter_to(which), timeout=UNARY_SECONDS)
        return response.count


def add_to(server: grpc.aio.Server, service: AuditTrail) -> Sequence[str]:
    """Register the service; answers with its full name."""
    audit_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(service), server)
    return [audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name]
