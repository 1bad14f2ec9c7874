"""Files being written: private to a process, invisible until linked, removed when it is dead."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from isocenter.core.ports import Buffer

_LOCK = "lock"
_IOV_MAX = 1024  # buffers per writev (POSIX; Linux's value)
_SYNC_EVERY = 64 * 1024 * 1024  # keeps the last fsync of a large object short


class Staging:
    """One directory of a running store; the lock on its `lock` file says that it is alive."""

    def __init__(self, directory: Path, lock: int) -> None:
        self._directory = str(directory)
        self._lock = lock
        self._numbers = itertools.count()

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

    def new_path(self) -> str:
        """A path that no other call gets."""
        return f"{self._directory}/{next(self._numbers)}"

    def create(self) -> StagedFile:
        """An empty file to be written."""
        return StagedFile(self.new_path())

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


class StagedFile:
    """A file of unknown length, hashed while it is written. All calls block."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._unsynced = 0
        self._hasher = hashlib.sha256()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)

    def write(self, data: Sequence[bytes]) -> None:
        """Add bytes at the end."""
        write_all(self._descriptor, data)
        for part in data:
            self._hasher.update(part)
            self.size += len(part)
            self._unsynced += len(part)
        if self._unsynced >= _SYNC_EVERY:
            os.fdatasync(self._descriptor)
            self._unsynced = 0

    def finish(self) -> str:
        """Make the content durable; answers with its SHA-256."""
        os.fsync(self._descriptor)
        return self._hasher.hexdigest()

    def discard(self) -> None:
        """Remove the name it was staged under."""
        os.close(self._descriptor)
        os.unlink(self.path)  # noqa: PTH108 (paths are plain text here)


def write_all(descriptor: int, data: Sequence[Buffer]) -> None:
    """Write the concatenated buffers, however many and however long."""
    left = [memoryview(part).cast("B") for part in data if len(part)]
    while left:
        written = os.writev(descriptor, left[:_IOV_MAX])
        done = 0
        while done < len(left) and written >= left[done].nbytes:
            written -= left[done].nbytes
            done += 1
        left = left[done:]
        if written:
            left[0] = left[0][written:]
