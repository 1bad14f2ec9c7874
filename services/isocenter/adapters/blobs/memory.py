"""Blobs in memory, for tests: the same contract inside one process, nothing survives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Self

from isocenter.adapters.blobs import keys
from isocenter.core.errors import Invalid, NotFound
from isocenter.core.ports import BlobInfo, Buffer, Kept, StagedBlob
from isocenter.runtime.checksum import Checksum

CHUNK = 1024 * 1024


class MemoryBlobs:
    """A `BlobStore` in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[str, tuple[bytes, datetime]] = {}

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Create a blob unless the key is there."""
        keys.components(key)
        content = b"".join(data)
        keys.check_digest(key, digest, keys.sha256([content]))
        self._blobs.setdefault(key, (content, datetime.now(UTC)))

    async def stage(self) -> StagedBlob:
        """Begin a blob whose key is not known yet."""
        return MemoryStagedBlob(self)

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        content, modified_at = self._find(key)
        return BlobInfo(key, len(content), modified_at)

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of a blob."""
        content, _ = self._find(key)
        keys.check_range(offset, length)
        return content[offset:] if length is None else content[offset : offset + length]

    async def stream(
        self, key: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of a blob in chunks."""
        content = await self.get(key, offset, length)
        for start in range(0, len(content), CHUNK):
            yield content[start : start + CHUNK]

    async def checked(self, blob: Kept) -> AsyncIterator[Buffer]:
        """A blob from the offset on, if the whole is what was kept."""
        keys.check_range(blob.offset, None)
        content, _ = self._find(blob.key)
        starts = range(blob.offset, len(content), CHUNK)
        chunks = [content[start : start + CHUNK] for start in starts]
        for chunk in chunks[:-1]:
            yield chunk
        if blob.checksum:
            keys.check_kept(blob.key, blob.checksum, Checksum(content).hexdigest())
        else:
            keys.check_kept(blob.key, blob.digest, keys.sha256([content]))
        for chunk in chunks[-1:]:
            yield chunk

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """Blobs below a prefix in key order."""
        keys.prefix_components(prefix)
        for key in sorted(self._blobs):
            if key.startswith(prefix) and key > after and key in self._blobs:
                content, modified_at = self._blobs[key]
                yield BlobInfo(key, len(content), modified_at)

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        keys.components(key)
        self._blobs.pop(key, None)

    async def move(self, key: str, target: str) -> None:
        """Give a blob another key."""
        keys.components(key)
        keys.components(target)
        if key not in self._blobs:
            self._find(target)
            return
        self._blobs[target] = self._find(key)
        del self._blobs[key]

    async def free_bytes(self) -> int | None:
        """Memory cannot tell."""
        return None

    async def close(self) -> None:
        """Nothing to release."""

    def _find(self, key: str) -> tuple[bytes, datetime]:
        keys.components(key)
        try:
            return self._blobs[key]
        except KeyError:
            raise NotFound(f"nothing is kept under {key}") from None


class MemoryStagedBlob:
    """A blob of a `MemoryBlobs` being written."""

    def __init__(self, store: MemoryBlobs) -> None:
        self._store = store
        self._content: bytearray | None = bytearray()

    async def write(self, data: Buffer) -> None:
        """Add bytes at the end."""
        self._open_content().extend(memoryview(data).cast("B"))

    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        return keys.sha256([self._open_content()])

    async def commit(self, key: str, digest: str) -> None:
        """Make it visible under `key`."""
        await self._store.put(key, [bytes(self._open_content())], digest)
        self._content = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._content = None

    def _open_content(self) -> bytearray:
        if self._content is None:
            raise Invalid("the staged blob is closed", fix="stage another one")
        return self._content
