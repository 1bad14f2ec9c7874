"""Copying blobs from one store to another, those that are not there yet; and what goes when
backups go."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from isocenter.adapters.backup.entries import Entry, beside
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.core.errors import Corrupted, NotFound, OutOfResources
from isocenter.core.ports import BlobInfo, BlobStore, Kept

AT_ONCE = 8  # blobs


class Fate(Enum):
    """What became of a blob that was to be copied."""

    COPIED = "copied"
    THERE = "there"  # under the same name, with the same size
    GONE = "gone"  # not in the source
    DAMAGED = "damaged"  # not what its digest says


@dataclass(frozen=True, slots=True)
class Outcome:
    """One blob."""

    entry: Entry
    fate: Fate
    problem: str = ""


async def copied(
    wanted: AsyncIterator[Entry], source: BlobStore, target: FileBlobs, prefix: str
) -> AsyncIterator[Outcome]:
    """What became of each entry, in their order. Each copy is durable, and has been compared with
    its digest. Raises `OutOfResources` and `Unavailable`: what was copied stays."""
    batch: list[tuple[Entry, BlobInfo | None]] = []
    async for entry, found in beside(wanted, target.list(prefix)):
        batch.append((entry, found))
        if len(batch) == AT_ONCE:
            for outcome in await _copy_all(batch, source, target):
                yield outcome
            batch = []
    for outcome in await _copy_all(batch, source, target):
        yield outcome


async def _copy_all(
    batch: list[tuple[Entry, BlobInfo | None]], source: BlobStore, target: FileBlobs
) -> list[Outcome]:
    # All are over before an error is raised: nothing writes any more then.
    done = await asyncio.gather(
        *(_copy(entry, found, source, target) for entry, found in batch), return_exceptions=True
    )
    outcomes = []
    for one in done:
        if isinstance(one, BaseException):
            raise one
        outcomes.append(one)
    return outcomes


async def _copy(
    entry: Entry, found: BlobInfo | None, source: BlobStore, target: FileBlobs
) -> Outcome:
    if found is not None and found.size == entry.size and entry.digest:
        return Outcome(entry, Fate.THERE)
    try:
        if not entry.digest:
            entry = replace(entry, digest=await _digest(source, entry.key))
        if found is not None:
            await target.delete(entry.key)  # a damaged copy
        async with await target.stage() as staged:
            async for chunk in source.checked(Kept(entry.key, entry.digest)):
                await staged.write(chunk)
            await staged.commit(entry.key, entry.digest)
        await target.date(entry.key, entry.modified_at)
    except OutOfResources as error:
        raise OutOfResources(
            f"no room for {entry.key} below {target.root}",
            fix="free space on its disk, and run it again; what was copied stays",
        ) from error
    except NotFound as error:
        return Outcome(entry, Fate.GONE, str(error))
    except Corrupted as error:
        return Outcome(entry, Fate.DAMAGED, str(error))
    return Outcome(entry, Fate.COPIED)


async def _digest(source: BlobStore, key: str) -> str:
    hasher = hashlib.sha256()
    async for chunk in source.stream(key):
        hasher.update(chunk)
    return hasher.hexdigest()


async def remove_others(store: BlobStore, prefix: str, kept: list[Iterator[Entry]]) -> int:
    """Remove the blobs that none of these lists names; how many."""
    names = heapq.merge(*((entry.key for entry in entries) for entries in kept))
    name, removed = next(names, ""), 0
    async for info in store.list(prefix):
        while name and name < info.key:
            name = next(names, "")
        if info.key != name:
            await store.delete(info.key)
            removed += 1
    return removed
