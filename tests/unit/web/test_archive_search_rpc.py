"""`ArchiveService` searches as QIDO-RS does, tells of changes, and of itself by reflection."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import grpc
import grpc.aio
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from isocenter.core.events import TOPIC_INSTANCES, InstanceStored, Source
from isocenter.core.identity import InstanceName
from isocenter.core.matching import Key, Level
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.runtime.event_codec import encode
from isocenter.v1 import archive_pb2 as pb
from isocenter.v1 import query_pb2
from support.archive_calls import INSTANCE, channel_to, failed, served
from support.web_fakes import CT, SERIES, STUDY, Web, study

# --- search --------------------------------------------------------------------------------------


async def test_a_search_is_that_of_qido() -> None:
    web = Web()
    web.query.answers = [study(n) for n in range(5)]
    web.query.batch = 2
    request = pb.SearchArchiveRequest(
        level=query_pb2.LEVEL_STUDY,
        match=[
            pb.SearchArchiveRequest.Match(attribute="PatientName", value="Doe*"),
            pb.SearchArchiveRequest.Match(attribute="NoSuchKeyword.X", value="1"),
        ],
        include=["StudyDescription"], limit=4, offset=1, fuzzy=True, order=["-StudyDate"],
    )  # fmt: skip
    request.match.pop()
    async with served(web) as stub:
        answers = [answer async for answer in stub.SearchArchive(request)]
        found = [json.loads(one) for answer in answers for one in answer.answers]
        assert found == [study(n) for n in range(1, 5)]
        (search,) = web.query.searches
        assert search.keys == (Key("00100010", "PN", ("Doe*",)),)
        assert (search.level, search.limit, search.offset) == (Level.STUDY, 4, 1)
        assert (search.fuzzy, search.order[0].descending) == (True, True)
        assert "00081030" in search.include
        assert (await stub.CountArchive(request)).count == 5
    assert [(action, record["query"]) for action, record in web.audit.records] == [
        ("query", "PatientName=Doe*")
    ] * 2
    details = [record["detail"].split()[:2] for _, record in web.audit.records]
    assert details == [["gRPC", "SearchArchive"], ["gRPC", "CountArchive"]]


@pytest.mark.parametrize(
    "request_",
    [
        pb.SearchArchiveRequest(level=query_pb2.LEVEL_PATIENT),
        pb.SearchArchiveRequest(
            match=[pb.SearchArchiveRequest.Match(attribute="StudyDate", value="yesterday")]
        ),
        pb.SearchArchiveRequest(order=["PatientWeight"]),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(request_) -> None:
    async with served(Web()) as stub:
        error = await failed(stub.SearchArchive(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_batch_of_long_answers_goes_in_messages_that_every_program_takes() -> None:
    web = Web()
    long = {"00081030": {"vr": "LO", "Value": ["x" * 100_000]}}
    web.query.answers = [{**study(n), **long} for n in range(100)]
    async with served(web) as stub:
        answers = [one async for one in stub.SearchArchive(pb.SearchArchiveRequest())]
    assert len(answers) > 1
    found = [json.loads(one) for answer in answers for one in answer.answers]
    assert found == web.query.answers


@pytest.mark.parametrize("name", ["accept", "offset", "limit", "includefield", "NoKeyword", ""])
async def test_a_match_of_what_is_no_attribute_is_refused(name: str) -> None:
    web = Web()
    match = [pb.SearchArchiveRequest.Match(attribute=name, value="1")]
    async with served(web) as stub:
        error = await failed(stub.SearchArchive(pb.SearchArchiveRequest(match=match)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "`match`" in str(error.details())
    assert web.query.searches == []


# --- changes and reflection ----------------------------------------------------------------------

STORED = InstanceStored(
    InstanceName("main", STUDY, SERIES, INSTANCE), CT, EXPLICIT_VR_LITTLE_ENDIAN, "key", "d" * 64,
    1000, 132, 500, b"PatientName", Source("CLI"), datetime(2026, 1, 2, tzinfo=UTC),
    patient_id="SECRET",
)  # fmt: skip


async def test_changes_are_watched_from_any_position_on() -> None:
    web = Web()
    await web.bus.append(TOPIC_INSTANCES, [encode(STORED)])
    async with served(web) as stub:
        call = stub.WatchChanges(pb.WatchChangesRequest(since="oldest"))
        async with asyncio.timeout(20):
            begin = await call.read()
            assert (begin.id, begin.data) == ("", "")
            first = await call.read()
            assert json.loads(first.data)["instance"] == INSTANCE
            assert "SECRET" not in str(first)
            later = replace(STORED, name=replace(STORED.name, instance="1.2.3.4.6"))
            await web.bus.append(TOPIC_INSTANCES, [encode(later)])
            second = await call.read()
            assert json.loads(second.data)["instance"] == "1.2.3.4.6"
        call.cancel()
        for position, following in ((first.position, second), (begin.position, first)):
            again = stub.WatchChanges(pb.WatchChangesRequest(since=position))
            async with asyncio.timeout(20):
                assert (await again.read()).position == position
                assert (await again.read()).id == following.id
            again.cancel()
        error = await failed(stub.WatchChanges(pb.WatchChangesRequest(since="yesterday")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_whoever_watches_from_now_on_is_told_at_once_where_that_is() -> None:
    web = Web()
    await web.bus.append(TOPIC_INSTANCES, [encode(STORED)])
    async with served(web) as stub:
        call = stub.WatchChanges(pb.WatchChangesRequest())
        async with asyncio.timeout(20):
            begin = await call.read()
            call.cancel()
            later = replace(STORED, name=replace(STORED.name, instance="1.2.3.4.6"))
            await web.bus.append(TOPIC_INSTANCES, [encode(later)])
            again = stub.WatchChanges(pb.WatchChangesRequest(since=begin.position))
            await again.read()
            assert json.loads((await again.read()).data)["instance"] == "1.2.3.4.6"
        again.cancel()


async def test_whoever_watches_is_told_when_the_process_stops() -> None:
    web = Web()
    async with served(web) as stub:
        call = stub.WatchChanges(pb.WatchChangesRequest())
        async with asyncio.timeout(20):
            await call.read()
            web.feed.stop()
            assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_reflection_tells_of_the_service() -> None:
    async with channel_to(Web()) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = stub.ServerReflectionInfo(iter([request]))
        async for answer in call:
            names = [service.name for service in answer.list_services_response.service]
            assert "isocenter.v1.ArchiveService" in names
            assert not any(name.endswith("StorageService") for name in names)
            break
