"""The audit trail for programs over gRPC: what they are answered, and what is recorded of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditAction
from isocenter.v1 import audit_pb2, audit_pb2_grpc, common_pb2
from support.archive_calls import channel_to, failed
from support.audited import event
from support.memory_trail import MemoryTrail
from support.web_fakes import Web

EARLY, LATE = Timestamp(seconds=1_700_000_000), Timestamp(seconds=1_700_000_001)
WHY = (("purpose-of-use", "an inspection"),)


@asynccontextmanager
async def served(web: Web) -> AsyncIterator[audit_pb2_grpc.AuditServiceAsyncStub]:
    async with channel_to(web) as channel:
        yield audit_pb2_grpc.AuditServiceStub(channel)


@pytest.fixture
def web() -> Web:
    trail = MemoryTrail()
    for number in range(450):
        trail.keep(event(number, patient_ids=(f"P{number % 2}",)))
    return Web(trail=trail)


async def test_a_search_is_answered_in_batches_and_recorded_with_the_caller(web: Web) -> None:
    which = audit_pb2.AuditFilter(patient_id="P1")
    async with served(web) as audit:
        request = audit_pb2.SearchRecordsRequest(which=which, limit=1000)
        batches = [one async for one in audit.SearchRecords(request, metadata=WHY)]
        counted = await audit.CountRecords(which, metadata=WHY)
    found = [record for batch in batches for record in batch.records]
    assert len(batches) > 1
    assert len(found) == counted.count == 225
    assert {tuple(record.patient_ids) for record in found} == {("P1",)}
    assert len({place.sequence for batch in batches for place in batch.places}) == 225
    assert [action for action, _ in web.audit.records] == ["audit", "audit"]
    searched, count = (fields for _, fields in web.audit.records)
    assert (searched["detail"], count["detail"]) == ("audit trail search", "audit trail count")
    assert searched["query"] == "patient_id=P1"
    assert searched["patient_ids"] == ("P1",)
    assert searched["source"].protocol == "gRPC"
    assert searched["source"].purpose == "an inspection"
    assert not searched["source"].known


async def test_what_is_kept_is_kept_in_the_caller_s_name_whatever_it_says(web: Web) -> None:
    someone = common_pb2.Source(protocol="DIMSE", user="somebody else")
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with served(web) as audit:
        await audit.SaveSearch(audit_pb2.SavedSearch(name="mine", by=someone), metadata=WHY)
        await audit.AddHold(audit_pb2.LegalHold(name="case", reason="a court", by=someone))
        (search,) = (await audit.ListSavedSearches(audit_pb2.ListSavedSearchesRequest())).searches
        (hold,) = (await audit.ListHolds(audit_pb2.ListHoldsRequest())).holds
    assert (search.by.protocol, search.by.user, search.by.purpose) == ("gRPC", "", "an inspection")
    assert (hold.by.protocol, hold.by.user, hold.reason) == ("gRPC", "", "a court")
    assert hold.at.ToDatetime(UTC) > before
    assert [fields["detail"] for _, fields in web.audit.records] == [
        "saved search mine: ",
        "legal hold case: a court",
        "audit trail saved searches",
        "audit trail legal holds",
    ]


async def test_a_verification_is_recorded_with_its_result(web: Web) -> None:
    async with served(web) as audit:
        reports = [one async for one in audit.VerifyTrail(audit_pb2.VerifyTrailRequest())]
    assert reports[-1].done
    assert [action for action, _ in web.audit.records] == [
        AuditAction.AUDIT.value, AuditAction.VERIFY.value,
    ]  # fmt: skip


async def test_what_is_not_there_is_told_and_the_attempt_is_recorded(web: Web) -> None:
    async with served(web) as audit:
        error = await failed(audit.GetRecord(audit_pb2.GetRecordRequest(id="no\nthing" * 100)))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        error = await failed(audit.ReleaseHold(audit_pb2.ReleaseHoldRequest(name="none")))
        assert error.code() is grpc.StatusCode.NOT_FOUND
    read, begun, released = (fields for _, fields in web.audit.records)
    assert read["detail"].startswith("audit trail record 'no\\nthing")
    assert len(read["detail"]) < 100
    assert begun["detail"] == released["detail"] == "legal hold none: released"
    assert "none" in released["error"]


@pytest.mark.parametrize(
    "request_",
    [
        audit_pb2.SearchRecordsRequest(
            which=audit_pb2.AuditFilter(since=LATE, until=EARLY), limit=1
        ),
        audit_pb2.SearchRecordsRequest(which=audit_pb2.AuditFilter(actions=[999]), limit=1),
        audit_pb2.SearchRecordsRequest(limit=2**40),
    ],
    ids=["times", "action", "limit"],
)
async def test_a_bad_question_is_refused(web: Web, request_: object) -> None:
    async with served(web) as audit:
        error = await failed(audit.SearchRecords(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details()


@pytest.mark.parametrize(
    "search",
    [
        audit_pb2.SavedSearch(name="long", days=2**32 - 1),
        audit_pb2.SavedSearch(name="both", days=7, which=audit_pb2.AuditFilter(since=EARLY)),
    ],
    ids=["too many days", "days and since"],
)
async def test_a_search_that_cannot_be_made_is_not_kept(
    web: Web, search: audit_pb2.SavedSearch
) -> None:
    async with served(web) as audit:
        error = await failed(audit.SaveSearch(search))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "days" in (error.details() or "")
    assert web.trail.searches == {}


async def test_without_the_log_nothing_is_read(web: Web) -> None:
    web.audit.error = Unavailable("neither the log nor the object store takes an event")
    async with served(web) as audit:
        error = await failed(audit.CountRecords(audit_pb2.AuditFilter()))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_where_the_trail_is_not_read_here_nobody_reads_it(web: Web) -> None:
    web.settings = web.settings.model_copy(update={"audit": False})
    async with served(web) as audit:
        error = await failed(audit.GetTrailState(audit_pb2.GetTrailStateRequest()))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        hold = audit_pb2.LegalHold(name="case", reason="a court")
        assert (await failed(audit.AddHold(hold))).code() is grpc.StatusCode.PERMISSION_DENIED
    assert web.audit.records == []
    assert web.trail.held == {}
