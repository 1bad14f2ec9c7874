"""The gRPC server of a process: services, health, reflection, stopping; and the logs."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from isocenter.core.access import SYSTEM
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.matching import Level, Search
from isocenter.query import rpc as query_rpc
from isocenter.runtime.health import Health
from isocenter.runtime.logs import JsonFormatter, TextFormatter
from isocenter.runtime.rpc_channel import open_channel
from isocenter.runtime.rpc_server import RpcServer
from support.rpc_copies import SERVICE, QueryRole

HEALTH = health_pb2.HealthCheckResponse


@pytest.fixture
def role():
    return QueryRole()


@pytest.fixture
async def server(role):
    server = RpcServer([role], "127.0.0.1", 0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def channel(server):
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def asking(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def test_a_process_with_a_problem_says_so_and_its_services_go_on_taking_calls(role, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    assert (await stub.Check(asking(""))).status == HEALTH.SERVING
    role.why = ("the index is down",)
    assert (await stub.Check(asking(""))).status == HEALTH.NOT_SERVING
    assert (await stub.Check(asking(SERVICE))).status == HEALTH.SERVING


async def test_the_health_of_what_is_not_served_is_not_known(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(asking("isocenter.v1.StorageService"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    call = stub.Watch(asking("isocenter.v1.StorageService"))
    assert (await call.read()).status == HEALTH.SERVICE_UNKNOWN
    call.cancel()


async def test_who_watches_a_process_hears_of_every_change(role, channel):
    call = health_pb2_grpc.HealthStub(channel).Watch(asking(""))
    async with asyncio.timeout(10):
        assert (await call.read()).status == HEALTH.SERVING
        role.why = ("the index is down",)
        assert (await call.read()).status == HEALTH.NOT_SERVING
        role.why = ()
        assert (await call.read()).status == HEALTH.SERVING
    call.cancel()


async def test_who_watches_a_service_hears_that_it_is_stopping_before_calls_are_refused(
    role, server, channel
):
    call = health_pb2_grpc.HealthStub(channel).Watch(asking(SERVICE))
    client = query_rpc.QueryClient(channel)
    async with asyncio.timeout(10):
        assert (await call.read()).status == HEALTH.SERVING
        role.why = ("the index is down",)
        draining = asyncio.create_task(server.drain())
        assert (await call.read()).status == HEALTH.NOT_SERVING
        assert await client.count(SYSTEM, Search(Level.STUDY)) == 2**40
        await draining
        assert await call.read() is grpc.aio.EOF


async def test_reflection_names_the_services(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {s.name for s in (await call.read()).list_services_response.service}
    call.cancel()
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_draining_lets_calls_under_way_finish(role, server, channel):
    role.service.endless = True
    client = query_rpc.QueryClient(channel)
    answers = client.search(SYSTEM, Search(Level.STUDY))
    await anext(answers)
    draining = asyncio.create_task(server.drain())
    await anext(answers)
    assert not draining.done()
    role.service.endless = False
    async with asyncio.timeout(10):
        async for _ in answers:
            pass
        await draining


async def test_stopping_ends_calls_that_go_on_for_ever(role, server, channel):
    role.service.endless = True
    answers = query_rpc.QueryClient(channel).search(SYSTEM, Search(Level.STUDY))
    await anext(answers)
    await server.stop()

    async def read_on():
        async for _ in answers:
            pass

    async with asyncio.timeout(10):
        with pytest.raises(IsocenterError):
            await read_on()


async def test_a_port_that_is_taken_is_named_with_its_setting(server):
    other = RpcServer([], "127.0.0.1", server.port)
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{server.port}.*rpc\.port"):
        await other.start()


def test_a_process_is_ready_when_no_role_has_a_problem_and_it_is_not_stopping(role):
    health = Health([role])
    assert health.problems() == {}
    role.why = ("the index is down",)
    assert health.problems() == {"query": ("the index is down",)}
    role.why = ()
    health.drain()
    assert health.problems() == {"process": ("it is stopping",)}


def entry(formatter: logging.Formatter, text: str, **fields: object) -> str:
    logger = logging.getLogger("isocenter.test")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    try:
        logger.warning(text, extra=fields)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def test_json_entries_are_one_object_a_line_with_their_fields():
    line = entry(JsonFormatter("p1"), "text", ae_title="CT1", number=7)
    assert line.count("\n") == 1
    found = json.loads(line)
    assert (found["message"], found["level"], found["instance"]) == ("text", "warning", "p1")
    assert (found["ae_title"], found["number"], found["logger"]) == ("CT1", 7, "isocenter.test")


def test_a_field_cannot_forge_another_entry():
    line = entry(TextFormatter("p1"), "text", ae_title="CT1\n12:00:00 info forged")
    assert line.count("\n") == 1
    assert "p1 text (ae_title='CT1\\n12:00:00 info forged')" in line
