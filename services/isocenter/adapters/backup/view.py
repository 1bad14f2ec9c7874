"""The blobs of one backup as a store that can be read, and forgets what is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from isocenter.adapters.backup.entries import Entry, each
from isocenter.adapters.backup.folder import POOLED, BackupFolder, Manifest
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.core.errors import Refused
from isocenter.core.identity import OBJECTS
from isocenter.core.ports import BlobInfo, Buffer, Kept


class BackupBlobs:
    """A `BlobStore`. Its objects are those that the backup lists, among those of all backups."""

    def __init__(self, folder: BackupFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._pool = FileBlobs.to_read(folder.pool)
        self._own = FileBlobs.to_read(folder.own_blobs(manifest.id))

    def entries(self, prefix: str) -> AsyncIterator[Entry]:
        """What the backup lists below one of the prefixes that it has lists of."""
        return each(self._folder.entries(self._manifest, prefix))

    def store(self, key: str) -> FileBlobs:
        """Where a key, or what is below a prefix, is."""
        return self._pool if key.startswith(POOLED) else self._own

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """What is below a prefix. Packs may be those of other backups: they tell nothing wrong of
        objects that this one does not list."""
        if prefix != OBJECTS:
            async for info in self.store(prefix).list(prefix, after):
                yield info
            return
        async for entry in self.entries(prefix):
            if entry.key > after:
                yield BlobInfo(entry.key, entry.size, entry.modified_at)

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        return await self.store(key).stat(key)

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of a blob in memory."""
        return await self.store(key).get(key, offset, length)

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """A range of a blob in chunks."""
        return self.store(key).stream(key, offset, length)

    def checked(self, blob: Kept) -> AsyncIterator[Buffer]:
        """A blob, if it is what was kept."""
        return self.store(blob.key).checked(blob)

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Forget it: a backup is not written to, and what is derived is not needed twice."""

    async def stage(self) -> NoReturn:
        """Refused."""
        raise Refused("a backup is not written to")

    async def delete(self, key: str) -> NoReturn:
        """Refused."""
        raise Refused(f"{key} stays: a backup is not written to")

    async def move(self, key: str, target: str) -> NoReturn:
        """Refused."""
        raise Refused(f"{key} stays where it is, and not in {target}: a backup is not written to")

    async def free_bytes(self) -> int | None:
        """Nothing is written."""
        return None

    async def close(self) -> None:
        """Release everything."""
        await self._pool.close()
        await self._own.close()
