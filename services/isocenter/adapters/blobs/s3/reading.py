"""Blocking reads of objects of a bucket, called in the threads of `S3Client`."""

from __future__ import annotations

import hashlib

import urllib3
from minio import S3Error, ServerError
from urllib3.exceptions import ProtocolError

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.blobs.s3.errors import code_of, told
from isocenter.core.ports import Kept
from isocenter.runtime.checksum import Checksum

CHUNK = 1024 * 1024


def read_range(client: S3Client, key: str, offset: int, length: int | None) -> bytes:
    """A range of an object in memory; short only where the object ends."""
    response = _ask(client, key, offset, length)
    if response is None:
        return b""
    try:
        return response.read(decode_content=False)  # all that was announced, or an error
    finally:
        _release(response)


class RangeReader:
    """A range of an object, read in chunks from one answer; from another where that was cut off."""

    def __init__(self, client: S3Client, key: str, offset: int, length: int | None) -> None:
        self.done = False
        self._client = client
        self._key = key
        self._position = offset
        self._length = length
        self._left: int | None = None  # of the range; the first answer tells
        self._response: urllib3.BaseHTTPResponse | None = None

    def read(self) -> bytes:
        """The next chunk, which is empty only if the range is. The last one sets `done`."""
        left = self._begin() if self._response is None or self._left is None else self._left
        chunk = self._take(min(CHUNK, left))
        self._position += len(chunk)
        self._left = left - len(chunk)
        self.done = not self._left
        return chunk

    def close(self) -> None:
        """Release the connection; it is dropped if there is more to come."""
        response, self._response = self._response, None
        if response is not None:
            _release(response)

    def _begin(self) -> int:
        """Ask for what is left of the range; answers with how much that is."""
        wanted = self._length if self._left is None else self._left
        self._response = _ask(self._client, self._key, self._position, wanted)
        left = _length(self._response) if self._response else 0
        if self._left not in (None, left):  # an object never changes
            self.close()
            raise ServerError("the rest of an object is not as long as before", 206)
        return left

    def _take(self, size: int) -> bytes:
        if self._response is None:
            return b""
        try:
            chunk = self._response.read(size, decode_content=False)
            if size and not chunk:
                raise ProtocolError("the answer ended before its end")
        except BaseException:
            self.close()
            raise
        return chunk


class CheckedReader:
    """An object being read to its end and hashed."""

    def __init__(self, client: S3Client, blob: Kept) -> None:
        """What is before the offset is hashed, but not answered."""
        self._reader = RangeReader(client, blob.key, 0, None)
        self._key = blob.key
        self._expected = blob.checksum or blob.digest
        self._whole = Checksum() if blob.checksum else hashlib.sha256()
        self._skip = blob.offset

    @property
    def done(self) -> bool:
        """Whether the last chunk was read."""
        return self._reader.done

    def read(self) -> memoryview:
        """The next chunk, which may be empty. The last one sets `done`, and is answered only if
        the digest is the expected one; else `Corrupted`."""
        chunk = self._reader.read()
        self._whole.update(chunk)
        if self.done:
            keys.check_kept(self._key, self._expected, self._whole.hexdigest())
        skipped = min(self._skip, len(chunk))
        self._skip -= skipped
        return memoryview(chunk)[skipped:]

    def close(self) -> None:
        """Release the connection."""
        self._reader.close()


def _ask(
    client: S3Client, key: str, offset: int, length: int | None
) -> urllib3.BaseHTTPResponse | None:
    """The store's answer, or None where the range begins at the end or after it."""
    try:
        response: urllib3.BaseHTTPResponse = client.minio.get_object(
            client.bucket, key, offset, length or 0
        )
    except S3Error as error:
        if code_of(error) == "InvalidRange":
            return None
        raise
    try:
        if (offset or length) and response.status != 206:
            raise ServerError("the range was ignored", response.status)
        _length(response)
    except BaseException:
        response.close()
        raise
    return response


def _length(response: urllib3.BaseHTTPResponse) -> int:
    return int(told(response.headers.get("content-length")))


def _release(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back if everything was read, else drop it: what is left may be long."""
    if response.length_remaining:
        response.close()
    response.release_conn()
