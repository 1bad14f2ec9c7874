"""Values of bulk data elements out of objects, by range reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from isocenter.core.errors import Corrupted, NotFound
from isocenter.core.locate import Place, locate
from isocenter.core.packs import PackEntry
from isocenter.core.ports import BlobStore, Buffer
from isocenter.core.transfer_syntax import lookup
from isocenter.storage.pixel_access import inflated

_WINDOW = 65_536  # bytes that are read at once while an element is looked for
_CHUNK = 1024 * 1024

# PS3.5 table 6.2-1 and 7.3: what one number of a VR has in bytes. All others are bytes.
_NUMBER_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("OW", "US", "SS", "AT"), 2),
    **dict.fromkeys(("OL", "OF", "UL", "SL", "FL"), 4),
    **dict.fromkeys(("OV", "OD", "UV", "SV", "FD"), 8),
}


class BulkValue:
    """One value."""

    def __init__(self, blobs: BlobStore, entry: PackEntry, place: Place, data: bytes) -> None:
        self._blobs = blobs
        self._key = entry.object.key
        self._begin = entry.data_set_offset + place.offset
        self._data = data  # of a data set that had to be inflated; else empty
        self._place = place
        swapped = not lookup(entry.transfer_syntax).little_endian
        self._number = _NUMBER_BYTES.get(place.vr, 1) if swapped else 1

    @classmethod
    async def find(cls, blobs: BlobStore, entry: PackEntry, path: str, limit: int) -> BulkValue:
        """Raises `NotFound`. A deflated data set is inflated up to a limit of bytes."""
        data = b""
        if lookup(entry.transfer_syntax).deflated:
            data = await inflated(blobs, entry, limit)
        place = await _locate(blobs, entry, path, data)
        if place is None:
            raise NotFound(f"instance {entry.name.instance} has no bulk data {path[:100]!r}")
        return cls(blobs, entry, place, data)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._place.length

    async def read(self, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """A range, in little endian."""
        end = self.size if length is None else min(self.size, offset + length)
        position = offset - offset % self._number
        while position < end:
            whole = -(-(end - position) // self._number) * self._number
            wanted = min(_CHUNK, self.size - position, whole)
            chunk = self._swapped(await self._get(position, wanted))
            yield chunk[max(0, offset - position) : end - position]
            position += wanted

    async def _get(self, offset: int, length: int) -> bytes:
        if self._data:
            begin = self._place.offset + offset
            return self._data[begin : begin + length]
        data = await self._blobs.get(self._key, self._begin + offset, length)
        if len(data) < length:
            raise Corrupted(f"{self._key} is shorter than it says", fix="run `isocenter verify`")
        return data

    def _swapped(self, data: bytes) -> bytes:
        width = self._number
        if width == 1:
            return data
        swapped = bytearray(data)
        for at in range(width):
            swapped[at::width] = data[width - 1 - at :: width]
        return bytes(swapped)


async def _locate(blobs: BlobStore, entry: PackEntry, path: str, data: bytes) -> Place | None:
    base, window = 0, memoryview(data)
    size = len(data) or entry.size - entry.data_set_offset
    looking = locate(entry.transfer_syntax, path, size)
    head: Buffer | None = None
    while True:
        try:
            offset, length = looking.send(head)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as done:
            place: Place | None = done.value
            return place
        if not base <= offset <= offset + length <= base + len(window):
            at = entry.data_set_offset + offset
            base, window = offset, memoryview(await blobs.get(entry.object.key, at, _WINDOW))
        head = window[offset - base : offset - base + length]
