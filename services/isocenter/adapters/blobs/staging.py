"""Files being written: private to a process, invisible until linked, removed when it is dead."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import mmap
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Self

BLOCK = 1024 * 1024

_LOCK = "lock"
_SPARE_BLOCKS = 16
_SYNC_EVERY = 64 * 1024 * 1024  # keeps the last fsync of a large object short
# Objects go past the page cache: an archive takes in far more than is read again soon, and dirty
# pages would let one large object hold up the fsync of all others.
_DIRECT: int = getattr(os, "O_DIRECT", 0)


class Staging:
    """One directory of a running store; the lock on its `lock` file says that it is alive."""

    def __init__(self, directory: Path, lock: int) -> None:
        self._directory = str(directory)
        self._lock = lock
        self._numbers = itertools.count()
        self._blocks = Blocks()

    @classmethod
    def open(cls, parent: Path) -> Self:
        """A new directory below `parent`; those of dead processes are removed."""
        parent.mkdir(exist_ok=True)
        gate = os.open(parent / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            # Nobody may judge a directory whose lock is about to be taken.
            fcntl.flock(gate, fcntl.LOCK_EX)
            for other in parent.iterdir():
                if other.is_dir() and _is_dead(other):
                    shutil.rmtree(other)
            directory = parent / uuid.uuid4().hex
            directory.mkdir()
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os.close(gate)
        return cls(directory, lock)

    def create(self, *, cached: bool = False) -> StagedFile:
        """An empty file to be written under a name that no other has. Does not block."""
        return StagedFile(f"{self._directory}/{next(self._numbers)}", self._blocks, cached=cached)

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self._directory)
        os.close(self._lock)


def _is_dead(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return True  # its process died between creating the directory and the lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


class Blocks:
    """Buffers that data is collected in on its way to a file, aligned as O_DIRECT demands."""

    def __init__(self) -> None:
        self._spare: list[mmap.mmap] = []

    def take(self) -> mmap.mmap:
        """A buffer of BLOCK bytes."""
        try:
            return self._spare.pop()
        except IndexError:
            return mmap.mmap(-1, BLOCK)

    def give_back(self, block: mmap.mmap) -> None:
        """It is not used any more."""
        if len(self._spare) < _SPARE_BLOCKS:
            self._spare.append(block)


class StagedFile:
    """A file of unknown length, collected block by block. The file is made when its first bytes are
    written.

    `fill` and `digest` do not block. Nothing else may be done to it while a thread is at `flush`;
    while one is at `finish`, `digest` may.
    """

    def __init__(self, path: str, blocks: Blocks, *, cached: bool) -> None:
        """`cached`: it will be read soon, so it stays in the page cache."""
        self.path = path
        self.size = 0
        self.synced = False
        """Whether it was synced under the name that it is staged under."""
        self.moved = False
        """Whether it has another name by now."""
        self._flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | (0 if cached else _DIRECT)
        self._blocks = blocks
        self._block = blocks.take()
        self._used = 0  # of the block
        self._hashed = 0  # of the block
        self._unsynced = 0
        self._hasher = hashlib.sha256()
        self._descriptor = -1
        self._end: BaseException | bool = False  # how `finish` ended

    @property
    def full(self) -> bool:
        """Whether `flush` is due."""
        return self._used == BLOCK

    def fill(self, data: memoryview) -> int:
        """Add bytes at the end until the block is full; answers with how many."""
        part = data[: BLOCK - self._used]
        self._block[self._used : self._used + len(part)] = part
        self._used += len(part)
        self.size += len(part)
        return len(part)

    def digest(self) -> str:
        """SHA-256 of what was added so far."""
        with memoryview(self._block) as block:
            self._hasher.update(block[self._hashed : self._used])
        self._hashed = self._used
        return self._hasher.hexdigest()

    def flush(self) -> None:
        """Write the block to the file, and begin another one."""
        self.digest()
        self._write_block()
        self._used = self._hashed = 0
        if self._unsynced >= _SYNC_EVERY:
            self._sync_content()
            self._unsynced = 0

    def finish(self) -> None:
        """Hand everything to the disk: once `sync` returns, it is durable, and nothing can become
        durable before it that is done to the file afterwards. To be called again changes nothing,
        and raises what the first call did."""
        if self._end is False:
            try:
                self._write_block()
                if self._used % mmap.PAGESIZE:
                    os.ftruncate(self._descriptor, self.size)
                if not self._flags & _DIRECT:
                    self._sync_content()
                self._end = True
            except BaseException as error:
                self._end = error
                raise
        if isinstance(self._end, BaseException):
            raise self._end

    def _write_block(self) -> None:
        if self._descriptor < 0:
            self._descriptor = self._create()
        # With O_DIRECT, whole pages are written; what is too much is cut off by `finish`.
        end = -(-self._used // mmap.PAGESIZE) * mmap.PAGESIZE
        with memoryview(self._block) as view:
            done = 0
            while done < end:
                done += self._write(view[done:end])
        self._unsynced += self._used

    def sync(self) -> None:
        """Make the content durable, and the name that the file has now unless it was `synced`."""
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Close it, and remove it if it was not moved."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            if not self.moved:
                with suppress(FileNotFoundError):
                    os.unlink(self.path)  # noqa: PTH108 (paths are plain text here)
        self._blocks.give_back(self._block)

    def _sync_content(self) -> None:
        os.fdatasync(self._descriptor)
        self.synced = True

    def _create(self) -> int:
        try:
            return os.open(self.path, self._flags, 0o640)
        except OSError as error:
            self._do_without_direct(error)
        # It may have made the file all the same.
        return os.open(self.path, self._flags & ~os.O_EXCL, 0o640)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            self._do_without_direct(error)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, self._flags)
        return os.write(self._descriptor, data)

    def _do_without_direct(self, error: OSError) -> None:
        """Some file systems have no O_DIRECT; they say so when a file is opened, or written."""
        if error.errno != errno.EINVAL or not self._flags & _DIRECT:
            raise error
        self._flags &= ~_DIRECT


def fsync_file(path: str | Path) -> None:
    """Make a file and its name durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
