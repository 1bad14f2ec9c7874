"""gRPC calls: one trace on both sides, every kind of call, every way to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import grpc.aio
import pytest

from isocenter.core.access import SYSTEM, Caller
from isocenter.core.apis import Announcement
from isocenter.core.errors import NotFound, Refused, Unavailable
from isocenter.core.events import Source
from isocenter.core.matching import Level, Search
from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.runtime.instruments import RPC_CLIENT_DURATION, RPC_SERVER_DURATION
from isocenter.runtime.rpc_channel import open_channel
from isocenter.runtime.rpc_server import new_server
from isocenter.runtime.rpc_tracing import TracedChannel, TracedServing
from isocenter.storage import rpc as storage_rpc
from support.fake_services import FakeIngest, FakeQuery, FakeStorage
from support.objects import chunks
from support.telemetry import Recorder

STORE = "isocenter.v1.IngestService/Store"
SEARCH = "isocenter.v1.QueryService/Search"
COUNT = "isocenter.v1.QueryService/Count"
STAGE = "isocenter.v1.StorageService/Stage"
STAT = "isocenter.v1.StorageService/Stat"
ANNOUNCEMENT = Announcement(Source("DIMSE"), SYSTEM, "1.2.840.10008.1.2.1")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@asynccontextmanager
async def served(recorder: Recorder, rpc, fake) -> AsyncIterator[grpc.aio.Channel]:
    server = new_server(interceptors=[TracedServing(recorder.telemetry)])
    rpc.add_to(server, fake)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = TracedChannel(open_channel(f"127.0.0.1:{port}"), recorder.telemetry)
    try:
        yield cast("grpc.aio.Channel", channel)
    finally:
        await channel.close()
        await server.stop(grace=None)


async def both(recorder: Recorder, method: str, code: str) -> None:
    """Both sides have measured a call with this status."""
    async with asyncio.timeout(5):
        while not all(
            recorder.values(metric).get((method, code))
            for metric in (RPC_CLIENT_DURATION, RPC_SERVER_DURATION)
        ):
            await asyncio.sleep(0.01)


async def test_a_call_is_one_trace_on_both_sides(recorder) -> None:
    async with served(recorder, query_rpc, FakeQuery()) as channel:
        with recorder.telemetry.span("request") as request:
            await query_rpc.QueryClient(channel).count(SYSTEM, Search(Level.STUDY))
        await both(recorder, COUNT, "OK")
    server, client = [span for span in recorder.spans if span.name == COUNT]
    assert (server.kind.name, client.kind.name) == ("SERVER", "CLIENT")
    assert server.parent is not None
    assert client.parent is not None
    assert server.parent.span_id == client.context.span_id
    assert f"{client.parent.span_id:016x}" in request.traceparent
    assert client.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "isocenter.v1.QueryService",
        "rpc.method": "Count",
        "rpc.grpc.status_code": 0,
    }


async def test_the_service_works_below_the_callers_trace(recorder) -> None:
    fake = FakeQuery()
    seen: list[str] = []

    async def search(caller: Caller, asked: Search):
        seen.append(recorder.telemetry.headers()["traceparent"])
        yield [FakeQuery.MATCH]

    fake.search = search  # type: ignore[method-assign]
    async with served(recorder, query_rpc, fake) as channel:
        with recorder.telemetry.span("request") as request:
            found = query_rpc.QueryClient(channel).search(SYSTEM, Search(Level.STUDY))
            assert [len(batch) async for batch in found] == [1]
    (trace,) = seen
    assert trace.split("-")[1] == request.traceparent.split("-")[1]


async def test_without_a_trace_calls_are_measured_and_the_server_begins_one(recorder) -> None:
    async with served(recorder, query_rpc, FakeQuery()) as channel:
        await query_rpc.QueryClient(channel).count(SYSTEM, Search(Level.STUDY))
        await both(recorder, COUNT, "OK")
    assert recorder.span(COUNT).kind.name == "SERVER"
    assert recorder.span(COUNT).parent is None


async def test_an_upload_a_download_and_an_exchange_are_measured(recorder) -> None:
    async with served(recorder, ingest_rpc, FakeIngest()) as channel:
        await ingest_rpc.IngestClient(channel).store(ANNOUNCEMENT, chunks(bytes(3_000_000)))
        await both(recorder, STORE, "OK")
    async with served(recorder, query_rpc, FakeQuery()) as channel:
        found = query_rpc.QueryClient(channel).search(SYSTEM, Search(Level.STUDY))
        assert [len(batch) async for batch in found] == [2, 1]
        await both(recorder, SEARCH, "OK")
    storage = FakeStorage()
    async with (
        served(recorder, storage_rpc, storage) as channel,
        await storage_rpc.StorageClient(channel).stage() as staged,
    ):
        await staged.write(bytes(3_000_000))
        await staged.commit("k/1", staged.digest())
    assert len(storage.kept["k/1"]) == 3_000_000
    kinds = {span.kind.name for span in recorder.spans if span.name == STAGE}
    assert kinds == {"SERVER"}  # the caller's is no trace


async def test_what_a_service_raises_is_raised_and_is_the_calls_status(recorder) -> None:
    fake = FakeStorage()
    async with served(recorder, storage_rpc, fake) as channel:
        client = storage_rpc.StorageClient(channel)
        with pytest.raises(NotFound), recorder.telemetry.span("request"):
            await client.stat("absent/1")
        await both(recorder, STAT, "NOT_FOUND")
        fake.error = Unavailable("the disk of Doe^Jane failed")
        with pytest.raises(Unavailable), recorder.telemetry.span("request"):
            await client.stat("absent/1")
        await both(recorder, STAT, "UNAVAILABLE")
    failed = [not span.status.is_ok for span in recorder.spans if span.name == STAT]
    assert failed == [False, False, True, True]
    assert "Doe^Jane" not in str([span.to_json() for span in recorder.spans])


async def test_an_upload_that_is_refused_while_it_goes_on_raises_why(recorder) -> None:
    fake = FakeIngest()
    fake.error = Refused("not from you")
    async with served(recorder, ingest_rpc, fake) as channel:
        with pytest.raises(Refused):
            await ingest_rpc.IngestClient(channel).store(ANNOUNCEMENT, chunks(bytes(10_000_000)))
        await both(recorder, STORE, "PERMISSION_DENIED")


async def test_a_call_that_is_left_early_ends_on_both_sides(recorder) -> None:
    fake = FakeQuery()
    fake.endless = True
    async with served(recorder, query_rpc, fake) as channel:
        found = query_rpc.QueryClient(channel).search(SYSTEM, Search(Level.STUDY))
        async with aclosing(found) as batches:
            await anext(batches)
        await both(recorder, SEARCH, "CANCELLED")
        await asyncio.wait_for(fake.closed.wait(), 5)
