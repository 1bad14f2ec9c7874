"""A TCP relay: `python relay.py PORT=HOST:PORT ...`. Each connection is dialled anew."""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side is gone; the end goes on as an end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: str
) -> None:
    """One connection, to a target that may refuse it."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        with contextlib.closing(far_writer):
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def main() -> None:
    """Listen for all targets until killed."""
    servers = []
    for argument in sys.argv[1:]:
        own, _, target = argument.partition("=")
        host, _, port = target.rpartition(":")
        servers.append(
            await asyncio.start_server(
                lambda reader, writer, host=host, port=port: relay(reader, writer, host, port),
                "0.0.0.0",
                int(own),
            )
        )
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
