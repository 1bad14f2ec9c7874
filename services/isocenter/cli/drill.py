"""`isocenter drill`: whether everything could be recovered from the objects, or from a backup."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from isocenter.adapters.backup import databases
from isocenter.adapters.backup.entries import beside
from isocenter.adapters.backup.folder import AFTER_LOG, BEFORE_LOG, BackupFolder, Manifest, to_read
from isocenter.adapters.backup.view import BackupBlobs
from isocenter.adapters.bus import log_file
from isocenter.adapters.bus.log import LogBus
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.cli.care import read_again
from isocenter.cli.common import complain, err, out, process, quiet, require_data
from isocenter.cli.progress import Tally
from isocenter.cli.recording import Checked, verification
from isocenter.core.access import Policy
from isocenter.core.apis import Storage
from isocenter.core.errors import Corrupted, IsocenterError, NotFound
from isocenter.core.events import TOPIC_INSTANCES, InstanceStored
from isocenter.core.identity import OBJECTS, ObjectName, objects_prefix
from isocenter.core.ports import Kept
from isocenter.indexing.drilling import Drill
from isocenter.indexing.drilling import drill as new_drill
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.event_reader import EventReader
from isocenter.settings import Settings
from isocenter.storage.service import StorageService


async def drill(settings: Settings, sample: float) -> int:
    """Make an index from the objects, compare it with the one in use, and read a sample of the
    objects again; 0 when all is equal."""
    async with process(settings) as env, verification(env, "drill") as checked:
        bus, index, storage = await env.bus(), await env.index(), await env.storage()
        async with new_drill(index, storage) as run:
            wrong = await _rebuild(run)
            partitions = run.count.partitions | {settings.ingest.partition}
            wrong += _told(await run.caught_up(index, bus))
            wrong += _told(await run.check_counts(partitions))
            with Tally(err, "compared", "studies", otherwise="different") as tally:
                async for step in run.compare(index, partitions):
                    tally.add(count=step.studies - len(step.differences))
                    for study, why in step.differences.items():
                        tally.refuse(study, why)
            wrong += tally.refused
            checked.wrong = wrong
            wrong += await _read_again(storage, run.count.bytes, sample, checked)
    return _end(wrong, "the index in use says what the objects say")


async def _rebuild(run: Drill) -> int:
    """How many objects could not be read."""
    with Tally(err, "made anew", "instances", otherwise="not readable") as tally:
        async for count in run.rebuild():
            tally.add(count=count.instances - tally.done)
            tally.refuse_new(count.problems)
    return tally.refused


async def _read_again(storage: Storage, size: int, sample: float, checked: Checked) -> int:
    """How many objects of a sample are not what was kept. `size`: of all objects."""
    with Tally(err, "read again", "objects", otherwise="not as stored") as tally:
        async for prefix, of_part in _parts(storage, size, sample):
            await read_again(storage, prefix, tally, checked)
            tally.bytes += of_part
    return tally.refused


async def _parts(storage: Storage, size: int, sample: float) -> AsyncIterator[tuple[str, int]]:
    """Prefixes that hold the sample, and how many bytes."""
    if sample >= 1:
        yield OBJECTS, size
        return
    async for info in storage.list(OBJECTS):
        found = ObjectName.from_key(info.key)
        if found is not None and random.random() < sample:  # noqa: S311 (nobody's secret)
            name = found.name
            prefix = objects_prefix(name.partition, name.study, name.series, name.instance)
            yield prefix, info.size


# --- a backup ------------------------------------------------------------------------------------


async def drill_backup(settings: Settings, source: Path, at: datetime | None, sample: float) -> int:
    """Look at every file of a backup, read a sample of the objects again, and make an index of
    them; 0 when nothing is missing and all is as it was."""
    quiet(settings.log.format)
    with to_read(source) as folder:
        manifest = folder.choose(at and at.replace(tzinfo=UTC))
        out.print(f"backup {manifest.id}: {manifest.objects.count:,} objects")
        async with _recorded(settings, f"drill of the backup {manifest.id} in {source}") as checked:
            wrong = await _look_at_backup(settings, folder, manifest, sample, checked)
    return _end(wrong, "the backup is whole, and an index can be made of it")


@asynccontextmanager
async def _recorded(settings: Settings, detail: str) -> AsyncIterator[Checked]:
    """In the trail of the installation of the settings, if there is one: backups have none."""
    try:
        require_data(settings)
    except IsocenterError:
        yield Checked()
        return
    async with process(settings) as env, verification(env, detail) as checked:
        yield checked


async def _look_at_backup(
    settings: Settings, folder: BackupFolder, manifest: Manifest, sample: float, checked: Checked
) -> int:
    """How much is wrong."""
    blobs = BackupBlobs(folder, manifest)
    try:
        wrong = await _look_at_blobs(blobs, sample, checked)
        seen = wrong
        with TemporaryDirectory(prefix="isocenter-drill-") as scratch:
            wrong += await _look_at_databases(folder, manifest, blobs, Path(scratch))
            index = await SqliteIndex.open(Path(scratch) / "index")
            try:
                storage = StorageService(
                    blobs=blobs, settings=settings.storage, guard=PolicyGuard(Policy)
                )
                async with new_drill(index, storage) as run:
                    wrong += await _rebuild(run)
                    wrong += _told(await run.check_counts(run.count.partitions))
            finally:
                await index.close()
        checked.wrong += wrong - seen
    finally:
        await blobs.close()
    return wrong


async def _look_at_blobs(blobs: BackupBlobs, sample: float, checked: Checked) -> int:
    """How many are missing or not what was kept."""

    def refuse(key: str, problem: str) -> None:
        tally.refuse(key, problem)
        checked.damage(key)

    with Tally(err, "read again", "files", otherwise="missing or not as stored") as tally:
        for prefix in (*BEFORE_LOG, *AFTER_LOG):
            store = blobs.store(prefix)
            async for entry, found in beside(blobs.entries(prefix), store.list(prefix)):
                if found is None:
                    refuse(entry.key, "the file is missing")
                elif prefix != OBJECTS or random.random() < sample:  # noqa: S311 (as above)
                    try:
                        async for _ in store.checked(Kept(entry.key, entry.digest)):
                            pass
                    except (Corrupted, NotFound) as error:
                        refuse(entry.key, str(error))
                    else:
                        tally.add(entry.size)
                        checked.objects += ObjectName.from_key(entry.key) is not None
                elif found.size != entry.size:
                    refuse(entry.key, f"the file has {found.size:,} of {entry.size:,} bytes")
    return tally.refused


async def _look_at_databases(
    folder: BackupFolder, manifest: Manifest, blobs: BackupBlobs, scratch: Path
) -> int:
    """How many are damaged; and events of the log whose objects are missing."""
    with Tally(err, "looked at", "databases", otherwise="damaged") as tally:
        for name, said in manifest.databases.items():
            try:
                databases.check(folder.at(manifest.id) / name, said)
            except IsocenterError as error:
                tally.refuse(name, str(error))
            else:
                tally.add(said.bytes)
    log = manifest.databases.get(log_file.FILE)
    if log is None or tally.refused:
        return tally.refused
    place = scratch / "log" / log_file.FILE
    databases.put_back(folder.at(manifest.id) / log_file.FILE, place, log)
    bus = await LogBus.open(place.parent)
    try:
        return await _look_at_events(bus, blobs)
    finally:
        await bus.close()


async def _look_at_events(bus: LogBus, blobs: BackupBlobs) -> int:
    events = EventReader("drill")
    with Tally(err, "looked at", "events", otherwise="announce objects that are missing") as tally:
        async for delivery in bus.replay(TOPIC_INSTANCES):
            try:
                event = events.read(delivery)
            except IsocenterError:
                continue  # nobody can read it: a dead letter there, and here
            try:
                if isinstance(event, InstanceStored):
                    await blobs.stat(event.key)
            except NotFound as error:
                tally.refuse(f"event {delivery.offset}", str(error))
            else:
                tally.add()
    return tally.refused


def _told(problem: str) -> int:
    if problem:
        complain(problem)
    return bool(problem)


def _end(wrong: int, well: str) -> int:
    out.print(f"{wrong:,} to look at: not everything could be recovered" if wrong else well)
    return 1 if wrong else 0
