"""Connections to the web role on which anything can be sent, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11

from support.web_fakes import Web


@asynccontextmanager
async def connected(
    web: Web,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def talk(sent: bytes, web: Web | None = None) -> list[tuple[h11.Response, bytes]]:
    """The answers, until the server closes the connection."""
    async with connected(web or Web()) as (reader, writer):
        writer.write(sent)
        return answers(await asyncio.wait_for(reader.read(), 10))


def answers(received: bytes) -> list[tuple[h11.Response, bytes]]:
    """Raises for what is not HTTP/1.1."""
    parser = h11.Connection(h11.CLIENT)
    parser.receive_data(received)
    parser.receive_data(b"")
    found: list[tuple[h11.Response, bytes]] = []
    while parser.trailing_data[0] or not found:
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        response = parser.next_event()
        assert isinstance(response, h11.Response), response
        body = b""
        while isinstance(event := parser.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        found.append((response, body))
        if parser.their_state is not h11.DONE:
            break
        parser.start_next_cycle()
    return found
