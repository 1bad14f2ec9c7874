"""One object coming in: buffered up to a bound, then streamed; hashed and checked as it flows."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from isocenter.core.apis import Storage, Upload
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

    def __init__(self, syntax: TransferSyntax, settings: IngestSettings, begun: bytearray) -> None:
        """`begun` is what has come already; it grows until the header is known, so that it then
        holds all that came (after inflation)."""
        self.header: Header | None = None
        self.header_bytes = b""
        self._syntax = syntax
        self._settings = settings
        self._buffer = begun
        self._needed = 0
        self._tail: FrameTableBuilder | None = None

    def feed(self, chunk: Buffer) -> None:
        """Take the next bytes. Raises `Unprocessable`."""
        if self._tail is not None:
            self._tail.feed(chunk)
            return
        self._buffer += chunk
        if len(self._buffer) >= self._needed:
            self.scan(complete=False)

    def finish(self) -> Header:
        """The data set ends here. Raises `Unprocessable` if it does not."""
        if self.header is None:
            self.scan(complete=True)
        assert self.header is not None
        if self._tail is not None:
            self._tail.check_end()
        return self.header

    def scan(self, *, complete: bool) -> None:
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


class InflatingExaminer:
    """The same for a data set that comes deflated."""

    def __init__(self, syntax: TransferSyntax, settings: IngestSettings) -> None:
        self._plain = Examiner(syntax, settings, bytearray())
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
    """Takes one object into storage."""

    def __init__(
        self,
        storage: Storage,
        settings: IngestSettings,
        transfer_syntax: str,
        admit: Admit,
        guard: Guard,
    ) -> None:
        """`admit` names an object or refuses it by its header, `guard` may refuse it when its
        digest is known. Raises `Unsupported` for an unknown transfer syntax."""
        self._storage = storage
        self._settings = settings
        self._admit = admit
        self._guard = guard
        self._syntax = lookup(transfer_syntax)
        self._size = 0

    async def take(self, data_set: AsyncIterable[Buffer]) -> Taken:
        """Durable on return. Whatever raises, nothing is kept."""
        buffer = bytearray()
        chunks = aiter(data_set)
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) > self._settings.buffer_bytes:
                return await self._large(buffer, chunks)
        return await self._whole(buffer)

    async def _whole(self, data: bytearray) -> Taken:
        """An object that is complete in the buffer."""
        if len(data) > _INLINE_WORK or self._syntax.deflated:
            taken = await asyncio.to_thread(self._examine, data)
        else:
            taken = self._examine(data)
        await self._guard(taken)
        await self._storage.put(taken.key, [taken.meta, data], taken.digest)
        return taken

    def _examine(self, data: bytearray) -> Taken:
        examiner: Examiner | InflatingExaminer
        if self._syntax.deflated:
            examiner = InflatingExaminer(self._syntax, self._settings)
            examiner.feed(data)
        else:
            examiner = Examiner(self._syntax, self._settings, data)
            examiner.scan(complete=True)
        header = examiner.finish()
        name = self._admit(header)
        meta = file_meta(header.sop_class, header.instance, self._syntax.uid)
        whole = hashlib.sha256(meta)
        whole.update(data)
        size = len(meta) + len(data)
        return Taken(name, header, examiner.header_bytes, meta, whole.hexdigest(), size)

    async def _large(self, begun: bytearray, chunks: AsyncIterator[Buffer]) -> Taken:
        """An object larger than the buffer: admitted by its header, then streamed."""
        examiner: Examiner | InflatingExaminer
        if self._syntax.deflated:
            examiner = InflatingExaminer(self._syntax, self._settings)
            await asyncio.to_thread(examiner.feed, begun)
        else:
            examiner = Examiner(self._syntax, self._settings, begun)
            await asyncio.to_thread(examiner.scan, complete=False)
        while examiner.header is None:
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                return await self._whole(begun)
            await self._work(examiner.feed, chunk)
            if self._syntax.deflated:
                begun += chunk
        name = self._admit(examiner.header)
        meta = file_meta(examiner.header.sop_class, examiner.header.instance, self._syntax.uid)
        whole = hashlib.sha256()
        async with await self._storage.stage() as upload:
            await self._add(upload, whole, meta)
            await self._add(upload, whole, begun)
            begun.clear()
            async for chunk in chunks:
                await self._work(examiner.feed, chunk)
                await self._add(upload, whole, chunk)
            header = await asyncio.to_thread(examiner.finish)
            digest = whole.hexdigest()
            taken = Taken(name, header, examiner.header_bytes, meta, digest, self._size)
            await self._guard(taken)
            await upload.commit(taken.key, digest)
        return taken

    async def _add(self, upload: Upload, whole: hashlib._Hash, data: Buffer) -> None:
        self._size += len(data)
        await self._work(whole.update, data)
        await upload.write(data)

    async def _work(self, function: Callable[[Buffer], object], data: Buffer) -> None:
        """Off the event loop if it takes long."""
        if len(data) > _INLINE_WORK or self._syntax.deflated:
            await asyncio.to_thread(function, data)
        else:
            function(data)
