"""What of a request must wait on the disk until the rest of it is there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterable
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

from isocenter.core.errors import OutOfResources
from isocenter.core.json_encoder import Range
from isocenter.core.ports import Buffer
from isocenter.web.chunks import Chunks

_IN_MEMORY = 1024 * 1024  # bytes of a request that is not worth a file
_AT_ONCE = 1024 * 1024  # bytes that are written together
_CHUNK = 256 * 1024  # bytes that are read together


class Spool:
    """One temporary file, without a name where the system allows; gone when it is left."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - see __exit__
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    async def write(self, chunks: AsyncIterable[Buffer]) -> Range:
        """Put all of it at the end; where it is. Raises `OutOfResources`."""
        begin = self._size
        held = bytearray()
        async for chunk in chunks:
            held += chunk
            if len(held) >= _AT_ONCE:
                await self._append(held)
                held = bytearray()
        await self._append(held)
        return Range(begin, self._size - begin)

    async def _append(self, data: bytearray) -> None:
        self._file.seek(self._size)
        self._size += len(data)
        try:
            if self._size > _IN_MEMORY:
                await asyncio.to_thread(self._file.write, data)
            else:
                self._file.write(data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OutOfResources(
                "no room for bulk data that waits to be stored",
                fix="free some space where temporary files are, or send objects as DICOM files",
            ) from error

    def read(self, where: Range) -> bytes:
        """Bytes that were written, or as many of them as there are."""
        self._file.seek(where.offset)
        return self._file.read(where.length)

    def source(self, where: Range) -> Source:
        """The same, to be read at any place."""
        return Source(self, where)

    async def chunks(self, where: Range) -> Chunks:
        """The same, piece by piece."""
        position, end = where.offset, where.offset + where.length
        while position < end:
            part = Range(position, min(_CHUNK, end - position))
            yield await asyncio.to_thread(self.read, part)
            position += part.length


@dataclass(frozen=True, slots=True)
class Source:
    """A range of a spool as if it were all there is."""

    spool: Spool
    where: Range

    @property
    def size(self) -> int:
        """Bytes."""
        return self.where.length

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of it, or as many of them as there are."""
        left = max(0, min(length, self.size - offset))
        return self.spool.read(Range(self.where.offset + offset, left))
