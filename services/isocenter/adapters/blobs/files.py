"""Blobs as files: each key a file that appears whole, durable and never changes.

The last two components of a key are joined by `@` into one file name, so that a series is one
directory (`objects/main/{study}/{series}/{instance}@{digest}.dcm`). A blob is written below
`.staging`, moved to its name when it is complete, and fsynced there (decision 5). Several
processes share one root; what a killed one left in `.staging` is removed when the store is
opened next.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.directories import Directories
from isocenter.adapters.blobs.listing import walk
from isocenter.adapters.blobs.reading import CheckedReader, RangeReader, read_range
from isocenter.adapters.blobs.staging import StagedFile, Staging, fsync_file
from isocenter.core.errors import (
    Invalid,
    IsocenterError,
    NotFound,
    OutOfResources,
    Unavailable,
)
from isocenter.core.ports import BlobInfo, Buffer, Kept, StagedBlob
from isocenter.runtime.threads import Strand, Threads

T = TypeVar("T")

LIST_BATCH = 256
THREADS = 32
NAME_MAX = 255  # bytes of a file name, on every file system in use


class FileBlobs:
    """A `BlobStore` below one directory."""

    def __init__(self, root: Path, staging: Staging | None) -> None:
        """Without a staging directory it is for reading only."""
        self.root = root
        self._staging = staging
        self._directories = Directories(root)
        self._threads = Threads(THREADS, "blobs")

    @classmethod
    async def open(cls, root: Path) -> Self:
        """Open or create the store below `root`."""

        def prepare() -> Staging:
            with translated(str(root)):
                root.mkdir(parents=True, exist_ok=True)
                return Staging.open(root / ".staging")

        return cls(root, await asyncio.to_thread(prepare))

    @classmethod
    def to_read(cls, root: Path) -> Self:
        """An existing store, in which nothing is written."""
        return cls(root, None)

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Create a blob of the concatenated buffers."""
        await self.run(key, self._put, key, data, digest)

    async def stage(self) -> StagedBlob:
        """Begin a blob whose key is not known yet."""
        return FileStagedBlob(self._threads.strand(), self._create(), self._publish)

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        status = await self.run(key, os.stat, self._path(key))
        return _info(key, status)

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of a blob in memory."""
        keys.check_range(offset, length)
        return await self.run(key, read_range, self._path(key), offset, length)

    async def stream(
        self, key: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of a blob in chunks of 1 MiB."""
        keys.check_range(offset, length)
        file = RangeReader(self._path(key), offset, length)
        try:
            while chunk := await self.run(key, file.read):
                yield chunk
        finally:
            file.close()

    async def checked(self, blob: Kept) -> AsyncIterator[Buffer]:
        """A blob from the offset on, if the whole is what was kept. Each chunk is read and hashed
        in one call in a thread, or here where that is no more work than to call a thread."""
        keys.check_range(blob.offset, None)
        file = CheckedReader(blob, self._path(blob.key))
        try:
            while not file.done:
                chunk = file.read_now()
                if chunk is None:
                    chunk = await self.run(blob.key, file.read)
                elif not file.done:
                    await asyncio.sleep(0)  # others want to be served between two chunks
                if chunk:
                    yield chunk
        finally:
            file.close()

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """Blobs below a prefix in key order."""
        parts = keys.prefix_components(prefix)
        found = walk(self.root, parts, after)
        more = True
        while more:
            batch = await self.run(prefix, _batch, found)
            more = len(batch) == LIST_BATCH
            for key, status in batch:
                yield _info(key, status)

    async def delete(self, key: str) -> None:
        """Remove a blob and the directories that it leaves empty."""
        await self.run(key, self._directories.remove, self._path(key))

    async def move(self, key: str, target: str) -> None:
        """Give a blob another key."""
        await self.run(key, self._move, self._path(key), self._path(target))

    async def date(self, key: str, modified_at: datetime) -> None:
        """Say of a copy that its content has been durable since then."""
        stamp = modified_at.timestamp()
        await self.run(key, os.utime, self._path(key), (stamp, stamp))

    async def free_bytes(self) -> int | None:
        """Room left on the file system, as far as it may be used without privileges."""
        with translated(str(self.root)):
            status = os.statvfs(self.root)  # microseconds: not worth a thread
        return status.f_bavail * status.f_frsize

    async def close(self) -> None:
        """Wait for the calls under way and release everything."""
        await self._threads.close()
        if self._staging is not None:
            self._staging.close()

    async def run(self, what: str, call: Callable[..., T], *args: object) -> T:
        """A blocking call in a thread of the store, with its errors translated."""
        return await self._threads.run(_guarded, what, call, *args)

    def _path(self, key: str) -> str:
        *parents, last, name = keys.components(key)
        file = f"{last}@{name}"
        if len(file) > NAME_MAX:
            raise Invalid(
                f"the last two components of {key} are {len(file)} characters long",
                fix=f"use at most {NAME_MAX - 1} for both",
            )
        return f"{self.root}/{'/'.join(parents)}/{file}"

    def _create(self, *, cached: bool = False) -> StagedFile:
        if self._staging is None:
            raise Unavailable(f"{self.root} is open for reading only", fix="open it to write")
        return self._staging.create(cached=cached)

    def _put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        file = self._create(cached=True)
        try:
            for part in data:
                view = memoryview(part).cast("B")
                while len(view):
                    view = view[file.fill(view) :]
                    if file.full:
                        file.flush()
        except BaseException:
            file.discard()
            raise
        self._publish(key, digest, file)

    def _publish(self, key: str, digest: str, file: StagedFile) -> None:
        """Give a complete file its name, durably; whatever raises, nothing is left staged."""
        try:
            path = self._path(key)
            keys.check_digest(key, digest, file.digest())
            if not self._is_kept(key, path, file.size):
                file.finish()
                self._directories.move(file.path, path)
                file.moved = True
                file.sync()
                self._directories.sync(path, name_too=file.synced)
        finally:
            file.discard()

    def _move(self, path: str, target: str) -> None:
        try:
            os.stat(path)  # noqa: PTH116 (as above)
            self._directories.move(path, target)
        except FileNotFoundError:
            os.stat(target)  # noqa: PTH116 (moved already, or nowhere)
        self._directories.sync(target, name_too=True)
        self._directories.left(path)

    def _is_kept(self, key: str, path: str, size: int) -> bool:
        """Whether the key is there already, whole; if so, its name is durable afterwards."""
        try:
            kept = os.stat(path).st_size  # noqa: PTH116 (hot path)
        except FileNotFoundError:
            return False
        keys.check_size(key, kept, size)
        fsync_file(path)  # its writer may not be that far yet
        self._directories.sync(path, name_too=True)
        return True


class FileStagedBlob:
    """A blob of a `FileBlobs` being written; the disk is touched in steps of 1 MiB."""

    def __init__(
        self,
        strand: Strand,
        file: StagedFile,
        publish: Callable[[str, str, StagedFile], None],
    ) -> None:
        self._strand = strand
        self._file: StagedFile | None = file
        self._publish = publish
        self._finishing: asyncio.Future[None] | None = None

    async def write(self, data: Buffer) -> None:
        """Add bytes at the end."""
        file = self._open_file()
        if self._finishing is not None:
            raise Invalid("the staged blob is complete", fix="stage another one")
        view = memoryview(data).cast("B")
        while len(view):
            view = view[file.fill(view) :]
            if file.full:
                await self._run("a staged blob", file.flush)

    def digest(self) -> str:
        """SHA-256 of all that was written. The disk gets the rest of it while this is computed."""
        file = self._open_file()
        if self._finishing is None:
            self._finishing = self._strand.start(file.finish)
        return file.digest()

    async def commit(self, key: str, digest: str) -> None:
        """Durable and visible under `key` on return."""
        self.digest()
        file, self._file = self._open_file(), None
        await self._run(key, self._publish, key, digest, file)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            await self._run("a staged blob", file.discard)

    def _run(self, what: str, call: Callable[..., None], *args: object) -> asyncio.Future[None]:
        return self._strand.start(_guarded, what, call, *args)

    def _open_file(self) -> StagedFile:
        if self._file is None:
            raise Invalid("the staged blob is closed", fix="stage another one")
        return self._file


def _batch(
    found: Iterator[tuple[str, os.stat_result]],
) -> list[tuple[str, os.stat_result]]:
    return list(islice(found, LIST_BATCH))


def _info(key: str, status: os.stat_result) -> BlobInfo:
    return BlobInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


_ERRORS: dict[int, tuple[type[IsocenterError], str, str]] = {
    errno.ENOENT: (NotFound, "nothing is kept under {what}", ""),
    errno.ENOTDIR: (Invalid, "a part of {what} is a key itself", "use another key"),
    errno.EISDIR: (Invalid, "{what} is the beginning of other keys", "use another key"),
    errno.ENOSPC: (OutOfResources, "no room for {what}", "free space on the disk"),
    errno.EDQUOT: (OutOfResources, "no room in the quota for {what}", "raise the quota"),
    errno.EFBIG: (OutOfResources, "{what} is too long for the file system", "use another one"),
    errno.EXDEV: (Unavailable, "{what} is on another file system", "mount the whole store as one"),
    errno.EMFILE: (OutOfResources, "too many open files for {what}", "raise `ulimit -n`"),
    errno.ENFILE: (OutOfResources, "too many open files for {what}", "raise `fs.file-max`"),
}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise the operating system's errors as `core.errors`."""
    try:
        yield
    except OSError as error:
        default = (Unavailable, f"the disk failed for {{what}}: {error.strerror}", "check the disk")
        kind, message, fix = _ERRORS.get(error.errno or 0, default)
        raise kind(message.format(what=what), fix=fix) from error


def _guarded(what: str, call: Callable[..., T], *args: object) -> T:
    with translated(what):
        return call(*args)
