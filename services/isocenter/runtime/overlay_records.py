"""Overlays as the object store has them (`core.overlays`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Protocol

from isocenter.core.identity import ObjectName, OverlayName, overlays_prefix
from isocenter.core.overlays import Overlay, decode_overlay
from isocenter.core.ports import BlobInfo
from isocenter.runtime.streams import generator


class Keeps(Protocol):
    """What of `core.apis.Storage` is needed."""

    def read(self, key: str) -> AsyncIterator[bytes]: ...

    def list(self, prefix: str) -> AsyncIterator[BlobInfo]: ...


async def newest_overlay(storage: Keeps, name: ObjectName) -> Overlay | None:
    """The overlay of an object that counts, if it has any. Raises `Corrupted`."""
    newest = ""
    async with aclosing(generator(storage.list(overlays_prefix(name)))) as infos:
        async for info in infos:
            if OverlayName.from_key(info.key) is not None:
                newest = info.key
    return await read_overlay(storage, newest) if newest else None


async def read_overlay(storage: Keeps, key: str) -> Overlay:
    """The overlay under a key. Raises `NotFound`, `Corrupted`."""
    async with aclosing(generator(storage.read(key))) as chunks:
        return decode_overlay(key, b"".join([chunk async for chunk in chunks]))
