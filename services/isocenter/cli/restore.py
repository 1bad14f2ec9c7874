"""`isocenter restore`: a new data directory from a backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from isocenter.adapters.backup.copying import Fate, Outcome
from isocenter.adapters.backup.files import write_durably
from isocenter.adapters.backup.folder import BackupFolder, Manifest, to_read
from isocenter.adapters.backup.taking import restore_databases, restored
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.bus.log_file import sync_directory
from isocenter.app import Process
from isocenter.cli.backup import embedded_blobs, embedded_databases
from isocenter.cli.care import new_index
from isocenter.cli.common import UNFINISHED, err, out, process
from isocenter.cli.progress import Tally
from isocenter.cli.recording import record
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.settings import Settings

_NOTHING = frozenset({"lost+found", UNFINISHED})


async def restore(settings: Settings, source: Path, at: datetime | None) -> int:
    """Put the newest backup, or the newest that began at a time or before, into an empty data
    directory; 0 when every object of it is there as it was stored."""
    databases, blobs = embedded_databases(settings), embedded_blobs(settings)
    with to_read(source) as folder:
        manifest = folder.choose(at and at.replace(tzinfo=UTC))
        _begin(settings.data, manifest.id, [blobs, *(path.parent for path in databases.values())])
        restore_databases(folder, manifest, databases)
        write_durably(settings.data / "installation", manifest.installation + "\n")
        complete = await _copy(folder, manifest, blobs)
        async with process(settings) as env:
            indexed = not await new_index(env)
            await _record(env, manifest, source, complete=complete)
    (settings.data / UNFINISHED).unlink()
    sync_directory(settings.data)
    _tell(settings.data, manifest, complete=complete)
    return 0 if complete and indexed else 1


def _begin(data: Path, backup: str, parts: Sequence[Path]) -> None:
    """Mark the data directory as unfinished. Raises `Invalid` if there is something in it, other
    than what an interrupted restore of the same backup has left."""
    mark = data / UNFINISHED
    if mark.exists():
        begun = mark.read_text(encoding="utf-8").strip()
        if begun != backup:
            raise Invalid(
                f"{data} holds a part of the backup {begun}, not of {backup}",
                fix="empty it, or restore that backup to its end",
            )
        return
    for folder in (data, *parts):
        if folder.exists() and any(one.name not in _NOTHING for one in folder.iterdir()):
            raise Invalid(
                f"{folder} is not empty, and nothing is restored over what is there",
                fix="name a new data directory with --data, or move what is there away",
            )
    data.mkdir(parents=True, exist_ok=True, mode=0o750)
    write_durably(mark, backup + "\n")


async def _copy(folder: BackupFolder, manifest: Manifest, blobs: Path) -> bool:
    """Copy the blobs; whether all are there."""
    target = await FileBlobs.open(blobs)
    try:
        with Tally(err, "restored", "files", otherwise="not in the backup as they were") as tally:
            async for outcome in restored(folder, manifest, target):
                _count(tally, outcome)
    finally:
        await target.close()
    return not tally.refused


def _count(tally: Tally, outcome: Outcome) -> None:
    if outcome.problem:
        tally.refuse(outcome.entry.key, outcome.problem)
    else:
        tally.add(outcome.entry.size if outcome.fate is Fate.COPIED else 0)


async def _record(env: Process, manifest: Manifest, source: Path, *, complete: bool) -> None:
    await record(
        env,
        AuditAction.IMPORT,
        f"restore of the backup {manifest.id} in {source}",
        outcome=AuditOutcome.SUCCESS if complete else AuditOutcome.MINOR_FAILURE,
        instance_count=manifest.objects.count,
        destination=str(env.data),
        error="" if complete else "files are missing, or not as they were",
    )


def _tell(data: Path, manifest: Manifest, *, complete: bool) -> None:
    state = "is back" if complete else "is back, without the files named above"
    out.print(
        f"backup {manifest.id} {state}: everything acknowledged by "
        f"{manifest.begun_at:%Y-%m-%d %H:%M:%S} UTC; serve it with `isocenter up --data {data}`",
        markup=False,
    )
    if manifest.missing:
        out.print(f"not readable when the backup was taken: {len(manifest.missing):,} objects")
