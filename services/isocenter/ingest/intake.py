"""One object coming in: buffered up to a bound, then streamed; hashed and checked as it flows."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from isocenter.core.apis import Announcement, Storage
from isocenter.core.deflate import Inflater
from isocenter.core.errors import Unprocessable
from isocenter.core.frame_builder import FrameTableBuilder
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.part10 import file_meta
from isocenter.core.ports import Buffer
from isocenter.core.reader import Header, NeedMore, scan_header
from isocenter.core.transfer_syntax import TransferSyntax, lookup
from isocenter.ingest.settings import IngestSettings

_INLINE_WORK = 1024 * 1024  # bytes that are hashed or inflated without a thread


@dataclass(frozen=True, slots=True)
class Taken:
    """An object that is durable, not yet announced."""

    name: InstanceName
    header: Header
    header_bytes: bytes
    meta: bytes
    digest: str
    size: int  # of the Part 10 file, bytes

    @property
    def key(self) -> str:
        """Of the object in the blob store."""
        return ObjectName(self.name, self.digest).key


Admit = Callable[[Header], InstanceName]
Guard = Callable[[Taken], Awaitable[None]]


class Examiner:
    """Reads a data set as it flows: its header first, then whether it ends as it should."""

    def __init__(self, syntax: TransferSyntax, settings: IngestSettings) -> None:
        self.header: Header | None = None
        self.header_bytes = b""
        self._syntax = syntax
        self._settings = settings
        self._buffer = bytearray()  # all that came before the header was known
        self._needed = 0
        self._tail: FrameTableBuilder | None = None

    def feed(self, chunk: Buffer) -> None:
        """Take the next bytes. Raises `Unprocessable`."""
        if self._tail is not None:
            self._tail.feed(chunk)
            return
        self._buffer += chunk
        if len(self._buffer) >= self._needed:
            self._scan(complete=False)

    def finish(self) -> Header:
        """The data set ends here. Raises `Unprocessable` if it does not."""
        if self.header is None:
            self._scan(complete=True)
        assert self.header is not None
        if self._tail is not None:
            self._tail.check_end()
        return self.header

    def _scan(self, *, complete: bool) -> None:
        """Look for the end of the header in what has come."""
        found = scan_header(self._buffer, self._syntax.uid, complete, self._settings.depth)
        limit = self._settings.header_bytes
        if (found.at_least if isinstance(found, NeedMore) else found.length) > limit:
            raise Unprocessable(
                f"there are more than {limit} bytes before Pixel Data",
                fix="raise [ingest] header_bytes if this object is meant to be so",
            )
        if isinstance(found, NeedMore):
            self._needed = max(found.at_least, min(2 * len(self._buffer), limit))
            return
        self.header = found
        with memoryview(self._buffer) as view:
            self.header_bytes = bytes(view[: found.length])
            if found.pixel_tag:
                self._tail = FrameTableBuilder(self._syntax, found.length)
                self._tail.feed(view[found.length :])
        self._buffer = bytearray()


class InflatingExaminer:
    """The same for a data set that comes deflated."""

    def __init__(self, syntax: TransferSyntax, settings: IngestSettings) -> None:
        self._plain = Examiner(syntax, settings)
        self._inflater = Inflater(settings.inflated_bytes)

    @property
    def header(self) -> Header | None:
        """The header, once it is known."""
        return self._plain.header

    @property
    def header_bytes(self) -> bytes:
        """The elements before Pixel Data, inflated."""
        return self._plain.header_bytes

    def feed(self, chunk: Buffer) -> None:
        """Take the next bytes as they were sent. Raises `Unprocessable`."""
        for piece in self._inflater.feed(chunk):
            self._plain.feed(piece)

    def finish(self) -> Header:
        """The data set ends here. Raises `Unprocessable` if it does not."""
        self._inflater.finish()
        return self._plain.finish()


class Intake:
    """Takes one object into storage: reads its header and hashes while it arrives."""

    def __init__(
        self,
        storage: Storage,
        settings: IngestSettings,
        announcement: Announcement,
        admit: Admit,
        guard: Guard,
    ) -> None:
        """`admit` names an object or refuses it by its header, `guard` may refuse it when its
        digest is known. Raises `Unsupported` for an unknown transfer syntax."""
        self._storage = storage
        self._settings = settings
        self._admit = admit
        self._guard = guard
        self._announced = announcement
        self._syntax = lookup(announcement.transfer_syntax)
        examiner = InflatingExaminer if self._syntax.deflated else Examiner
        self._examiner: Examiner | InflatingExaminer = examiner(self._syntax, settings)
        self._meta = b""
        self._whole = hashlib.sha256()
        self._unhashed = bytearray()  # what came before the File Meta Information was known

    async def take(self, data_set: AsyncIterable[Buffer]) -> Taken:
        """Durable on return. Whatever raises, nothing is kept."""
        buffer = bytearray()
        chunks = aiter(data_set)
        self._begin(self._announced.sop_class, self._announced.instance)
        async for chunk in chunks:
            await self._work(self._look, chunk)
            buffer += chunk
            if len(buffer) > self._settings.buffer_bytes and self._examiner.header is not None:
                return await self._stream(buffer, chunks)
        taken = await self._finish(len(buffer))
        await self._guard(taken)
        await self._storage.put(taken.key, [taken.meta, buffer], taken.digest)
        return taken

    def _begin(self, sop_class: str, instance: str) -> None:
        """Begin to hash, if what the File Meta Information says is known."""
        if sop_class and instance and not self._meta:
            self._meta = file_meta(sop_class, instance, self._syntax.uid)
            self._whole.update(self._meta)
            self._whole.update(self._unhashed)
            self._unhashed.clear()

    def _look(self, chunk: Buffer) -> None:
        """Examine and hash what arrived. Raises `Unprocessable`."""
        self._examiner.feed(chunk)
        if not self._meta and self._examiner.header is not None:
            self._begin(self._examiner.header.sop_class, self._examiner.header.instance)
        if self._meta:
            self._whole.update(chunk)
        else:
            self._unhashed += chunk

    async def _finish(self, size: int) -> Taken:
        """All has arrived: what it is, if it may come in."""
        header = (
            await asyncio.to_thread(self._examiner.finish)
            if size > _INLINE_WORK
            else (self._examiner.finish())
        )
        name = self._admit(header)
        self._begin(header.sop_class, header.instance)
        digest = self._whole.hexdigest()
        whole = len(self._meta) + size
        return Taken(name, header, self._examiner.header_bytes, self._meta, digest, whole)

    async def _stream(self, begun: bytearray, chunks: AsyncIterator[Buffer]) -> Taken:
        """An object larger than the buffer: admitted by its header, then streamed."""
        assert self._examiner.header is not None
        self._admit(self._examiner.header)
        size = len(begun)
        async with await self._storage.stage() as upload:
            await upload.write(self._meta)
            await upload.write(begun)
            begun.clear()
            async for chunk in chunks:
                await self._work(self._look, chunk)
                await upload.write(chunk)
                size += len(chunk)
            taken = await self._finish(size)
            await self._guard(taken)
            await upload.commit(taken.key, taken.digest)
        return taken

    async def _work(self, function: Callable[[Buffer], object], data: Buffer) -> None:
        """Off the event loop if it takes long."""
        if len(data) > _INLINE_WORK or self._syntax.deflated:
            await asyncio.to_thread(function, data)
        else:
            function(data)
