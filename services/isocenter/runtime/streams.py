"""Asynchronous iterators that are closed early."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def generator(values: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The values of an iterator that is closed with this generator, if it can be closed."""
    try:
        async for value in values:
            yield value
    finally:
        if isinstance(values, AsyncGenerator):
            await values.aclose()
