"""`isocenter backup`: a copy of the embedded parts in another folder, while everything goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from isocenter.adapters.backup.copying import Fate, Outcome
from isocenter.adapters.backup.folder import BackupFolder, Manifest, installation_id, to_write
from isocenter.adapters.backup.taking import Taken, keep_newest
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.bus import log_file
from isocenter.adapters.index import sqlite_audit_v1
from isocenter.app import Process
from isocenter.backends import AUDIT_INDEXES, BLOBS, BUSES, Adapter, Embedded, adapter_of
from isocenter.cli.common import err, out, process
from isocenter.cli.progress import Tally
from isocenter.cli.recording import record
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.settings import Settings


async def backup(settings: Settings, to: Path, keep: int | None) -> int:
    """Copy what is not in `to` yet; 0 when everything could be read. `keep`: how many of the
    backups there, this one included, stay."""
    _require_elsewhere([embedded_blobs(settings), *embedded_databases(settings).values()], to)
    installation = installation_id(settings.data)
    with to_write(to, installation) as folder:
        async with process(settings) as env:
            # Before it is read, as with every access; so the backup holds the record of itself.
            await _record(env, to, "backup, beginning")
            try:
                manifest = await _take(folder, installation, settings)
            except IsocenterError as error:
                await _record(env, to, "backup", error=error.message)
                raise
            await _record(env, to, f"backup {manifest.id}", manifest.objects.count)
        gone = await keep_newest(folder, keep) if keep else 0
    _tell(manifest, gone)
    return 1 if manifest.missing else 0


async def _take(folder: BackupFolder, installation: str, settings: Settings) -> Manifest:
    source = FileBlobs.to_read(embedded_blobs(settings))
    taken = Taken(folder, datetime.now(UTC), installation)
    try:
        with Tally(err, "copied", "files", otherwise="not as stored") as tally:
            async for outcome in taken.copy(source, embedded_databases(settings)):
                _count(tally, outcome)
    finally:
        await source.close()
    assert taken.manifest is not None
    return taken.manifest


def _count(tally: Tally, outcome: Outcome) -> None:
    """Add what became of a blob."""
    if outcome.fate is Fate.COPIED:
        tally.add(outcome.entry.size)
    elif outcome.fate is Fate.DAMAGED:
        tally.refuse(outcome.entry.key, outcome.problem)


async def _record(
    env: Process, to: Path, detail: str, objects: int = 0, *, error: str = ""
) -> None:
    await record(
        env,
        AuditAction.EXPORT,
        detail,
        outcome=AuditOutcome.FAILURE if error else AuditOutcome.SUCCESS,
        instance_count=objects,
        destination=str(to),
        error=error,
    )


def _tell(manifest: Manifest, gone: int) -> None:
    objects = manifest.objects
    out.print(
        f"backup {manifest.id}: {objects.count:,} objects, {objects.bytes / 1e6:,.1f} MB; "
        f"everything that was acknowledged by {manifest.begun_at:%Y-%m-%d %H:%M:%S} UTC is in it",
        markup=False,
    )
    if gone:
        out.print(f"older backups removed: {gone:,}")
    if manifest.missing:
        out.print(
            "what is not as stored is not in it: take it from an earlier backup or from its sender"
        )


def embedded_databases(settings: Settings) -> Mapping[str, Path]:
    """The SQLite files that cannot be made anew, by name. Raises `Invalid` where there are servers:
    they have backups of their own."""
    return {
        log_file.FILE: _embedded("bus", settings, BUSES) / log_file.FILE,
        sqlite_audit_v1.FILE: _embedded("index", settings, AUDIT_INDEXES) / sqlite_audit_v1.FILE,
    }


def embedded_blobs(settings: Settings) -> Path:
    """Where the blobs are. Raises `Invalid`, as above."""
    return _embedded("blobs", settings, BLOBS)


def _embedded(setting: str, settings: Settings, adapters: Mapping[str, Adapter]) -> Path:
    url: str = getattr(settings, setting)
    adapter = adapter_of(setting, url, adapters)
    if not isinstance(adapter, Embedded):
        raise Invalid(
            f"{setting} is a server, and this is for what is kept in files",
            fix="docs/backup.md says what to keep of servers, and how",
        )
    return adapter.path(url, settings.data)


def _require_elsewhere(kept: Iterable[Path], to: Path) -> None:
    for path in kept:
        one, other = path.parent.resolve(), to.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise Invalid(
                f"{to} and {path.parent}, which it is to protect, are one inside the other",
                fix="name a folder on another disk, or of another machine, with --to",
            )
