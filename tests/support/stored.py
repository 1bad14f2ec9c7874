"""What is in an `Archive` of the tests, read through its storage service."""

from __future__ import annotations

from isocenter.core.access import SYSTEM
from isocenter.core.apis import StoredInstance
from isocenter.core.entries import entry_from_object
from isocenter.core.identity import ObjectName
from isocenter.core.packs import PackEntry, encode_pack, pack_key
from isocenter.runtime.compression import compress
from support.objects import (
    STUDY,
    Archive,
    announcement,
    chunks,
    digest,
)


async def all_instances(
    archive: Archive, study: str = STUDY, series: str = ""
) -> list[StoredInstance]:
    return [item async for item in archive.storage.instances(SYSTEM, "main", study, series)]


async def one(archive: Archive, data: bytes, transfer_syntax: str = "") -> StoredInstance:
    """Store one object; what storage tells of it."""
    announced = announcement(transfer_syntax) if transfer_syntax else announcement()
    stored = await archive.ingest.store(announced, chunks(data))
    name = stored.name
    (found,) = [
        item
        async for item in archive.storage.instances(
            SYSTEM, "main", name.study, name.series, name.instance
        )
    ]
    return found


async def bulk_of(
    archive: Archive, stored: StoredInstance, path: str, offset: int = 0, length: int | None = None
) -> bytes:
    """A range of the value of a bulk data element."""
    value = archive.storage.bulk(stored, path, offset, length)
    return b"".join([chunk async for chunk in value])


async def frames_of(archive: Archive, instance: StoredInstance, numbers: list[int]) -> list[bytes]:
    """Frames as stored."""
    return [frame.data async for frame in archive.storage.frames(instance, numbers)]


async def write_pack(archive: Archive, names: list[StoredInstance]) -> str:
    """Write a metadata pack of these instances, as indexing does."""
    entries: list[PackEntry] = []
    for item in names:
        stream = archive.blobs.stream(item.key)
        name = ObjectName(item.name, item.digest)
        entries.append((await entry_from_object(name, item.size, stream))[0])
    blob = compress(encode_pack(entries))
    name = names[0].name
    key = pack_key(name.partition, name.study, name.series, digest(blob))
    await archive.storage.put(key, [blob], digest(blob))
    return key
