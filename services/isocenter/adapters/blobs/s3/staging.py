"""Blobs of a bucket whose key comes at the end.

Up to 8 MiB, the content waits in memory and is then created under its key by one request. What is
longer goes to the store on the way, as a multipart upload to a name below `staging/`; when the key
is known, the store copies it there. What a killed process leaves in the bucket, a rule of the
bucket removes after a day (`upkeep`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from contextlib import suppress
from typing import Self

from minio import S3Error

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.blobs.s3.errors import code_of, told
from isocenter.adapters.blobs.s3.writing import copy, is_kept, put
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.ports import Buffer

STAGING = "staging/"
FIRST_PART = 8 * 1024 * 1024
PARTS_OF_A_SIZE = 1000  # parts are twice as long then: 10,000 are enough for the 5 TiB of S3
PARTS_UNDER_WAY = 2


class S3StagedBlob:
    """A blob of an `S3Blobs` being written."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._hasher = hashlib.sha256()
        self._buffer = bytearray()
        self._upload: Upload | None = None
        self._closed = False

    async def write(self, data: Buffer) -> None:
        """Add bytes at the end."""
        self._check_open()
        view = memoryview(data).cast("B")
        self._hasher.update(view)
        while len(view):
            room = part_size(self._upload.parts if self._upload else 0) - len(self._buffer)
            if not room:
                await self._send()
                continue
            self._buffer += view[:room]
            view = view[room:]

    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        self._check_open()
        return self._hasher.hexdigest()

    async def commit(self, key: str, digest: str) -> None:
        """Durable and visible under `key` on return."""
        self._check_open()
        try:
            keys.components(key)
            keys.check_digest(key, digest, self._hasher.hexdigest())
            if self._upload is None:
                await self._client.run(key, put, self._client, key, [self._buffer], digest)
            else:
                await self._send()
                await self._upload.publish(key)
        finally:
            await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _send(self) -> None:
        try:
            if self._upload is None:
                self._upload = await Upload.begin(self._client)
            part, self._buffer = self._buffer, bytearray()
            await self._upload.add(part)
        except BaseException:
            self._closed = True  # a part is missing: nothing may be added or committed any more
            raise

    async def _close(self) -> None:
        self._closed = True
        self._buffer = bytearray()
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.discard()

    def _check_open(self) -> None:
        if self._closed:
            raise Invalid("the staged blob is closed", fix="stage another one")


class Upload:
    """A multipart upload to a name of its own below `staging/`."""

    def __init__(self, client: S3Client, key: str, number: str) -> None:
        self._client = client
        self._key = key
        self._id = number
        self._size = 0
        self._sent: list[asyncio.Task[str]] = []  # answers with the ETags
        self._under_way: set[asyncio.Task[str]] = set()
        self._complete = False

    @classmethod
    async def begin(cls, client: S3Client) -> Self:
        """The store expects parts."""
        key = f"{STAGING}{uuid.uuid4().hex}"
        return cls(client, key, await client.run(key, _begin, client, key))

    @property
    def parts(self) -> int:
        """How many were added."""
        return len(self._sent)

    async def add(self, part: bytearray) -> None:
        """Send a part once few enough are under way; raises what went wrong with earlier ones."""
        while len(self._under_way) >= PARTS_UNDER_WAY:
            done, self._under_way = await asyncio.wait(
                self._under_way, return_when=asyncio.FIRST_COMPLETED
            )
            for sent in done:
                sent.result()
        self._size += len(part)
        sending = self._client.run(self._key, self._send, len(self._sent) + 1, part)
        self._sent.append(asyncio.create_task(sending))
        self._under_way.add(self._sent[-1])

    async def publish(self, key: str) -> None:
        """Make everything that was added an object under `key`."""
        tags = await asyncio.gather(*self._sent)
        await self._client.run(self._key, self._finish, tags)
        self._complete = True
        await self._client.run(key, copy, self._client, self._key, key, self._size)

    async def discard(self) -> None:
        """Remove what is below `staging/`. If that fails, the bucket's rule does it tomorrow."""
        await asyncio.gather(*self._sent, return_exceptions=True)
        self._sent.clear()
        query = {} if self._complete else {"uploadId": self._id}
        with suppress(IsocenterError):
            await self._client.run(self._key, self._remove, query)

    def _send(self, number: int, part: bytearray) -> str:
        answer = self._client.send(
            "PUT",
            self._key,
            query={"partNumber": str(number), "uploadId": self._id},
            body=[part],
            digest=keys.sha256([part]),
        )
        return told(answer.headers.get("etag"))

    def _finish(self, tags: list[str]) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        try:
            self._client.send(
                "POST",
                self._key,
                query={"uploadId": self._id},
                body=[body],
                digest=keys.sha256([body]),
            )
        except S3Error as error:
            # A request whose answer was lost has been repeated.
            done = code_of(error) == "NoSuchUpload"
            if not (done and is_kept(self._client, self._key, self._size)):
                raise

    def _remove(self, query: dict[str, str]) -> None:
        self._client.send("DELETE", self._key, query=query)


def part_size(parts: int) -> int:
    """Bytes of the part after so many."""
    return FIRST_PART << parts // PARTS_OF_A_SIZE


def _begin(client: S3Client, key: str) -> str:
    answer = client.send("POST", key, query={"uploads": ""})
    found = re.search(r"<UploadId>([^<]+)</UploadId>", answer.data.decode())
    return told(found and found[1])
