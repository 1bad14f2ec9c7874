"""A gRPC server on a free port of loopback and a channel to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc.aio

from isocenter.runtime.rpc_channel import open_channel
from isocenter.runtime.rpc_server import new_server


@asynccontextmanager
async def served(
    add_to: Callable[[grpc.aio.Server], Sequence[str]],
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[grpc.aio.Channel]:
    """The services that `add_to` registers, until the context is left."""
    server = new_server(interceptors)
    add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"127.0.0.1:{port}")
    try:
        yield channel
    finally:
        await channel.close()
        await server.stop(grace=None)
