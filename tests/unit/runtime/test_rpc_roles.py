"""The port of roles: who is believed in whose name it calls."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from isocenter.core.access import SYSTEM
from isocenter.core.errors import Refused
from isocenter.core.matching import Level, Search
from isocenter.query import rpc as query_rpc
from isocenter.runtime import rpc_tls
from isocenter.runtime.rpc_channel import open_channel
from isocenter.v1 import query_pb2, query_pb2_grpc
from support.authority import Authority
from support.rpc_copies import SERVICE, Copy, copies

STUDIES = Search(Level.STUDY)
ROLES = "IP:127.0.0.1,DNS:*.imaging.svc.cluster.local"
OWN: tuple[str, ...] = ()  # who has a name of the server's own certificate


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@asynccontextmanager
async def client_of(copy, tls=None):
    channel = open_channel(copy.address, service=SERVICE, tls=tls)
    try:
        yield query_rpc.QueryClient(channel)
    finally:
        await channel.close()


async def test_a_process_with_the_same_certificate_is_a_role(authority):
    tls = authority.issue("roles", ROLES)
    async with copies(Copy(tls=tls, callers=OWN)) as (one,), client_of(one, tls) as client:
        assert await client.count(SYSTEM, STUDIES) == 2**40
        assert [match async for batch in client.search(SYSTEM, STUDIES) for match in batch]


@pytest.mark.parametrize(
    "names",
    [
        "DNS:research.example.org",
        "DNS:storage.imaging.svc.cluster.local",  # below the wildcard, and not the wildcard
        "email:*.imaging.svc.cluster.local",
        "URI:*.imaging.svc.cluster.local",
    ],
)
async def test_a_program_with_a_certificate_of_the_same_authority_passes_nobody_for_a_caller(
    authority, names, caplog
):
    server = authority.issue("roles", ROLES)
    program = authority.issue("research", names)
    async with copies(Copy(tls=server, callers=OWN)) as (one,), client_of(one, program) as client:
        with pytest.raises(Refused, match="the certificate of CN=research,O=Hospital is not one"):
            await client.count(SYSTEM, STUDIES)
        with pytest.raises(Refused, match="only roles call here"):
            [batch async for batch in client.search(SYSTEM, STUDIES)]
        assert one.asked == 0
    assert "not a role" in caplog.text


@pytest.mark.parametrize(
    ("patterns", "name", "admitted"),
    [
        (("*.pacs.example.org",), "DNS:gateway.pacs.example.org", True),
        (("*.pacs.example.org",), "DNS:GATEWAY.pacs.example.org", True),
        (("*.pacs.example.org",), "DNS:pacs.example.org", False),
        (("*.pacs.example.org",), "DNS:gateway.pacs.example.org.evil.test", False),
        (("other", "spiffe://hospital/isocenter/*"), "URI:spiffe://hospital/isocenter/web", True),
        (("spiffe://hospital/isocenter/*",), "URI:spiffe://hospital/research", False),
        (("10.0.0.7",), "IP:10.0.0.7", True),
        (("10.0.0.7",), "DNS:10.0.0.70", False),
    ],
)
async def test_roles_with_certificates_of_their_own_are_named_by_patterns(
    authority, patterns, name, admitted
):
    server, caller = authority.issue("storage"), authority.issue("gateway", name)
    one = Copy(tls=server, callers=patterns)
    async with copies(one), client_of(one, caller) as client:
        if admitted:
            assert await client.count(SYSTEM, STUDIES) == 2**40
        else:
            with pytest.raises(Refused):
                await client.count(SYSTEM, STUDIES)


async def test_names_do_not_help_where_the_certificate_is_not_good(authority, tmp_path):
    server = authority.issue("roles", ROLES)
    stranger = Authority(tmp_path / "stranger").issue("roles", ROLES)
    ended = authority.issue("ended", ROLES, days=-1)
    ca = authority.certificate.read_bytes()
    async with copies(Copy(tls=server, callers=OWN)) as (one,):
        for shown in ((), *((tls.key, tls.certificate) for tls in (stranger, ended))):
            credentials = grpc.ssl_channel_credentials(ca, *(path.read_bytes() for path in shown))
            async with grpc.aio.secure_channel(one.address, credentials) as channel:
                call = query_pb2_grpc.QueryServiceStub(channel).Count(query_pb2.SearchRequest())
                assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert one.asked == 0


async def test_the_names_of_a_new_certificate_count_without_a_restart(authority, monkeypatch):
    monkeypatch.setattr(rpc_tls, "_LOOK_SECONDS", 0)
    tls = authority.issue("roles", "IP:127.0.0.1,DNS:before")
    other = authority.issue("other", "DNS:after")
    async with copies(Copy(tls=tls, callers=OWN)) as (one,):
        async with client_of(one, other) as client:
            with pytest.raises(Refused):
                await client.count(SYSTEM, STUDIES)
        assert authority.issue("roles", "IP:127.0.0.1,DNS:after") == tls
        async with client_of(one, other) as client:
            assert await client.count(SYSTEM, STUDIES) == 2**40


async def test_whoever_has_a_certificate_may_ask_whether_it_is_well(authority):
    server, program = authority.issue("roles", ROLES), authority.issue("research", "DNS:research")
    async with copies(Copy(tls=server, callers=OWN)) as (one,):
        channel = open_channel(one.address, tls=program)
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        finally:
            await channel.close()
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
