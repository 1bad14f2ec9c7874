"""The service APIs for the contract tests: the local object, or its client over gRPC."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest

from isocenter.audit import rpc as audit_rpc
from isocenter.core.access import Caller, Kind, Patient, Right
from isocenter.core.events import Source
from isocenter.indexing import rpc as indexing_rpc
from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.storage import rpc as storage_rpc
from isocenter.transcoding import rpc as transcoding_rpc
from support.fake_audit_trail import ENTRY, FakeAuditTrail
from support.fake_services import (
    FakeIndexing,
    FakeIngest,
    FakeQuery,
    FakeStorage,
    FakeTranscoding,
)
from support.rpc_fixture import served

SOURCE = Source("DIMSE", "192.0.2.1", "CT1", "ISOCENTER", "eva", "CN=ct1", known=False)
CALLER = Caller(
    Kind.PERSON,
    "eva",
    roles=("viewer", "technologist"),
    groups=("ward 3",),
    sites=("north", "south"),
    only=frozenset({Right.SEARCH, Right.READ}),
    studies=("1.2", "1.3"),
    emergencies=(Patient("P*1", "HOSPITAL"), Patient("P2")),
)
ENOUGH = 10  # seconds


class Pair(NamedTuple):
    """A service as a caller sees it, and the object behind it."""

    api: object
    fake: object


SERVICES = {
    "ingest": (FakeIngest, ingest_rpc.add_to, ingest_rpc.IngestClient),
    "storage": (FakeStorage, storage_rpc.add_to, storage_rpc.StorageClient),
    "query": (FakeQuery, query_rpc.add_to, query_rpc.QueryClient),
    "transcoding": (FakeTranscoding, transcoding_rpc.add_to, transcoding_rpc.TranscodingClient),
    "audit": (lambda: FakeAuditTrail([ENTRY] * 450), audit_rpc.add_to, audit_rpc.AuditClient),
    "indexing": (FakeIndexing, indexing_rpc.add_to, indexing_rpc.IndexingClient),
}


@pytest.fixture(params=["local", "grpc"])
async def service(request):
    """Makes a pair by the name of a service."""
    async with AsyncExitStack() as stack:

        async def make(name: str) -> Pair:
            fake_type, add_to, client = SERVICES[name]
            fake = fake_type()
            if request.param == "local":
                return Pair(fake, fake)
            channel = await stack.enter_async_context(served(lambda server: add_to(server, fake)))
            made = client(channel)
            if name == "transcoding":
                stack.push_async_callback(made.close)
                await made.ready()
            return Pair(made, fake)

        yield make


async def parts(*values):
    for value in values:
        yield value


async def failing(fake, *values):
    """Fails once the service has begun."""
    for value in values:
        yield value
    while not fake.asked:
        await asyncio.sleep(0.001)
    raise ZeroDivisionError


async def reused(*values):
    """Every value in the same buffer, as a protocol edge gives them."""
    buffer = bytearray(max(map(len, values)))
    for value in values:
        buffer[: len(value)] = value
        yield memoryview(buffer)[: len(value)]


async def all_of(values):
    return [value async for value in values]
