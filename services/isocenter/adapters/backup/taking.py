"""Taking a backup and putting one back: what is copied, and in which order.

The order of a backup, while everything goes on: the outbox, then the log, then the audit trail,
then conflict decisions and objects. Whatever the log announces is then among the objects, and
nothing that was acknowledged before the beginning is missing. Objects that came later may be in
it too; they are kept whole, and found after a restore like all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from isocenter import __version__
from isocenter.adapters.backup.copying import Fate, Outcome, copied, remove_others
from isocenter.adapters.backup.databases import DatabaseCopy, put_back, snapshot
from isocenter.adapters.backup.entries import Listed, each, entries_of, list_writer, listed
from isocenter.adapters.backup.folder import (
    AFTER_LOG,
    BEFORE_LOG,
    POOLED,
    BackupFolder,
    Manifest,
    backup_id,
)
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.core.ports import BlobStore
from isocenter.runtime.streams import generator


@dataclass(slots=True)
class Taken:
    """A backup being made."""

    folder: BackupFolder
    begun_at: datetime
    installation: str
    lists: dict[str, Listed] = field(default_factory=dict)
    databases: dict[str, DatabaseCopy] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    manifest: Manifest | None = None  # when it is a backup

    @property
    def id(self) -> str:
        """Its name."""
        return backup_id(self.begun_at)

    async def copy(
        self, source: BlobStore, databases: Mapping[str, Path]
    ) -> AsyncIterator[Outcome]:
        """Copy everything, the databases by their file names; what became of each blob. It is a
        backup when this has come to its end."""
        self.folder.begin(self.id)
        for prefix in BEFORE_LOG:
            async for outcome in self._copy_below(prefix, source):
                yield outcome
        for name, path in databases.items():
            if path.exists():
                copy = self.folder.at(self.id) / name
                self.databases[name] = await asyncio.to_thread(snapshot, path, copy)
        for prefix in AFTER_LOG:
            async for outcome in self._copy_below(prefix, source):
                yield outcome
        self.manifest = Manifest(
            begun_at=self.begun_at,
            ended_at=datetime.now(UTC),
            installation=self.installation,
            version=__version__,
            lists=self.lists,
            databases=self.databases,
            missing=self.missing,
        )
        self.folder.finish(self.manifest)

    async def _copy_below(self, prefix: str, source: BlobStore) -> AsyncIterator[Outcome]:
        path = self.folder.list_file(self.id, prefix)
        target = await FileBlobs.open(_store(self.folder, self.id, prefix))
        try:
            with list_writer(path) as writer:
                wanted = entries_of(source.list(prefix))
                async for outcome in copied(wanted, source, target, prefix):
                    if outcome.fate in (Fate.COPIED, Fate.THERE):
                        writer.add(outcome.entry)
                    elif outcome.fate is Fate.DAMAGED:
                        self.missing[outcome.entry.key] = outcome.problem
                    yield outcome
        finally:
            await target.close()
        self.lists[prefix] = await asyncio.to_thread(listed, path, writer.count, writer.bytes)


async def restored(
    folder: BackupFolder, manifest: Manifest, target: FileBlobs
) -> AsyncIterator[Outcome]:
    """Copy the blobs of a backup to where they are used; what became of each."""
    for prefix in (*BEFORE_LOG, *AFTER_LOG):
        source = FileBlobs.to_read(_store(folder, manifest.id, prefix))
        try:
            wanted = each(folder.entries(manifest, prefix))
            async with aclosing(generator(copied(wanted, source, target, prefix))) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        finally:
            await source.close()


def restore_databases(
    folder: BackupFolder, manifest: Manifest, databases: Mapping[str, Path]
) -> None:
    """Put the databases of a backup to where they are used. Raises `Corrupted`."""
    for name, said in manifest.databases.items():
        put_back(folder.at(manifest.id) / name, databases[name], said)


async def keep_newest(folder: BackupFolder, count: int) -> int:
    """Remove all backups but the newest, and the blobs that were theirs alone; how many backups
    went."""
    found = folder.manifests()
    old, kept = found[:-count], found[-count:]
    for manifest in old:
        folder.remove(manifest.id)
    if old:
        pool = await FileBlobs.open(folder.pool)
        try:
            for prefix in POOLED:
                lists = [folder.entries(manifest, prefix) for manifest in kept]
                await remove_others(pool, prefix, lists)
        finally:
            await pool.close()
    return len(old)


def _store(folder: BackupFolder, backup: str, prefix: str) -> Path:
    return folder.pool if prefix in POOLED else folder.own_blobs(backup)
