"""The folder that holds the backups of one data directory.

- `installation`: the id of the data directory, so that no other one's backups get among them.
- `pool/objects`, `pool/packs`: blobs named after their content, shared by all backups.
- `backups/{id}/`: what belongs to one backup alone: `manifest.json`, the lists of blobs, the
  databases, and `blobs/`, a store of blobs that are not named after their content.

A manifest is written last. What has none is no backup, and the next backup removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from isocenter.adapters.backup.databases import DatabaseCopy
from isocenter.adapters.backup.entries import (
    Entry,
    Listed,
    damaged_list,
    file_digest,
    read_list,
)
from isocenter.adapters.backup.files import translated, write_durably
from isocenter.adapters.bus.log_file import sync_directory
from isocenter.core.errors import Corrupted, Invalid, NotFound, Unavailable, Unsupported
from isocenter.core.identity import (
    ACCESS,
    AES,
    AUDIT,
    CONFLICTS,
    DELETED,
    DELETIONS,
    OBJECTS,
    OUTBOX,
    PACKS,
    SITES,
)

FORMAT = 1
POOLED = (OBJECTS, PACKS, DELETED)  # named after their content: copied once for all backups
# In the order of copying. What waits in the outbox goes to the log and is removed: whoever copies
# the outbox before the log, and objects after it, has every event, and the object of every event.
# What is restored from the deleted ones meanwhile is among the objects then.
BEFORE_LOG, AFTER_LOG = (
    (OUTBOX,),
    (CONFLICTS, DELETIONS, ACCESS, AES, AUDIT, SITES, DELETED, OBJECTS, PACKS),
)

_MANIFEST = "manifest.json"
_ID = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one backup is."""

    begun_at: datetime  # UTC; everything acknowledged before is in it
    ended_at: datetime
    installation: str
    version: str  # of isocenter, that made it
    lists: Mapping[str, Listed]  # by prefix
    databases: Mapping[str, DatabaseCopy]  # by file name
    missing: Mapping[str, str] = field(default_factory=dict)  # key that was not readable -> why

    @property
    def id(self) -> str:
        """Its folder's name; sorts by time."""
        return backup_id(self.begun_at)

    @property
    def objects(self) -> Listed:
        """Its objects."""
        return self.lists[OBJECTS]


def backup_id(begun_at: datetime) -> str:
    """The name of a backup that began then."""
    return begun_at.strftime(_ID)


class BackupFolder:
    """A folder of backups, locked by whoever has this."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pool = path / "pool"

    def at(self, backup: str) -> Path:
        """The folder of one backup."""
        return self.path / "backups" / backup

    def own_blobs(self, backup: str) -> Path:
        """The store of one backup's own blobs."""
        return self.at(backup) / "blobs"

    def list_file(self, backup: str, prefix: str) -> Path:
        """The list of one backup's blobs below a prefix."""
        return self.at(backup) / f"{prefix.removesuffix('/')}.list.zst"

    def manifests(self) -> Sequence[Manifest]:
        """All backups, the oldest first."""
        with translated(self.path):
            names = sorted(path.parent.name for path in self.path.glob(f"backups/*/{_MANIFEST}"))
        return [self._read(name) for name in names]

    def choose(self, at: datetime | None) -> Manifest:
        """The newest backup, or the newest that began at a time or before."""
        if at is not None and not at.microsecond:
            at += timedelta(seconds=1, microseconds=-1)  # the whole second, as times are told
        found = [one for one in self.manifests() if at is None or one.begun_at <= at]
        if not found:
            by = f" that began by {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
            fix = "name a later time" if at else "let `isocenter backup` come to its end first"
            raise NotFound(f"there is no backup in {self.path}{by}", fix=fix)
        return found[-1]

    def entries(self, manifest: Manifest, prefix: str) -> Iterator[Entry]:
        """What a backup lists below a prefix; nothing, if it is of a version that did not know the
        prefix. Raises `Corrupted`."""
        if prefix not in manifest.lists:
            return iter(())
        path = self.list_file(manifest.id, prefix)
        if file_digest(path) != manifest.lists[prefix].digest:
            raise damaged_list(path)
        return read_list(path)

    def begin(self, backup: str) -> None:
        """An empty folder for a backup. What interrupted ones left is removed."""
        backups = self.path / "backups"
        with translated(backups):
            backups.mkdir(exist_ok=True)
            for path in backups.iterdir():
                if not (path / _MANIFEST).exists():
                    shutil.rmtree(path)
            self.at(backup).mkdir()
            sync_directory(backups)

    def finish(self, manifest: Manifest) -> None:
        """From here on it is a backup."""
        for folder in (self.at(manifest.id), self.path):
            sync_directory(folder)
        text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1, default=_plain)
        write_durably(self.at(manifest.id) / _MANIFEST, text + "\n")

    def remove(self, backup: str) -> None:
        """It is no backup from here on, and then it is not there."""
        with translated(self.at(backup)):
            (self.at(backup) / _MANIFEST).unlink()
            sync_directory(self.at(backup))
            shutil.rmtree(self.at(backup))

    def _read(self, backup: str) -> Manifest:
        path = self.at(backup) / _MANIFEST
        with translated(path):
            text = path.read_bytes()
        try:
            found = json.loads(text)
            told = found.pop("format")
            if told != FORMAT:
                raise Unsupported(
                    f"{path} has the format {told}, this version reads {FORMAT}",
                    fix="use the version of isocenter that made it, or a later one",
                )
            return _manifest(found)
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(f"{path} cannot be read", fix="move that backup away") from error


def _manifest(found: dict[str, Any]) -> Manifest:
    found["begun_at"] = datetime.fromisoformat(found["begun_at"])
    found["ended_at"] = datetime.fromisoformat(found["ended_at"])
    found["lists"] = {prefix: Listed(**said) for prefix, said in found["lists"].items()}
    found["databases"] = {name: DatabaseCopy(**said) for name, said in found["databases"].items()}
    return Manifest(**found)


def _plain(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


# --- opening -------------------------------------------------------------------------------------


@contextmanager
def to_write(path: Path, installation: str) -> Iterator[BackupFolder]:
    """The folder for another backup of this installation, made where it is missing. Raises
    `Invalid` if it holds something else, `Unavailable` while another process has it."""
    with translated(path):
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        mark = path / "installation"
        if not mark.exists():
            foreign = [one.name for one in path.iterdir() if one.name not in _EMPTY]
            if foreign:
                raise Invalid(
                    f"{path} is no folder of backups: it holds {foreign[0]!r}",
                    fix="name an empty folder, or one that is not there yet, with --to",
                )
            write_durably(mark, installation + "\n")
            sync_directory(path.parent)
    with _locked(path, fcntl.LOCK_EX):
        if _installation(path) != installation:
            raise Invalid(
                f"{path} holds the backups of another data directory",
                fix="name a folder of its own with --to",
            )
        yield BackupFolder(path)


@contextmanager
def to_read(path: Path) -> Iterator[BackupFolder]:
    """An existing folder of backups, which stay in it for that long."""
    if not (path / "installation").is_file():
        raise NotFound(
            f"{path} is no folder of backups",
            fix="name the folder that `isocenter backup` was given with --to",
        )
    with _locked(path, fcntl.LOCK_SH):
        yield BackupFolder(path)


_LOCK = "lock"
_EMPTY = frozenset({"lost+found", "installation.new", _LOCK})


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with translated(path):
        with suppress(FileExistsError):
            (path / _LOCK).touch(exist_ok=False)
        descriptor = os.open(path / _LOCK, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"another backup, restore or drill is using {path}", fix="wait until it is done"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _installation(path: Path) -> str:
    with translated(path):
        return (path / "installation").read_text(encoding="utf-8").strip()


def installation_id(data: Path) -> str:
    """The id of a data directory, made with its first backup."""
    mark = data / "installation"
    if not mark.exists():
        write_durably(mark, uuid.uuid4().hex + "\n")
    return _installation(data)
