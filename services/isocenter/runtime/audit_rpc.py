"""The audit trail over gRPC, for roles and for programs: the servicer of `core.audit_api`.

What programs read and change is recorded (`trail_access`); what roles do was recorded by the edge
in whose caller's name they do it.
"""

# ruff: noqa: N802 - the methods are named in the proto

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Protocol

import grpc.aio

from isocenter.core.access_api import Asker
from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.audit_api import AuditTrail, Head, Hold, SavedSearch, Verification
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
from isocenter.runtime.audit_reading import EVERYTHING
from isocenter.runtime.rpc_callers import Context, asker_of
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.streams import generator
from isocenter.runtime.wire import enum_from
from isocenter.v1 import audit_pb2, audit_pb2_grpc

_RECORDS = 200  # of one message


class Access(Protocol):
    """How the trail is reached: see `trail_access.TrailAccess`."""

    async def read(self, asker: Asker, what: str, which: AuditFilter = EVERYTHING) -> AuditTrail:
        """The trail for a reading."""
        ...

    def asked(self, which: AuditFilter) -> AuditFilter:
        """The filter, if it may be asked by. Raises `Invalid`."""
        ...

    async def save(self, asker: Asker, search: SavedSearch) -> object:
        """Keep a search."""
        ...

    async def forget(self, asker: Asker, name: str) -> None:
        """Remove a saved search."""
        ...

    async def hold(self, asker: Asker, hold: Hold) -> object:
        """Place a legal hold."""
        ...

    async def release(self, asker: Asker, name: str) -> None:
        """End a legal hold."""
        ...

    def verify(
        self, asker: Asker, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        """How far a verification is; the last one is the result."""
        ...


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Answers calls with the trail that it has access to."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def _filter(self, message: audit_pb2.AuditFilter) -> AuditFilter:
        return self._access.asked(audit_filter_from(message))

    @answers_errors
    async def SearchRecords(
        self, request: audit_pb2.SearchRecordsRequest, context: Context
    ) -> AsyncIterator[audit_pb2.SearchRecordsResponse]:
        """Newest first, in batches."""
        which = self._filter(request.which)
        trail = await self._access.read(asker_of(context), "search", which)
        for batch in _batches(await trail.search(which, request.limit, request.before)):
            yield batch

    @answers_errors
    async def CountRecords(
        self, request: audit_pb2.AuditFilter, context: Context
    ) -> audit_pb2.CountRecordsResponse:
        """How many records there are."""
        which = self._filter(request)
        trail = await self._access.read(asker_of(context), "count", which)
        count = await trail.count(which)
        return audit_pb2.CountRecordsResponse(count=count)

    @answers_errors
    async def GetRecord(
        self, request: audit_pb2.GetRecordRequest, context: Context
    ) -> audit_pb2.AuditEntry:
        """One record."""
        trail = await self._access.read(asker_of(context), f"record {request.id!a:.66}")
        return entry_to(await trail.get(request.id))

    @answers_errors
    async def TallyRecords(
        self, request: audit_pb2.TallyRecordsRequest, context: Context
    ) -> audit_pb2.TallyRecordsResponse:
        """Counts."""
        which, by = (
            self._filter(request.which),
            [enum_from(BYS, one) for one in request.by],
        )
        trail = await self._access.read(asker_of(context), "tally", which)
        found = await trail.tally(which, by)
        return audit_pb2.TallyRecordsResponse(tallies=[tally_to(tally) for tally in found])

    @answers_errors
    async def GetStory(
        self, request: audit_pb2.GetStoryRequest, context: Context
    ) -> AsyncIterator[audit_pb2.SearchRecordsResponse]:
        """Everything that happened to an object."""
        which = AuditFilter(instance=request.instance)
        trail = await self._access.read(asker_of(context), "story", which)
        for batch in _batches(await trail.story(request.instance)):
            yield batch

    @answers_errors
    async def ProveRecord(
        self, request: audit_pb2.GetRecordRequest, context: Context
    ) -> audit_pb2.ProveRecordResponse:
        """An inclusion proof."""
        what = f"proof of record {request.id!a:.66}"
        trail = await self._access.read(asker_of(context), what)
        return audit_pb2.ProveRecordResponse(proof=await trail.prove(request.id))

    @answers_errors
    async def VerifyTrail(
        self, request: audit_pb2.VerifyTrailRequest, context: Context
    ) -> AsyncIterator[audit_pb2.VerifyTrailResponse]:
        """Progress, and the result."""
        heads = [head_from(head) for head in request.heads]
        reports = self._access.verify(asker_of(context), tuple(request.trust), heads)
        async with aclosing(generator(reports)) as found:
            async for report in found:
                yield verification_to(report)

    @answers_errors
    async def GetTrailState(
        self, request: audit_pb2.GetTrailStateRequest, context: Context
    ) -> audit_pb2.GetTrailStateResponse:
        """The trail at one glance."""
        del request
        trail = await self._access.read(asker_of(context), "state")
        return state_to(await trail.state())

    @answers_errors
    async def ListSavedSearches(
        self, request: audit_pb2.ListSavedSearchesRequest, context: Context
    ) -> audit_pb2.ListSavedSearchesResponse:
        """By name."""
        del request
        trail = await self._access.read(asker_of(context), "saved searches")
        searches = [search_to(search) for search in await trail.saved()]
        return audit_pb2.ListSavedSearchesResponse(searches=searches)

    @answers_errors
    async def SaveSearch(
        self, request: audit_pb2.SavedSearch, context: Context
    ) -> audit_pb2.SaveSearchResponse:
        """Durable on return."""
        await self._access.save(asker_of(context), search_from(request))
        return audit_pb2.SaveSearchResponse()

    @answers_errors
    async def ForgetSearch(
        self, request: audit_pb2.ForgetSearchRequest, context: Context
    ) -> audit_pb2.ForgetSearchResponse:
        """Gone on return."""
        await self._access.forget(asker_of(context), request.name)
        return audit_pb2.ForgetSearchResponse()

    @answers_errors
    async def ListHolds(
        self, request: audit_pb2.ListHoldsRequest, context: Context
    ) -> audit_pb2.ListHoldsResponse:
        """By name."""
        del request
        trail = await self._access.read(asker_of(context), "legal holds")
        holds = [hold_to(hold) for hold in await trail.holds()]
        return audit_pb2.ListHoldsResponse(holds=holds)

    @answers_errors
    async def AddHold(
        self, request: audit_pb2.LegalHold, context: Context
    ) -> audit_pb2.AddHoldResponse:
        """Durable on return."""
        await self._access.hold(asker_of(context), hold_from(request))
        return audit_pb2.AddHoldResponse()

    @answers_errors
    async def ReleaseHold(
        self, request: audit_pb2.ReleaseHoldRequest, context: Context
    ) -> audit_pb2.ReleaseHoldResponse:
        """Gone on return."""
        await self._access.release(asker_of(context), request.name)
        return audit_pb2.ReleaseHoldResponse()


def _batches(entries: Sequence[Entry]) -> Iterator[audit_pb2.SearchRecordsResponse]:
    for start in range(0, len(entries), _RECORDS):
        page = entries[start : start + _RECORDS]
        yield audit_pb2.SearchRecordsResponse(
            records=[audit_event_to(entry.event) for entry in page],
            places=[place_to(entry.place) for entry in page],
        )


def add_to(server: grpc.aio.Server, servicer: AuditServicer) -> Sequence[str]:
    """Register the service; answers with its full name."""
    audit_pb2_grpc.add_AuditServiceServicer_to_server(servicer, server)
    return [audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name]
