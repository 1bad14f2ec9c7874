"""Channels: calls go round the copies that take them, and are tried again where that is safe."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from isocenter.core.access import SYSTEM
from isocenter.core.apis import Announcement
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.matching import Level, Search
from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.runtime import rpc_server
from isocenter.runtime.rpc_channel import RETRIED, open_channel
from isocenter.storage import rpc as storage_rpc
from isocenter.v1 import (
    audit_pb2,
    indexing_pb2,
    ingest_pb2,
    query_pb2,
    storage_pb2,
    transcoding_pb2,
)
from support import rpc_process
from support.fake_services import BIG, FakeIngest, FakeStorage
from support.name_server import NameServer
from support.processes import python
from support.rpc_copies import INGEST, SERVICE, Copy, copies
from support.rpc_fixture import served
from support.service_pairs import ENOUGH, SOURCE, all_of, parts

STUDIES = Search(Level.STUDY)
ANNOUNCEMENT = Announcement(SOURCE, SYSTEM, "1.2.840.10008.1.2.1")


@asynccontextmanager
async def client_of(address):
    async with open_channel(address, service=SERVICE) as channel:
        yield query_rpc.QueryClient(channel)


@asynccontextmanager
async def both():
    """One of two copies, their address, and a client that has called each."""
    async with copies(Copy(), Copy()) as (one, two):
        address = f"{one.address},{two.address}"
        async with client_of(address) as client:
            await ask_until(client, lambda: one.asked and two.asked)
            yield one, address, client


async def ask_until(client, condition):
    """Every call on the way must succeed."""
    async with asyncio.timeout(ENOUGH):
        while not condition():
            await client.count(SYSTEM, STUDIES)


# --- balancing -----------------------------------------------------------------------------------


async def test_calls_go_round_all_copies():
    async with copies(Copy(), Copy(), Copy()) as three:
        async with client_of(",".join(copy.address for copy in three)) as client:
            await ask_until(client, lambda: all(copy.asked for copy in three))
            before = [copy.asked for copy in three]
            for _ in range(30):
                await client.count(SYSTEM, STUDIES)
        assert [copy.asked - asked for copy, asked in zip(three, before, strict=True)] == [10] * 3


async def test_a_copy_that_dies_is_not_noticed_and_is_used_again_when_it_is_back():
    async with both() as (one, _, client):
        await one.stop()
        for _ in range(20):
            await client.count(SYSTEM, STUDIES)
            await all_of(client.search(SYSTEM, STUDIES))
        await one.start()
        asked = one.asked
        await ask_until(client, lambda: one.asked > asked)


async def test_a_copy_that_is_draining_gets_no_new_calls_and_none_is_lost():
    stored = 0
    async with both() as (one, address, client), open_channel(address, service=INGEST) as channel:
        ingest = ingest_rpc.IngestClient(channel)
        await ingest.store(ANNOUNCEMENT, parts(b"first"))
        draining = asyncio.create_task(one.server.drain())
        async with asyncio.timeout(ENOUGH):
            while not draining.done():
                await client.count(SYSTEM, STUDIES)
                await ingest.store(ANNOUNCEMENT, parts(b"object"))
                stored += 1
        await draining
        assert stored
        asked = one.asked
        for _ in range(10):
            await client.count(SYSTEM, STUDIES)
        assert one.asked == asked


async def test_a_copy_whose_role_has_a_problem_is_still_called():
    async with copies(Copy()) as (one,):
        one.role.why = ("waiting for the log",)
        async with client_of(one.address) as client:
            assert await client.count(SYSTEM, STUDIES) == 2**40


async def test_an_address_where_the_service_is_not_offered_is_unavailable():
    async with (
        copies(Copy()) as (one,),
        open_channel(one.address, service="isocenter.v1.StorageService") as channel,
    ):
        with pytest.raises(Unavailable):
            await storage_rpc.StorageClient(channel).stat("a/b")


async def test_a_channel_without_a_peer_connects_as_soon_as_there_is_one(unused_tcp_port):
    late = Copy(port=unused_tcp_port)
    async with client_of(late.address) as client:
        with pytest.raises(Unavailable):
            await client.count(SYSTEM, STUDIES)
        async with copies(late), asyncio.timeout(ENOUGH):
            while not late.asked:
                try:
                    await client.count(SYSTEM, STUDIES)
                except Unavailable:
                    await asyncio.sleep(0.05)


async def test_a_store_waits_a_moment_for_a_process_that_is_starting(unused_tcp_port):
    late = Copy(port=unused_tcp_port)
    async with open_channel(late.address, service=INGEST) as channel, asyncio.timeout(ENOUGH):
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:  # calls fail at once
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
        ingest = ingest_rpc.IngestClient(channel)
        storing = asyncio.create_task(ingest.store(ANNOUNCEMENT, parts(b"object")))
        async with copies(late):
            stored = await storing
    assert stored.size == len(b"object")


async def test_new_copies_behind_a_name_are_found(monkeypatch):
    short = [(k, 500 if k == "grpc.max_connection_age_ms" else v) for k, v in rpc_server._OPTIONS]
    monkeypatch.setattr(rpc_server, "_OPTIONS", short)
    one = Copy("127.0.0.1")
    async with NameServer() as names, copies(one):
        names.addresses = ["127.0.0.1"]
        async with client_of(f"dns://127.0.0.1:{names.port}/storage.test:{one.port}") as client:
            await ask_until(client, lambda: one.asked)
            async with copies(Copy("127.0.0.2", one.port)) as (two,):
                names.addresses = ["127.0.0.1", "127.0.0.2"]
                await ask_until(client, lambda: two.asked)


# --- trying again --------------------------------------------------------------------------------


class Shaky(grpc.aio.ServerInterceptor):
    """The first calls of each method fail as if the process were just going away."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.calls = 0

    async def intercept_service(self, continuation, details):
        handler = await continuation(details)
        self.calls += 1
        if self.left == 0:
            return handler
        self.left -= 1

        async def fail(request, context):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

        async def fail_stream(request, context):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            yield

        return handler._replace(
            unary_unary=handler.unary_unary and fail,
            unary_stream=handler.unary_stream and fail_stream,
            stream_unary=handler.stream_unary and fail,
            stream_stream=handler.stream_stream and fail_stream,
        )


SAFE = {
    "stat": lambda api: api.stat("a/b"),
    "read": lambda api: all_of(api.read("a/b")),
    "list": lambda api: all_of(api.list("a/")),
    "instances": lambda api: all_of(api.instances(SYSTEM, "main", "1.2")),
}


async def _stage(api: storage_rpc.StorageClient) -> None:
    async with await api.stage() as upload:
        await upload.write(3 * BIG)  # more than one message
        await upload.commit("c/d", "d" * 64)


UNSAFE = {
    "put": lambda api: api.put("c/d", [b"one"], "d" * 64),
    "stage": _stage,
    "remove": lambda api: api.remove("a/b"),
}


@pytest.mark.parametrize("name", SAFE)
async def test_what_only_reads_is_tried_again_unseen(name):
    shaky = Shaky(3)
    add_to = lambda server: storage_rpc.add_to(server, FakeStorage())  # noqa: E731
    async with served(add_to, interceptors=[shaky]) as channel:
        assert await SAFE[name](storage_rpc.StorageClient(channel))
    assert shaky.calls == 4


@pytest.mark.parametrize("name", UNSAFE)
async def test_what_changes_something_is_tried_once(name):
    shaky = Shaky(1)
    add_to = lambda server: storage_rpc.add_to(server, FakeStorage())  # noqa: E731
    async with served(add_to, interceptors=[shaky]) as channel:
        with pytest.raises(Unavailable):
            await UNSAFE[name](storage_rpc.StorageClient(channel))
    assert shaky.calls == 1


async def test_an_object_is_sent_once():
    shaky = Shaky(1)
    add_to = lambda server: ingest_rpc.add_to(server, FakeIngest())  # noqa: E731
    async with served(add_to, interceptors=[shaky]) as channel:
        with pytest.raises(Unavailable):
            await ingest_rpc.IngestClient(channel).store(ANNOUNCEMENT, parts(BIG))
    assert shaky.calls == 1


async def test_it_is_not_tried_for_ever():
    shaky = Shaky(100)
    add_to = lambda server: storage_rpc.add_to(server, FakeStorage())  # noqa: E731
    async with served(add_to, interceptors=[shaky]) as channel:
        with pytest.raises(Unavailable):
            await storage_rpc.StorageClient(channel).stat("a/b")
    assert shaky.calls == 4


async def test_a_service_that_says_what_is_down_is_believed_at_once():
    async with copies(Copy()) as (one,), client_of(one.address) as client:
        one.role.service.error = Unavailable("the index is down", fix="start it")
        with pytest.raises(Unavailable, match="the index is down; start it"):
            await client.count(SYSTEM, STUDIES)
        assert one.asked == 1


def test_the_table_of_retries_names_methods_that_exist_and_none_that_changes_anything():
    modules = (audit_pb2, indexing_pb2, ingest_pb2, query_pb2, storage_pb2, transcoding_pb2)
    methods = {
        service.full_name: {method.name for method in service.methods}
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    assert all(set(names) <= methods[service] for service, names in RETRIED.items())
    retried = {name for names in RETRIED.values() for name in names}
    assert not retried & {"Store", "Put", "Stage", "Remove", "Rebuild", "Replay", "Sweep"}


# --- deadlines and cancelling --------------------------------------------------------------------


async def test_cancelling_a_caller_cancels_the_work_of_a_unary_call():
    async with copies(Copy()) as (one,), client_of(one.address) as client:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def count(caller, search):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        one.role.service.count = count
        task = asyncio.create_task(client.count(SYSTEM, STUDIES))
        async with asyncio.timeout(ENOUGH):
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await cancelled.wait()


async def test_a_deadline_ends_the_work_and_says_so(monkeypatch):
    monkeypatch.setattr(query_rpc, "UNARY_SECONDS", 0.2)
    async with copies(Copy()) as (one,), client_of(one.address) as client:
        cancelled = asyncio.Event()

        async def count(caller, search):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        one.role.service.count = count
        async with asyncio.timeout(ENOUGH):
            with pytest.raises(IsocenterError) as raised:
                await client.count(SYSTEM, STUDIES)
            assert raised.value.code.value == "deadline"
            await cancelled.wait()


@pytest.mark.slow
async def test_a_peer_that_is_frozen_is_noticed_within_half_a_minute():
    async with python(Path(rpc_process.__file__)) as process:
        port = int(await process.stdout.readline())
        async with client_of(f"127.0.0.1:{port}") as client:
            answers = client.search(SYSTEM, STUDIES)
            await anext(answers)
            process.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(35):
                with pytest.raises(Unavailable):
                    await anext(answers)
            async with asyncio.timeout(ENOUGH):
                with pytest.raises(Unavailable):
                    await client.count(SYSTEM, STUDIES)
