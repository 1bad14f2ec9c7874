"""Records of deletions in the object store (`core.deletions`)."""

from __future__ import annotations

from contextlib import aclosing

from isocenter.core.apis import Storage
from isocenter.core.deletions import Deletion, from_record
from isocenter.runtime.streams import generator


async def read_deletion(storage: Storage, key: str) -> Deletion:
    """A deletion by the key of its record. Raises `NotFound`, `Corrupted`."""
    async with aclosing(generator(storage.read(key))) as chunks:
        return from_record(key, b"".join([chunk async for chunk in chunks]))
