"""`core.audit_api.AuditTrail` in another process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc.aio

from isocenter.core.audit import AuditFilter, By, Entry, Tally
from isocenter.core.audit_api import Head, Hold, SavedSearch, TrailState, Verification
from isocenter.runtime.audit_messages import (
    BYS,
    audit_event_from,
    audit_filter_to,
    entry_from,
    head_to,
    hold_from,
    hold_to,
    place_from,
    search_from,
    search_to,
    state_from,
    tally_from,
    verification_from,
)
from isocenter.runtime.rpc_channel import UNARY_SECONDS, connected
from isocenter.runtime.rpc_errors import raised_by_peer
from isocenter.runtime.rpc_stream import download
from isocenter.v1 import audit_pb2, audit_pb2_grpc

_Records = grpc.aio.UnaryStreamCall[Any, audit_pb2.SearchRecordsResponse]


class AuditClient:
    """Calls the audit role over a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = audit_pb2_grpc.AuditServiceStub(channel)

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """Newest first."""
        await connected(self._channel)
        request = audit_pb2.SearchRecordsRequest(
            which=audit_filter_to(which), limit=limit, before=before
        )
        return await _entries(self._stub.SearchRecords(request, timeout=UNARY_SECONDS))

    async def count(self, which: AuditFilter) -> int:
        """How many records there are."""
        await connected(self._channel)
        with raised_by_peer():
            response = await self._stub.CountRecords(audit_filter_to(which), timeout=UNARY_SECONDS)
        return response.count

    async def get(self, record: str) -> Entry:
        """The record with this id."""
        await connected(self._channel)
        request = audit_pb2.GetRecordRequest(id=record)
        with raised_by_peer():
            return entry_from(await self._stub.GetRecord(request, timeout=UNARY_SECONDS))

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """Counts."""
        await connected(self._channel)
        request = audit_pb2.TallyRecordsRequest(
            which=audit_filter_to(which), by=[BYS[one] for one in by]
        )
        with raised_by_peer():
            response = await self._stub.TallyRecords(request, timeout=UNARY_SECONDS)
        return [tally_from(tally) for tally in response.tallies]

    async def story(self, instance: str) -> Sequence[Entry]:
        """Everything that happened to an object."""
        await connected(self._channel)
        request = audit_pb2.GetStoryRequest(instance=instance)
        return await _entries(self._stub.GetStory(request, timeout=UNARY_SECONDS))

    async def prove(self, record: str) -> bytes:
        """The file of an inclusion proof."""
        await connected(self._channel)
        request = audit_pb2.GetRecordRequest(id=record)
        with raised_by_peer():
            return (await self._stub.ProveRecord(request, timeout=UNARY_SECONDS)).proof

    async def verify(
        self, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        """Progress, and the result."""
        await connected(self._channel)
        request = audit_pb2.VerifyTrailRequest(trust=trust, heads=[head_to(one) for one in heads])
        async with aclosing(download(self._stub.VerifyTrail(request))) as reports:
            async for report in reports:
                yield verification_from(report)

    async def state(self) -> TrailState:
        """The trail at one glance."""
        await connected(self._channel)
        request = audit_pb2.GetTrailStateRequest()
        with raised_by_peer():
            return state_from(await self._stub.GetTrailState(request, timeout=UNARY_SECONDS))

    async def saved(self) -> Sequence[SavedSearch]:
        """Saved searches."""
        await connected(self._channel)
        request = audit_pb2.ListSavedSearchesRequest()
        with raised_by_peer():
            response = await self._stub.ListSavedSearches(request, timeout=UNARY_SECONDS)
        return [search_from(search) for search in response.searches]

    async def save(self, search: SavedSearch) -> None:
        """Keep a search."""
        await connected(self._channel)
        with raised_by_peer():
            await self._stub.SaveSearch(search_to(search), timeout=UNARY_SECONDS)

    async def forget(self, name: str) -> None:
        """Remove a saved search."""
        await connected(self._channel)
        request = audit_pb2.ForgetSearchRequest(name=name)
        with raised_by_peer():
            await self._stub.ForgetSearch(request, timeout=UNARY_SECONDS)

    async def holds(self) -> Sequence[Hold]:
        """The legal holds."""
        await connected(self._channel)
        request = audit_pb2.ListHoldsRequest()
        with raised_by_peer():
            response = await self._stub.ListHolds(request, timeout=UNARY_SECONDS)
        return [hold_from(hold) for hold in response.holds]

    async def hold(self, hold: Hold) -> None:
        """Stop expiry."""
        await connected(self._channel)
        with raised_by_peer():
            await self._stub.AddHold(hold_to(hold), timeout=UNARY_SECONDS)

    async def release(self, name: str) -> None:
        """End a legal hold."""
        await connected(self._channel)
        request = audit_pb2.ReleaseHoldRequest(name=name)
        with raised_by_peer():
            await self._stub.ReleaseHold(request, timeout=UNARY_SECONDS)


async def _entries(call: _Records) -> Sequence[Entry]:
    found: list[Entry] = []
    async with aclosing(download(call)) as responses:
        async for response in responses:
            found.extend(
                Entry(audit_event_from(record), place_from(place))
                for record, place in zip(response.records, response.places, strict=True)
            )
    return found
