"""Deletions as the object store has them (`core.deletions`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from isocenter.core.apis import Storage
from isocenter.core.deletions import (
    DeletedObject,
    Deletion,
    deleted_from_key,
    deleted_prefix,
    from_record,
)
from isocenter.core.ports import BlobInfo
from isocenter.runtime.streams import generator


@dataclass(slots=True)
class Held:
    """What is kept of one object of a deletion."""

    one: DeletedObject
    object: BlobInfo | None = None  # while it is there
    spared: bool = False  # the mark that the deletion is over for it


async def held_of(
    storage: Storage, partition: str, study: str, deletion: str = ""
) -> Sequence[Held]:
    """What is deleted of a study, or by one deletion, in the order of the keys."""
    found: dict[DeletedObject, Held] = {}
    listing = storage.list(deleted_prefix(partition, study, deletion))
    async with aclosing(generator(listing)) as infos:
        async for info in infos:
            named = deleted_from_key(info.key)
            if named is None:
                continue
            one, is_mark = named
            held = found.setdefault(one, Held(one))
            if is_mark:
                held.spared = True
            else:
                held.object = info
    return list(found.values())


async def read_deletion(storage: Storage, key: str) -> Deletion:
    """A deletion by the key of its record. Raises `NotFound`, `Corrupted`."""
    async with aclosing(generator(storage.read(key))) as chunks:
        return from_record(key, b"".join([chunk async for chunk in chunks]))
