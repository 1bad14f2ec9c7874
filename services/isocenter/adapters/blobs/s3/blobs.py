"""Blobs as objects of a bucket of an S3 store: each key one object, made by one request.

An object store shows an object whole or not at all, and keeps it before it answers. A blob whose
key is known when it is complete is one PUT; a larger one is uploaded in parts below `staging/` and
copied to its key by the store (`staging`). Nothing is asked when the store is opened, so that a
process starts while it is away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Self

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.blobs.s3.reading import CheckedReader, RangeReader, read_range
from isocenter.adapters.blobs.s3.staging import S3StagedBlob
from isocenter.adapters.blobs.s3.writing import info_of, move, put, stat
from isocenter.adapters.settings import S3Settings
from isocenter.core.ports import BlobInfo, Buffer, Kept, StagedBlob

PAGE = 1000  # keys of one answer


class S3Blobs:
    """A `BlobStore` in one bucket."""

    def __init__(self, client: S3Client, lock_days: int) -> None:
        self._client = client
        self._lock_days = lock_days

    @classmethod
    async def open(cls, url: str, settings: S3Settings, *, lock_days: int = 0) -> Self:
        """The bucket at `s3://host:port/bucket`; `lock_days`: how long nobody may remove what is
        put there (object lock)."""
        return cls(S3Client.open(url, settings), lock_days)

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Create a blob of the concatenated buffers."""
        keys.components(key)
        await self._client.run(key, put, self._client, key, data, digest, self._lock_days)

    async def stage(self) -> StagedBlob:
        """Begin a blob whose key is not known yet."""
        return S3StagedBlob(self._client)

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        keys.components(key)
        return await self._client.run(key, stat, self._client, key)

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of a blob in memory."""
        keys.components(key)
        keys.check_range(offset, length)
        if length == 0:
            await self.stat(key)
            return b""
        return await self._client.run(key, read_range, self._client, key, offset, length)

    async def stream(
        self, key: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of a blob in chunks of 1 MiB, by one request."""
        keys.components(key)
        keys.check_range(offset, length)
        if length == 0:
            await self.stat(key)
            return
        reader = RangeReader(self._client, key, offset, length)
        try:
            while not reader.done:
                if chunk := await self._client.run(key, reader.read):
                    yield chunk
        finally:
            reader.close()

    async def checked(self, blob: Kept) -> AsyncIterator[Buffer]:
        """A blob from the offset on, if the whole is what was kept, by one request."""
        keys.components(blob.key)
        keys.check_range(blob.offset, None)
        reader = CheckedReader(self._client, blob)
        try:
            while not reader.done:
                if chunk := await self._client.run(blob.key, reader.read):
                    yield chunk
        finally:
            reader.close()

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """Blobs below a prefix in key order."""
        keys.prefix_components(prefix)
        if not after.startswith(prefix):  # stores disagree about what comes after such a key
            if after > prefix:
                return
            after = ""
        more = True
        while more:
            page = await self._client.run(prefix, _page, self._client, prefix, after)
            more = len(page) == PAGE
            for info in page:
                yield info
                after = info.key

    async def delete(self, key: str) -> None:
        """Remove a blob."""
        keys.components(key)
        await self._client.run(key, self._client.send, "DELETE", key)

    async def move(self, key: str, target: str) -> None:
        """Give a blob another key."""
        keys.components(key)
        keys.components(target)
        await self._client.run(key, move, self._client, key, target)

    async def free_bytes(self) -> int | None:
        """A bucket cannot tell."""
        return None

    async def close(self) -> None:
        """Wait for the calls under way and release everything."""
        await self._client.close()


def _page(client: S3Client, prefix: str, after: str) -> Sequence[BlobInfo]:
    found = client.minio.list_objects(
        client.bucket, prefix, recursive=True, start_after=after or None
    )
    return [info_of(one) for one in islice(found, PAGE)]
