"""Streams: every step comes to an end."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.core.access import SYSTEM
from isocenter.core.errors import DeadlineExceeded
from isocenter.core.matching import Level, Search
from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.runtime.rpc_stream import download, in_time, send
from isocenter.runtime.wire import search_to
from isocenter.v1 import ingest_pb2, ingest_pb2_grpc, query_pb2_grpc
from support.fake_services import FakeIngest, FakeQuery
from support.rpc_fixture import served
from support.service_pairs import ENOUGH


class Stuck:
    """Begins, and does nothing ever after."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def wait(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_a_stream_that_does_not_go_on_ends_with_the_reason_and_its_work_with_it():
    stuck, fake = Stuck(), FakeQuery()

    async def search(caller, search):
        yield [FakeQuery.MATCH]
        await stuck.wait()

    fake.search = search
    async with served(lambda server: query_rpc.add_to(server, fake)) as channel:
        stub = query_pb2_grpc.QueryServiceStub(channel)
        answers = download(stub.Search(search_to(SYSTEM, Search(Level.STUDY))), patience=0.3)
        async with asyncio.timeout(ENOUGH):
            await anext(answers)
            with pytest.raises(DeadlineExceeded, match="did nothing for 0 s; see its log"):
                await anext(answers)
            await stuck.cancelled.wait()


async def test_a_slow_reader_is_not_taken_for_a_service_that_does_nothing():
    async with served(lambda server: query_rpc.add_to(server, FakeQuery())) as channel:
        stub = query_pb2_grpc.QueryServiceStub(channel)
        answers = download(stub.Search(search_to(SYSTEM, Search(Level.STUDY))), patience=0.3)
        found = [await anext(answers)]
        await asyncio.sleep(0.5)
        found += [answer async for answer in answers]
        assert sum(len(answer.matches) for answer in found) == 3


async def test_an_upload_that_nobody_reads_or_answers_ends_with_the_reason():
    stuck, fake = Stuck(), FakeIngest()

    async def store(announcement, data_set):
        await stuck.wait()

    fake.store = store
    async with served(lambda server: ingest_rpc.add_to(server, fake)) as channel:
        call = ingest_pb2_grpc.IngestServiceStub(channel).Store()
        announcement = ingest_pb2.Announcement(transfer_syntax="1.2")
        await send(call, ingest_pb2.StoreRequest(announcement=announcement))

        async def write_on():
            while True:
                message = ingest_pb2.StoreRequest(data=bytes(2**20))
                await in_time(call.write(message), 0.3)

        async with asyncio.timeout(ENOUGH):
            with pytest.raises(DeadlineExceeded):
                await write_on()
            await stuck.cancelled.wait()
