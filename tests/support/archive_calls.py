"""The gRPC archive service of the web role, served over fakes, and how a call of it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from isocenter.v1 import archive_pb2_grpc
from isocenter.web.archive_port import port
from support.web_fakes import Web

INSTANCE = "1.2.3.4.5"


@asynccontextmanager
async def served(web: Web) -> AsyncIterator[archive_pb2_grpc.ArchiveServiceAsyncStub]:
    async with channel_to(web) as channel:
        yield archive_pb2_grpc.ArchiveServiceStub(channel)


@asynccontextmanager
async def channel_to(
    web: Web, credentials: grpc.ChannelCredentials | None = None, **others: Any
) -> AsyncIterator[grpc.aio.Channel]:
    """`others`: services in place of fakes, and of doors that are open to everybody."""
    services = replace(web.services, **others)
    server = port(web.settings.model_copy(update={"grpc_port": 0}), services)
    await server.start()
    try:
        address = f"127.0.0.1:{server.port}"
        opened = (
            grpc.aio.secure_channel(address, credentials)
            if credentials
            else grpc.aio.insecure_channel(address)
        )
        async with opened as channel:
            yield channel
    finally:
        web.feed.stop()
        await server.stop()


async def ended(call: object) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pass
    else:
        await call  # type: ignore[misc]


async def failed(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ended(call)
    return raised.value
