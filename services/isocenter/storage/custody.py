"""What goes into the object store and stays there: reserve, uploads, verification."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from isocenter.core.apis import Verification
from isocenter.core.errors import Corrupted, NotFound, OutOfResources
from isocenter.core.identity import ObjectName, OverlayName
from isocenter.core.ports import BlobStore, Buffer, Kept, StagedBlob

_FRESH_SECONDS = 0.5  # how long an answer of the store about free room is good
_FRESH_BYTES = 64 * 1024 * 1024  # how much may be written before it is asked again


class Reserve:
    """Refuses to write before the disk is full."""

    def __init__(self, blobs: BlobStore, reserve_bytes: int) -> None:
        self._blobs = blobs
        self._reserve = reserve_bytes
        self._room: int | None = None
        self._asked_at = float("-inf")
        self._written = _FRESH_BYTES

    async def claim(self, size: int) -> None:
        """Before writing this many bytes. Raises `OutOfResources`."""
        if not self._reserve:
            return
        now = asyncio.get_running_loop().time()
        if now - self._asked_at > _FRESH_SECONDS or self._written >= _FRESH_BYTES:
            self._room = await self._blobs.free_bytes()
            self._asked_at, self._written = now, 0
        self._written += size
        if self._room is not None and self._room - self._written < self._reserve:
            self._asked_at = float("-inf")
            raise OutOfResources(
                f"less than {self._reserve} bytes would be left free in the object store",
                fix="free or add space, or lower [storage] reserve_bytes",
            )


class ReservedUpload:
    """An upload that stops at the reserve."""

    def __init__(self, blob: StagedBlob, reserve: Reserve) -> None:
        self._blob = blob
        self._reserve = reserve

    async def write(self, data: Buffer) -> None:
        """Add bytes at the end."""
        await self._reserve.claim(len(data))
        await self._blob.write(data)

    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        return self._blob.digest()

    async def commit(self, key: str, digest: str) -> None:
        """Durable and visible on return."""
        await self._blob.commit(key, digest)

    async def __aenter__(self) -> Self:
        await self._blob.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._blob.__aexit__(kind, error, trace)


async def verify(blobs: BlobStore, prefix: str) -> AsyncIterator[Verification]:
    """Re-read every object, and overlay, below a prefix; compare each with the digest in its
    name."""
    async for info in blobs.list(prefix):
        name = ObjectName.from_key(info.key) or OverlayName.from_key(info.key)
        if name is None:
            continue
        try:
            async for _ in blobs.checked(Kept(info.key, name.digest)):
                pass
        except (Corrupted, NotFound) as error:
            yield Verification(info.key, ok=False, problem=str(error))
        else:
            yield Verification(info.key, ok=True)
