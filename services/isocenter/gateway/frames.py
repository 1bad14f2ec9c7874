"""New instances of some frames of one that is kept, for retrieves at the FRAME level (PS3.4 Y.3.3).

They are made on the way out and not kept. The same frames of the same object make the same
instance, so a receiver that gets it twice has it once.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from isocenter.core import frame_extraction
from isocenter.core.apis import Frame, Storage, StoredInstance, Transcoding
from isocenter.core.dictionary import PIXEL_DATA, SEQUENCE_DELIMITER, UNDEFINED
from isocenter.core.elements import Truncated, broken, head, head_of_item, structure_of
from isocenter.core.errors import Invalid, IsocenterError, NotFound, Unsupported
from isocenter.core.frame_extraction import Extraction
from isocenter.core.frame_selection import FrameRange, Kind, NotTimed
from isocenter.core.ports import Buffer
from isocenter.core.reader import NeedMore, scan_header
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    Codec,
    TransferSyntax,
    lookup,
)
from isocenter.gateway import statuses
from isocenter.gateway.identifiers import INSTANCE_UID, Identifier
from isocenter.gateway.statuses import StatusError
from isocenter.runtime.streams import generator

T = TypeVar("T")

_END_OF_FRAGMENTS = struct.pack("<HHI", SEQUENCE_DELIMITER >> 16, SEQUENCE_DELIMITER & 0xFFFF, 0)

# What goes wrong with the frames, as PS3.4 tables Y.4-1 and Y.4-2 say it; the first that fits.
_STATUSES: Mapping[type[IsocenterError], int] = {
    NotTimed: statuses.FRAMES_HAVE_NO_TIMES,
    Invalid: statuses.INVALID_FRAME_REQUEST,
    NotFound: statuses.NO_SUCH_FRAMES,
    Unsupported: statuses.UNABLE_TO_EXTRACT_FRAMES,
}


def frame_range(identifier: Identifier) -> FrameRange:
    """The frame range key of a request of the FRAME level. Raises `StatusError` if that is not
    about one instance with one such key (Y.4.1.2.1)."""
    keys = {kind: identifier.values(kind.value) for kind in Kind}
    given = [FrameRange(kind, _numbers(values)) for kind, values in keys.items() if values]
    if len(identifier.values(INSTANCE_UID)) != 1 or len(given) != 1:
        raise StatusError(
            "level FRAME needs one SOP Instance UID and one frame range key",
            statuses.INVALID_FRAME_REQUEST,
        )
    return given[0]


def _numbers(values: tuple[str, ...]) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except ValueError as error:
        raise StatusError(
            "a frame range key holds no numbers", statuses.INVALID_FRAME_REQUEST
        ) from error


@dataclass(frozen=True, slots=True)
class _Source:
    """What stands before the pixel data of the instance that is kept."""

    header: bytes
    syntax: TransferSyntax
    pixel_tag: int = 0  # 0: there is no pixel data
    pixel_vr: str = ""


class Extracted:
    """A new instance, of which nothing but the header was made yet."""

    def __init__(
        self, storage: Storage, stored: StoredInstance, source: _Source, what: Extraction
    ) -> None:
        """`source` has the header of the new instance, and the rest of the one that is kept."""
        self._storage = storage
        self._stored = stored
        self._source = source
        self._frames = what.frames
        self.instance = replace(
            stored,
            name=replace(stored.name, instance=what.instance),
            transfer_syntax=source.syntax.uid,
            size=len(source.header) + stored.size // what.count * len(what.frames),
            number_of_frames=len(what.frames),
        )

    async def data_set(self, instance: StoredInstance) -> AsyncIterator[Buffer]:
        """See `payload.DataSets`; there is this one."""
        assert instance == self.instance
        yield self._source.header
        found = self._storage.frames(self._stored, self._frames)
        async with aclosing(generator(found)) as frames:
            encapsulated = self._source.syntax.encapsulated
            async for part in self._encapsulated(frames) if encapsulated else self._native(frames):
                yield part

    async def _native(self, frames: AsyncIterator[Frame]) -> AsyncIterator[Buffer]:
        """Frames of one size, one after another (PS3.5 8.1)."""
        structure = structure_of(self._source.syntax)
        size = 0
        async for frame in frames:
            if not size:
                size = len(frame.data) * len(self._frames)
                tag, vr = self._source.pixel_tag, self._source.pixel_vr
                yield head(structure, tag, vr, size + size % 2)
            yield frame.data
        if size % 2:
            yield b"\0"

    async def _encapsulated(self, frames: AsyncIterator[Frame]) -> AsyncIterator[Buffer]:
        """A fragment for each frame, behind an empty Basic Offset Table (PS3.5 A.4)."""
        structure = structure_of(self._source.syntax)
        yield head(structure, PIXEL_DATA, "OB", UNDEFINED) + head_of_item(structure, 0)
        async for frame in frames:
            odd = len(frame.data) % 2
            yield head_of_item(structure, len(frame.data) + odd)
            yield frame.data + b"\0" * odd
        yield _END_OF_FRAGMENTS


class FrameExtractor:
    """Makes them."""

    def __init__(self, *, storage: Storage, transcoding: Transcoding) -> None:
        self._storage = storage
        self._transcoding = transcoding

    async def extract(self, stored: StoredInstance, asked: FrameRange) -> Extracted:
        """The new instance. Raises `StatusError` as PS3.4 Y.4.1.1.4 says."""
        syntax = lookup(stored.transfer_syntax)
        if syntax.video or syntax.codec is Codec.JPIP:
            raise StatusError(
                f"frames of {syntax.name} are not extracted", statuses.UNABLE_TO_EXTRACT_FRAMES
            )
        source = await self._source(stored)
        try:
            what, header = await asyncio.to_thread(_make, source, stored, asked)
        except StatusError:
            raise
        except tuple(_STATUSES) as error:
            status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
            raise StatusError(error.message, status) from error
        return Extracted(self._storage, stored, replace(source, header=header), what)

    async def _source(self, stored: StoredInstance) -> _Source:
        syntax = lookup(stored.transfer_syntax)
        chunks = self._storage.data_set(stored)
        if syntax.deflated:
            chunks = self._transcoding.data_set(chunks, syntax.uid, EXPLICIT_VR_LITTLE_ENDIAN)
            syntax = lookup(EXPLICIT_VR_LITTLE_ENDIAN)
        held, needed = bytearray(), 0
        async with aclosing(generator(chunks)) as data_set:
            async for chunk in data_set:
                held += chunk
                if len(held) >= needed:
                    found = _read(held, syntax, complete=False)
                    if isinstance(found, _Source):
                        return found
                    needed = max(found, 2 * len(held))
        found = _read(held, syntax, complete=True)
        assert isinstance(found, _Source)
        return found


def _read(held: bytearray, syntax: TransferSyntax, *, complete: bool) -> _Source | int:
    """The source, or how many bytes are needed for another try."""
    header = scan_header(held, syntax.uid, complete)
    if isinstance(header, NeedMore):
        return header.at_least
    before = bytes(held[: header.length])
    if not header.pixel_tag:
        return _Source(before, syntax)
    try:
        tag, vr, *_ = structure_of(syntax).element(held, header.length, len(held))
    except Truncated as error:
        if complete:
            raise broken("it ends in Pixel Data", len(held)) from error
        return error.needed
    return _Source(before, syntax, tag, vr)


def _make(source: _Source, stored: StoredInstance, asked: FrameRange) -> tuple[Extraction, bytes]:
    """The new header, in a thread: functional groups of many frames take a while."""
    header = _understood(lambda: frame_extraction.parse(source.header, source.syntax))
    try:
        count = _understood(lambda: frame_extraction.frame_count(header))
    except Unsupported as error:
        raise StatusError(error.message, statuses.NO_FRAMES_OF_THIS_CLASS) from error
    if count > stored.size:
        raise Unsupported("it has fewer frames than it says")
    times = partial(_understood, lambda: frame_extraction.frame_times(header, count))
    frames = asked.frames(count, times)
    digest = f"{stored.digest} {stored.overlay}"
    what = Extraction(stored.name.instance, digest, asked, frames, count)
    _understood(lambda: frame_extraction.extract(header, what))
    return what, _understood(lambda: frame_extraction.encode(header, source.syntax))


def _understood(work: Callable[[], T]) -> T:
    """Headers may hold anything; what pydicom cannot make sense of is not rewritten."""
    try:
        return work()
    except IsocenterError:
        raise
    except Exception as error:
        raise Unsupported(
            f"its header cannot be rewritten: {type(error).__name__}", fix="retrieve the instance"
        ) from error
