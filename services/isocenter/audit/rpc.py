"""The audit trail over gRPC: the servicer of `core.audit_api.AuditTrail`; its client is
`audit.rpc_client`."""

# ruff: noqa: N802 - the methods are named in the proto

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

import grpc.aio

from isocenter.audit.rpc_client import AuditClient
from isocenter.core.audit import Entry
from isocenter.core.audit_api import AuditTrail
from isocenter.runtime.audit_messages import (
    BYS,
    audit_event_to,
    audit_filter_from,
    entry_to,
    head_from,
    hold_from,
    hold_to,
    place_to,
    search_from,
    search_to,
    state_to,
    tally_to,
    verification_to,
)
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import enum_from
from isocenter.v1 import audit_pb2, audit_pb2_grpc

__all__ = ["AuditClient", "AuditServicer", "add_to"]

Context = grpc.aio.ServicerContext[object, object]

_RECORDS = 200  # of one message


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Answers calls with a local `AuditTrail`."""

    def __init__(self, service: AuditTrail) -> None:
        self._service = service

    @answers_errors
    async def SearchRecords(
        self, request: audit_pb2.SearchRecordsRequest, context: Context
    ) -> AsyncIterator[audit_pb2.SearchRecordsResponse]:
        """Newest first, in batches."""
        del context
        which = audit_filter_from(request.which)
        for batch in _batches(await self._service.search(which, request.limit, request.before)):
            yield batch

    @answers_errors
    async def CountRecords(
        self, request: audit_pb2.AuditFilter, context: Context
    ) -> audit_pb2.CountRecordsResponse:
        """How many records there are."""
        del context
        count = await self._service.count(audit_filter_from(request))
        return audit_pb2.CountRecordsResponse(count=count)

    @answers_errors
    async def GetRecord(
        self, request: audit_pb2.GetRecordRequest, context: Context
    ) -> audit_pb2.AuditEntry:
        """One record."""
        del context
        return entry_to(await self._service.get(request.id))

    @answers_errors
    async def TallyRecords(
        self, request: audit_pb2.TallyRecordsRequest, context: Context
    ) -> audit_pb2.TallyRecordsResponse:
        """Counts."""
        del context
        by = [enum_from(BYS, number) for number in request.by]
        found = await self._service.tally(audit_filter_from(request.which), by)
        return audit_pb2.TallyRecordsResponse(tallies=[tally_to(tally) for tally in found])

    @answers_errors
    async def GetStory(
        self, request: audit_pb2.GetStoryRequest, context: Context
    ) -> AsyncIterator[audit_pb2.SearchRecordsResponse]:
        """Everything that happened to an object."""
        del context
        for batch in _batches(await self._service.story(request.instance)):
            yield batch

    @answers_errors
    async def ProveRecord(
        self, request: audit_pb2.GetRecordRequest, context: Context
    ) -> audit_pb2.ProveRecordResponse:
        """An inclusion proof."""
        del context
        return audit_pb2.ProveRecordResponse(proof=await self._service.prove(request.id))

    @answers_errors
    async def VerifyTrail(
        self, request: audit_pb2.VerifyTrailRequest, context: Context
    ) -> AsyncIterator[audit_pb2.VerifyTrailResponse]:
        """Progress, and the result."""
        del context
        heads = [head_from(head) for head in request.heads]
        reports = self._service.verify(tuple(request.trust), heads)
        async with aclosing(generator(reports)) as found:
            async for report in found:
                yield verification_to(report)

    @answers_errors
    async def GetTrailState(
        self, request: audit_pb2.GetTrailStateRequest, context: Context
    ) -> audit_pb2.GetTrailStateResponse:
        """The trail at one glance."""
        del request, context
        return state_to(await self._service.state())

    @answers_errors
    async def ListSavedSearches(
        self, request: audit_pb2.ListSavedSearchesRequest, context: Context
    ) -> audit_pb2.ListSavedSearchesResponse:
        """By name."""
        del request, context
        searches = [search_to(search) for search in await self._service.saved()]
        return audit_pb2.ListSavedSearchesResponse(searches=searches)

    @answers_errors
    async def SaveSearch(
        self, request: audit_pb2.SavedSearch, context: Context
    ) -> audit_pb2.SaveSearchResponse:
        """Durable on return."""
        del context
        await self._service.save(search_from(request))
        return audit_pb2.SaveSearchResponse()

    @answers_errors
    async def ForgetSearch(
        self, request: audit_pb2.ForgetSearchRequest, context: Context
    ) -> audit_pb2.ForgetSearchResponse:
        """Gone on return."""
        del context
        await self._service.forget(request.name)
        return audit_pb2.ForgetSearchResponse()

    @answers_errors
    async def ListHolds(
        self, request: audit_pb2.ListHoldsRequest, context: Context
    ) -> audit_pb2.ListHoldsResponse:
        """By name."""
        del request, context
        holds = [hold_to(hold) for hold in await self._service.holds()]
        return audit_pb2.ListHoldsResponse(holds=holds)

    @answers_errors
    async def AddHold(
        self, request: audit_pb2.LegalHold, context: Context
    ) -> audit_pb2.AddHoldResponse:
        """Durable on return."""
        del context
        await self._service.hold(hold_from(request))
        return audit_pb2.AddHoldResponse()

    @answers_errors
    async def ReleaseHold(
        self, request: audit_pb2.ReleaseHoldRequest, context: Context
    ) -> audit_pb2.ReleaseHoldResponse:
        """Gone on return."""
        del context
        await self._service.release(request.name)
        return audit_pb2.ReleaseHoldResponse()


def _batches(entries: Sequence[Entry]) -> Iterator[audit_pb2.SearchRecordsResponse]:
    for start in range(0, len(entries), _RECORDS):
        page = entries[start : start + _RECORDS]
        yield audit_pb2.SearchRecordsResponse(
            records=[audit_event_to(entry.event) for entry in page],
            places=[place_to(entry.place) for entry in page],
        )


def add_to(server: grpc.aio.Server, service: AuditTrail) -> Sequence[str]:
    """Register the service; answers with its full name."""
    audit_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(service), server)
    return [audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name]
