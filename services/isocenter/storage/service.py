"""Custody of objects and of what is derived from them: the storage service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from isocenter.core.access import Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Frame, PixelFormat, StoredInstance, Verification, Versions
from isocenter.core.deletions import deleted_from_key
from isocenter.core.errors import Invalid, NotFound, Refused
from isocenter.core.identity import (
    ACCESS,
    AES,
    DELETED,
    DELETIONS,
    OBJECTS,
    OUTBOX,
    PACKS,
    SITES,
    OverlayName,
)
from isocenter.core.overlays import Overlay, corrected, decode_overlay
from isocenter.core.ports import BlobInfo, BlobStore, Buffer, Kept, StagedBlob
from isocenter.runtime.role import Env
from isocenter.runtime.streams import generator
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.storage import custody, pixel_access
from isocenter.storage.bulk_data import BulkValue
from isocenter.storage.catalogue import Catalogue
from isocenter.storage.settings import StorageSettings

_REMOVABLE = (PACKS, OUTBOX, DELETED, DELETIONS, AES, ACCESS, SITES)


class StorageService:
    """`core.apis.Storage` over a blob store."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        settings: StorageSettings,
        guard: Guard,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._guard = guard
        self._blobs = blobs
        self._settings = settings
        self._reserve = custody.Reserve(blobs, settings.reserve_bytes)
        self._catalogue = Catalogue(blobs, settings.cache_bytes)
        self._catalogue.lookups.tell(telemetry, "entries")

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Keep a complete small object; all that is no object may use the reserve."""
        if key.startswith(OBJECTS):
            await self._reserve.claim(sum(len(part) for part in data))
        await self._blobs.put(key, data, digest)

    async def stage(self) -> StagedBlob:
        """Begin an object."""
        await self._reserve.claim(0)
        return custody.ReservedUpload(await self._blobs.stage(), self._reserve)

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        return await self._blobs.stat(key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """A range of what is kept under a key, in bounded chunks."""
        return self._blobs.stream(key, offset, length)

    def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """What is kept below a prefix, in key order."""
        return self._blobs.list(prefix, after)

    async def remove(self, key: str) -> None:
        """Remove a metadata pack, an entry of the outbox, what was deleted, a superseded record of
        the AE directory, or an overlay of an object that is gone. Anything else: `Refused`."""
        if not key.startswith(_REMOVABLE) and not await self._is_left_over(key):
            raise Refused(
                f"{key} may not be removed: only packs, the outbox and what was deleted are",
                fix="delete it first, as DICOMweb and `isocenter delete` do",
            )
        await self._blobs.delete(key)

    async def _is_left_over(self, key: str) -> bool:
        overlay = OverlayName.from_key(key)
        if overlay is None:
            return False
        try:
            await self._blobs.stat(overlay.object.key)
        except NotFound:
            return True
        return False

    async def move(self, key: str, target: str) -> None:
        """An object that is deleted, or restored. Anything else: `Refused`."""
        deleted = deleted_from_key(target) or deleted_from_key(key)
        if deleted is None or {key, target} != {deleted[0].key, deleted[0].object.key}:
            raise Refused(
                f"{key} may not become {target}: only an object may, when it is deleted or restored"
            )
        await self._blobs.move(key, target)

    async def instances(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[StoredInstance]:
        """The current version of every instance at or below this level."""
        await self._guard.check(caller, Right.READ, partition, study)
        async for stored in self._catalogue.current(partition, study, series, instance):
            yield stored

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        """The DICOM JSON Model of the same instances in the same order."""
        await self._guard.check(caller, Right.READ, partition, study)
        async for _, attributes in self._catalogue.described(partition, study, series, instance):
            yield attributes

    async def described(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[tuple[Versions | None, bytes]]:
        """The same, each with what all of them are together."""
        await self._guard.check(caller, Right.READ, partition, study)
        async for one in self._catalogue.described(partition, study, series, instance):
            yield one

    def data_set(self, instance: StoredInstance) -> AsyncIterator[Buffer]:
        """The data set as stored, with its corrections; `Corrupted` in place of the last chunk if
        it changed."""
        stored = self._blobs.checked(_kept(instance))
        return self._corrected(instance, stored) if instance.overlay else stored

    async def _corrected(
        self, instance: StoredInstance, stored: AsyncIterator[Buffer]
    ) -> AsyncIterator[Buffer]:
        async with aclosing(generator(stored)) as data_set:
            overlay = await self._overlay(instance.overlay)
            async for chunk in corrected(data_set, instance.transfer_syntax, overlay):
                yield chunk

    async def _overlay(self, key: str) -> Overlay:
        """Raises `NotFound`, `Corrupted`."""
        name = OverlayName.from_key(key)
        if name is None:
            raise Invalid(f"{key} is no key of an overlay")
        checked = self._blobs.checked(Kept(key, name.digest))
        async with aclosing(generator(checked)) as chunks:
            return decode_overlay(key, b"".join([bytes(chunk) async for chunk in chunks]))

    async def pixel_format(self, instance: StoredInstance) -> PixelFormat:
        """Raises `NotFound` if there is no pixel data."""
        entry = await self._catalogue.entry(instance)
        if entry.pixel_format is None:
            raise NotFound(f"instance {instance.name.instance} has no pixels to show")
        return entry.pixel_format

    async def frames(
        self, instance: StoredInstance, numbers: Sequence[int]
    ) -> AsyncIterator[Frame]:
        """These frames, in the order asked for."""
        entry = await self._catalogue.entry(instance)
        limit = self._settings.inflated_bytes
        async for frame in pixel_access.frames(self._blobs, entry, numbers, limit):
            yield frame

    async def bulk_size(self, instance: StoredInstance, path: str) -> int:
        """The length of the value of a bulk data element."""
        return (await self._bulk(instance, path)).size

    async def bulk(
        self, instance: StoredInstance, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of that value."""
        value = await self._bulk(instance, path)
        async for chunk in value.read(offset, length):
            yield chunk

    async def _bulk(self, instance: StoredInstance, path: str) -> BulkValue:
        entry = await self._catalogue.entry(instance)
        return await BulkValue.find(self._blobs, entry, path, self._settings.inflated_bytes)

    def verify(self, prefix: str) -> AsyncIterator[Verification]:
        """Re-read every object below a prefix and compare it with the digest in its name."""
        return custody.verify(self._blobs, prefix)


def _kept(instance: StoredInstance) -> Kept:
    return Kept(instance.key, instance.digest, instance.data_set_offset, instance.checksum)


async def create(env: Env) -> StorageService:
    """The service of this process."""
    return StorageService(
        blobs=await env.blobs(),
        settings=env.section(StorageSettings),
        guard=await env.guard(),
        telemetry=env.telemetry,
    )
