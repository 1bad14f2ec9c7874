"""Blocking reads of files, called in the threads of `FileBlobs`."""

from __future__ import annotations

import hashlib
import os

from isocenter.adapters.blobs import keys

CHUNK = 1024 * 1024


class RangeReader:
    """A range of a file being read in chunks, opened by the first `read`."""

    def __init__(self, path: str, offset: int, length: int | None) -> None:
        self._path = path
        self._descriptor = -1
        self._offset = offset
        self._left = length

    def read(self) -> bytes:
        """The next chunk; empty at the end of the range."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        wanted = CHUNK if self._left is None else min(CHUNK, self._left)
        chunk = os.pread(self._descriptor, wanted, self._offset)
        self._offset += len(chunk)
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


class CheckedReader:
    """A file being read to its end and hashed, opened by the first `read`."""

    def __init__(self, key: str, path: str, digest: str, skip: int) -> None:
        """`skip` bytes at the beginning are hashed, but not answered."""
        self.done = False
        self._key = key
        self._path = path
        self._expected = digest
        self._whole = hashlib.sha256()
        self._descriptor = -1
        self._position = 0
        self._skip = skip
        self._size = 0

    def read(self) -> bytes:
        """The next chunk, empty only for an empty one. The last one sets `done`, and is answered
        only if the digest is the expected one; else `Corrupted`."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY)
            self._size = os.fstat(self._descriptor).st_size
            self._pass_over(min(self._skip, self._size))
        # Not more than there is: a buffer that is cut afterwards costs new pages each time.
        wanted = min(CHUNK, self._size - self._position)
        chunk = os.pread(self._descriptor, wanted, self._position)
        self._whole.update(chunk)
        self._position += len(chunk)
        if self._position >= self._size or not chunk:
            self.done = True
            keys.check_kept(self._key, self._expected, self._whole.hexdigest())
        return chunk

    def _pass_over(self, end: int) -> None:
        while self._position < end:
            wanted = min(CHUNK, end - self._position)
            head = os.pread(self._descriptor, wanted, self._position)
            if not head:
                return
            self._whole.update(head)
            self._position += len(head)

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def read_range(path: str, offset: int, length: int | None) -> bytes:
    """A range of a file in memory; short only where the file ends."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        left = os.fstat(descriptor).st_size - offset
        wanted = max(0, left if length is None else min(length, left))
        parts = []
        while wanted:  # one pread answers with 2 GiB at most
            part = os.pread(descriptor, wanted, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(descriptor)
