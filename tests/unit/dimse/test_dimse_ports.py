"""Accepting connections: of several ports, of too many peers, and without descriptors left."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from isocenter.core.errors import Unavailable
from isocenter.dimse import ports
from isocenter.dimse.server import Listener, serve
from support.dimse_peers import RawPeer, accept_all, associate_rq, port
from support.ports import free_ports


def no_context() -> ssl.SSLContext:
    raise AssertionError("nobody connects")


async def test_a_port_of_tls_that_is_taken_leaves_the_plain_one_closed():
    [plain] = free_ports(1)
    async with port() as other:
        both = Listener("127.0.0.1", plain, tls_port=other.port, tls=no_context)
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{other.port}"):
            await serve(both, {}, accept_all)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", plain)) != 0


async def test_a_name_with_several_addresses_is_listened_on_at_all_of_them():
    found = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)
    [number] = free_ports(1)
    server = await serve(Listener("localhost", number), {}, accept_all)
    try:
        for address in {one[4][0] for one in found}:
            _, writer = await asyncio.open_connection(address, number)
            writer.close()
    finally:
        await server.close()


async def test_one_connection_too_many_is_closed_and_those_before_it_go_on(caplog):
    async with port(max_associations=1) as server:
        idle = [await RawPeer.connect(server) for _ in range(257)]
        late = await RawPeer.connect(server)
        assert await late.rest() == b""
        assert "too many connections" in caplog.text
        idle[0].send(associate_rq())
        assert (await idle[0].receive())[0] == 2
        for peer in idle[1:]:
            peer.close()
        async with asyncio.timeout(10):
            while len(server.connections) > 1:
                await asyncio.sleep(0.01)
        again = await RawPeer.connect(server)
        again.send(associate_rq())
        assert (await again.receive())[0] == 3, "one association is all that is allowed"


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """This process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)  # the lowest that is free
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_connections_wait_until_there_are_some(monkeypatch, caplog):
    monkeypatch.setattr(ports, "_PAUSE_SECONDS", 0.05)
    async with port() as server:
        client = socket.socket()
        client.setblocking(False)
        with no_more_descriptors():
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
            async with asyncio.timeout(10):
                while "no connection can be accepted" not in caplog.text:
                    await asyncio.sleep(0.01)
        peer = RawPeer(*await asyncio.open_connection(sock=client))
        peer.send(associate_rq())
        assert (await peer.receive())[0] == 2
        (await RawPeer.associated(server)).close()
