"""Blocking reads of files, called in the threads of `FileBlobs`."""

from __future__ import annotations

import hashlib
import os

from isocenter.adapters.blobs import keys
from isocenter.core.ports import Kept
from isocenter.runtime.checksum import Checksum

CHUNK = 1024 * 1024
# Linux only: read what is in memory, and nothing else.
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


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
    """A file being read to its end and hashed, opened by the first read."""

    def __init__(self, blob: Kept, path: str) -> None:
        """What is before the offset is hashed, but not answered. With a checksum, that is what is
        compared, since it takes no longer than reading."""
        self.done = False
        self._key = blob.key
        self._path = path
        self._expected = blob.checksum or blob.digest
        self._whole = Checksum() if blob.checksum else hashlib.sha256()
        self._quick = bool(blob.checksum) and _NOWAIT is not None
        self._descriptor = -1
        self._position = 0
        self._skip = blob.offset
        self._size = 0

    def read(self, flags: int = 0) -> memoryview:
        """The next chunk, which may be empty. The last one sets `done`, and is answered only if
        the digest is the expected one; else `Corrupted`."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY)
            self._size = os.fstat(self._descriptor).st_size
        # Not more than there is: memory costs most where it is new.
        buffer = bytearray(min(CHUNK, self._size - self._position))
        length = os.preadv(self._descriptor, [buffer], self._position, flags)
        chunk = memoryview(buffer)[:length]
        self._whole.update(chunk)
        skipped = max(0, self._skip - self._position)
        self._position += length
        if self._position >= self._size or not length:
            self.done = True
            keys.check_kept(self._key, self._expected, self._whole.hexdigest())
        return chunk[skipped:]

    def read_now(self) -> memoryview | None:
        """As `read`, in the event loop: of what is in memory, and where hashing is no work. None
        for everything else, errors too: it is for `read` in a thread."""
        if not self._quick:
            return None
        try:
            return self.read(_NOWAIT or 0)
        except OSError:  # not in memory, or not told by this file system
            self._quick = False
            return None

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
