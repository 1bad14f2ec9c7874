"""The object store, with traces and metrics."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self, TypeVar

from isocenter.core.ports import BlobInfo, BlobStore, Buffer, Kept, StagedBlob
from isocenter.runtime.instruments import BLOBS_BYTES, BLOBS_DURATION
from isocenter.runtime.telemetry import Operation, Span, Telemetry

B = TypeVar("B", bound=Buffer)

_READ, _WRITTEN = {"direction": "read"}, {"direction": "written"}


class TracedBlobs:
    """A `BlobStore` around another one."""

    def __init__(self, blobs: BlobStore, telemetry: Telemetry) -> None:
        self._blobs = blobs
        self._telemetry = telemetry
        self.free_bytes = blobs.free_bytes  # asked before every write, and no work
        self.close = blobs.close

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """See `BlobStore`."""
        size = sum(memoryview(part).nbytes for part in data)
        span = self._telemetry.child("storage.put", {"isocenter.size": size}, role="client")
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "put"}, span):
            await self._blobs.put(key, data, digest)
        self._telemetry.count(BLOBS_BYTES, size, _WRITTEN)

    async def stage(self) -> StagedBlob:
        """See `BlobStore`."""
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "stage"}):
            return _TracedStagedBlob(await self._blobs.stage(), self._telemetry)

    async def stat(self, key: str) -> BlobInfo:
        """See `BlobStore`."""
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "stat"}):
            return await self._blobs.stat(key)

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `BlobStore`."""
        span = self._reading("get")
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "get"}, span):
            data = await self._blobs.get(key, offset, length)
            span.set({"isocenter.size": len(data)})
        self._telemetry.count(BLOBS_BYTES, len(data), _READ)
        return data

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore`."""
        return self._read("stream", self._blobs.stream(key, offset, length))

    def checked(self, blob: Kept) -> AsyncIterator[Buffer]:
        """See `BlobStore`."""
        return self._read("checked", self._blobs.checked(blob))

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """See `BlobStore`."""
        operation = Operation(self._telemetry, BLOBS_DURATION, {"operation": "list"})
        async with aclosing(operation.through(self._blobs.list(prefix, after))) as infos:
            async for info in infos:
                yield info

    async def delete(self, key: str) -> None:
        """See `BlobStore`."""
        span = self._telemetry.child("storage.delete", role="client")
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "delete"}, span):
            await self._blobs.delete(key)

    async def move(self, key: str, target: str) -> None:
        """See `BlobStore`."""
        span = self._telemetry.child("storage.move", role="client")
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "move"}, span):
            await self._blobs.move(key, target)

    def _reading(self, operation: str) -> Span:
        return self._telemetry.child(
            "storage.read", {"isocenter.operation": operation}, role="client"
        )

    async def _read(self, operation: str, chunks: AsyncIterator[B]) -> AsyncGenerator[B, None]:
        size = 0
        span = self._reading(operation)
        timed = Operation(self._telemetry, BLOBS_DURATION, {"operation": operation}, span)
        try:
            async with aclosing(timed.through(chunks)) as parts:
                async for part in parts:
                    size += len(part)
                    span.set({"isocenter.size": size})
                    yield part
        finally:
            self._telemetry.count(BLOBS_BYTES, size, _READ)


class _TracedStagedBlob:
    """A `StagedBlob` around another one."""

    def __init__(self, blob: StagedBlob, telemetry: Telemetry) -> None:
        self._blob = blob
        self._telemetry = telemetry
        self._size = 0
        self.digest = blob.digest

    async def write(self, data: Buffer) -> None:
        """See `StagedBlob`."""
        self._size += len(data)
        await self._blob.write(data)

    async def commit(self, key: str, digest: str) -> None:
        """See `StagedBlob`."""
        span = self._telemetry.child(
            "storage.commit", {"isocenter.size": self._size}, role="client"
        )
        with Operation(self._telemetry, BLOBS_DURATION, {"operation": "commit"}, span):
            await self._blob.commit(key, digest)
        self._telemetry.count(BLOBS_BYTES, self._size, _WRITTEN)

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
