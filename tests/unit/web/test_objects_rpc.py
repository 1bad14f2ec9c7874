"""Objects by their keys, for programs that follow the events: whole, recorded, and only to whoever
may take the study away."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager

import grpc
import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import EVERYONE, Caller, Kind, Policy
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from isocenter.v1 import objects_pb2 as pb
from isocenter.v1 import objects_pb2_grpc
from support.archive_calls import channel_to, failed
from support.web_fakes import SERIES, STUDY, Web

CONTENT = bytes(range(256)) * 4096  # several chunks
OBJECT = ObjectName(
    InstanceName("main", STUDY, SERIES, "1.2.3.4.5"), hashlib.sha256(CONTENT).hexdigest()
)


@asynccontextmanager
async def objects_of(web, content=CONTENT, rules=(EVERYONE,)):
    """The service over a storage that keeps the object with this content, under these rules."""
    guard, blobs = PolicyGuard(lambda: Policy(rules)), MemoryBlobs()
    if content:
        await blobs.put(OBJECT.key, [content], hashlib.sha256(content).hexdigest())
    storage = StorageService(blobs=blobs, settings=StorageSettings(), guard=guard)
    async with channel_to(web, storage=storage, guard=guard) as channel:
        yield objects_pb2_grpc.ObjectServiceStub(channel)


def outcomes(web: Web) -> list[tuple[str, str, str]]:
    return [
        (record["outcome"].value, record["detail"], record["source"].purpose)
        for _, record in web.audit.records
    ]


async def test_an_object_comes_as_it_was_stored_and_is_recorded_before() -> None:
    web = Web()
    async with objects_of(web) as objects:
        asked = pb.GetObjectRequest(key=OBJECT.key, purpose="research")
        assert b"".join([chunk.data async for chunk in objects.GetObject(asked)]) == CONTENT
    assert outcomes(web) == [("success", "gRPC GetObject", "research")]


async def test_an_object_that_changed_ends_without_its_last_chunk() -> None:
    web = Web()
    async with objects_of(web, CONTENT[:-1] + b"?") as objects:
        error = await failed(objects.GetObject(pb.GetObjectRequest(key=OBJECT.key)))
    assert error.code() is grpc.StatusCode.DATA_LOSS


async def test_what_is_not_there_is_asked_for_in_vain_and_recorded() -> None:
    web = Web()
    async with objects_of(web, b"") as objects:
        error = await failed(objects.GetObject(pb.GetObjectRequest(key=OBJECT.key)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert [outcome for outcome, *_ in outcomes(web)] == ["failure"]


@pytest.mark.parametrize("there", [True, False])
async def test_what_a_caller_may_not_take_is_as_if_it_were_not_there(there: bool) -> None:
    web = Web(caller=Caller(Kind.PROGRAM, "research", ("integrator",)))
    async with objects_of(web, CONTENT if there else b"", rules=()) as objects:
        error = await failed(objects.GetObject(pb.GetObjectRequest(key=OBJECT.key)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "no such object is kept here"
    assert [outcome for outcome, *_ in outcomes(web)] == ["failure"]


async def test_without_the_right_to_download_nothing_is_looked_for() -> None:
    web = Web(caller=Caller(Kind.PROGRAM, "auditing", ("auditor",)))
    async with objects_of(web) as objects:
        error = await failed(objects.GetObject(pb.GetObjectRequest(key=OBJECT.key)))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "fields",
    [{"key": "objects/main/../x.dcm"}, {"key": "access/tokens/1"}, {}, {"purpose": "x" * 201}],
)
async def test_what_is_no_object_is_refused(fields: dict[str, str]) -> None:
    async with objects_of(Web()) as objects:
        asked = pb.GetObjectRequest(**{"key": OBJECT.key, **fields} if fields else {})
        error = await failed(objects.GetObject(asked))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
