"""`isocenter import`, `verify`, `rebuild`, `replay` and `sweep`: work on an installation, served
or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from isocenter.app import Process
from isocenter.cli.common import err, operator, out, process
from isocenter.cli.progress import Tally
from isocenter.cli.recording import Checked, record, verification
from isocenter.cli.serving import is_served
from isocenter.cli.sources import SourceFile, find_some
from isocenter.core import part10
from isocenter.core.access import SYSTEM
from isocenter.core.apis import Announcement, Ingest, Storage
from isocenter.core.errors import Invalid, IsocenterError, NotFound, OutOfResources, Unavailable
from isocenter.core.events import AuditAction, Source
from isocenter.core.identity import ObjectName, is_uid, objects_prefix
from isocenter.settings import Settings


async def import_files(settings: Settings, paths: Sequence[Path]) -> int:
    """Store every file; 0 when none was refused."""
    source = operator()
    files = find_some(paths)
    async with process(settings) as env:
        ingest = await env.ingest()
        with Tally(err, "imported", "instances", len(files)) as tally:
            for file in files:
                try:
                    tally.add(await _import_file(ingest, source, file))
                except (OutOfResources, Unavailable):
                    raise  # the next file would fare no better
                except IsocenterError as error:
                    tally.refuse(file.label, str(error))
    if tally.done and not is_served(settings.data):
        out.print(f"searches find them once `isocenter up` runs on {settings.data}", markup=False)
    return 1 if tally.refused else 0


async def _import_file(ingest: Ingest, source: Source, file: SourceFile) -> int:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in file.chunks():
            yield chunk

    meta, data_set = await part10.split(chunks())
    announcement = Announcement(source=source, caller=SYSTEM, transfer_syntax=meta.transfer_syntax)
    stored = await ingest.store(announcement, data_set)
    return stored.size


async def verify(settings: Settings, study: str) -> int:
    """Re-read all objects, or those of one study; 0 when all are as they were stored."""
    if study and not is_uid(study):
        raise Invalid(f"--study {study}: not a UID", fix="give a Study Instance UID")
    async with process(settings) as env:
        storage = await env.storage()
        async with verification(env, "verify", study) as checked:
            with Tally(err, "verified", "objects", otherwise="not as stored") as tally:
                prefix = objects_prefix(settings.ingest.partition, study)
                await read_again(storage, prefix, tally, checked)
                if study and not tally.done + tally.refused:
                    raise NotFound(
                        f"no object of the study {study} is kept here", fix="check the UID"
                    )
    return 1 if tally.refused else 0


async def read_again(storage: Storage, prefix: str, tally: Tally, checked: Checked) -> None:
    """Compare objects with the digests in their names."""
    async for result in storage.verify(prefix):
        if not result.ok:
            tally.refuse(result.key, result.problem)
            checked.damage(result.key)
        elif ObjectName.from_key(result.key):  # not an overlay
            tally.add()
            checked.objects += 1


async def rebuild(settings: Settings) -> int:
    """Fill a new index and switch to it; 0 when every object could be read."""
    async with process(settings) as env:
        await record(env, AuditAction.SECURITY, "rebuild of the search index")
        refused = await new_index(env)
    out.print("the new index answers")
    return 1 if refused else 0


async def new_index(env: Process) -> int:
    """Fill a new index and switch to it; how many objects could not be read."""
    indexing = await env.indexing()
    with Tally(err, "indexed", "instances", otherwise="not readable") as tally:
        async for step in indexing.rebuild():
            tally.add(count=step.instances - tally.done)
            tally.refuse_new(step.problems)
    return tally.refused


async def replay(settings: Settings, since: datetime | None, offsets: Sequence[str]) -> int:
    """Apply the log's events of instances to the index again; 0 when all could be applied."""
    start = _offsets(offsets)
    async with process(settings) as env:
        indexing = await env.indexing()
        await record(env, AuditAction.SECURITY, "replay of events into the search index")
        with Tally(err, "replayed", "events", otherwise="not applicable") as tally:
            async for step in indexing.replay(since and since.replace(tzinfo=UTC), start):
                tally.refuse_new(step.problems)
                tally.add(count=step.events - tally.done - tally.refused)
    return 1 if tally.refused else 0


def _offsets(texts: Sequence[str]) -> Mapping[int, int]:
    found: dict[int, int] = {}
    for text in texts:
        partition, _, offset = text.partition("=")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise Invalid(f"--from {text}: not PARTITION=OFFSET", fix="write --from 0=1200")
        found[int(partition)] = int(offset)
    return found


async def sweep(settings: Settings) -> int:
    """Announce the objects that nobody has announced; 0 when every orphan could be read."""
    async with process(settings) as env:
        indexing = await env.indexing()
        await record(env, AuditAction.SECURITY, "sweep for objects that no event has announced")
        announced = waiting = 0
        with Tally(err, "looked at", "objects", otherwise="not readable") as tally:
            async for step in indexing.sweep():
                tally.refuse_new(step.problems)
                tally.add(count=step.objects - tally.done - tally.refused)
                announced, waiting = step.announced, step.waiting
    out.print(f"orphans announced: {announced:,}")
    if waiting:
        out.print(
            f"not in the index yet: {waiting:,}; their events may be under way, so "
            "sweep again when indexing has caught up"
        )
    return 1 if tally.refused else 0
