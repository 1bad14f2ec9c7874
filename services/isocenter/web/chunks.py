"""What a body is made of as it comes or goes, and how it is carried on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

from isocenter.core.ports import Buffer

Chunks = AsyncGenerator[bytes, None]
Pieces = AsyncGenerator[Buffer, None]  # of an answer

T = TypeVar("T")


class closing(Generic[T]):  # noqa: N801 - named as `contextlib.closing`
    """Stops the work behind an iterator that may not have come to its end."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator

    async def __aenter__(self) -> AsyncIterator[T]:
        return self._iterator

    async def __aexit__(self, *_: object) -> None:
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()


async def read_ahead(chunks: Pieces, most: int) -> Pieces:
    """The same chunks, of which up to `most` are got while others are being sent; an error
    comes in its place."""
    ready: asyncio.Queue[Buffer | Exception] = asyncio.Queue(most)

    async def fill() -> None:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if chunk:
                        await ready.put(chunk)
            await ready.put(b"")
        except Exception as error:  # noqa: BLE001 - given to the reader
            await ready.put(error)

    filling = asyncio.create_task(fill())
    try:
        while item := await ready.get():
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        filling.cancel()
        with suppress(asyncio.CancelledError):
            await filling


async def held_back(chunks: Pieces, until: asyncio.Task[None]) -> Pieces:
    """The chunks, of which the first is got at once and goes out when `until` is done; its error
    comes in place of all of them."""
    async with aclosing(chunks):
        try:
            first = await anext(chunks, b"")
        finally:
            await until
        yield first
        async for chunk in chunks:
            yield chunk
