"""One object coming in: streamed to storage, read and checked as it flows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass

from isocenter.core.apis import Announcement, Storage
from isocenter.core.deflate import Inflater
from isocenter.core.errors import Unprocessable
from isocenter.core.frame_builder import FrameTableBuilder
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.part10 import file_meta
from isocenter.core.ports import Buffer, StagedBlob
from isocenter.core.reader import Header, NeedMore, scan_header
from isocenter.core.transfer_syntax import TransferSyntax, lookup
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.checksum import Checksum

INLINE_WORK = 1024 * 1024  # bytes that are examined or inflated without a thread


@dataclass(frozen=True, slots=True)
class Taken:
    """An object that is durable, not yet announced."""

    name: InstanceName
    header: Header
    header_bytes: bytes
    meta: bytes
    digest: str
    checksum: str
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
        if not self._buffer:
            self._scan(chunk, complete=False)  # nearly always all of the header
        if self.header is None:
            self._buffer += chunk
            if len(self._buffer) >= self._needed:
                self._scan(self._buffer, complete=False)

    def finish(self) -> Header:
        """The data set ends here. Raises `Unprocessable` if it does not."""
        if self.header is None:
            self._scan(self._buffer, complete=True)
        assert self.header is not None
        if self._tail is not None:
            self._tail.check_end()
        return self.header

    def _scan(self, came: Buffer, *, complete: bool) -> None:
        """Look for the end of the header in all that has come."""
        found = scan_header(came, self._syntax.uid, complete, self._settings.depth)
        limit = self._settings.header_bytes
        if (found.at_least if isinstance(found, NeedMore) else found.length) > limit:
            raise Unprocessable(
                f"there are more than {limit} bytes before Pixel Data",
                fix="raise [ingest] header_bytes if this object is meant to be so",
            )
        if isinstance(found, NeedMore):
            self._needed = max(found.at_least, min(2 * len(came), limit))
            return
        self.header = found
        with memoryview(came) as view:
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
    """Takes one object into storage while it arrives."""

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
        self._admit = admit
        self._guard = guard
        self._announced = announcement
        self._syntax = lookup(announcement.transfer_syntax)
        examiner = InflatingExaminer if self._syntax.deflated else Examiner
        self._examiner: Examiner | InflatingExaminer = examiner(self._syntax, settings)
        self._meta = b""
        self._size = 0  # of the data set so far
        self._early = bytearray()  # what came before the File Meta Information was known
        self._checksum = Checksum()
        self._name: InstanceName | None = None

    async def take(self, data_set: AsyncIterable[Buffer]) -> Taken:
        """Durable on return. Whatever raises, nothing is kept."""
        async with await self._storage.stage() as upload:
            await self._begin(upload, self._announced.sop_class, self._announced.instance)
            async for chunk in data_set:
                await self._work(self._examiner.feed, chunk)
                await self._write(upload, chunk)
            header = await self._finish()
            taken = Taken(
                name=await self._admitted(upload, header),
                header=header,
                header_bytes=self._examiner.header_bytes,
                meta=self._meta,
                digest=upload.digest(),
                checksum=self._checksum.hexdigest(),
                size=len(self._meta) + self._size,
            )
            await self._guard(taken)
            await upload.commit(taken.key, taken.digest)
        return taken

    async def _finish(self) -> Header:
        if self._examiner.header is None and self._size > INLINE_WORK:
            return await asyncio.to_thread(self._examiner.finish)
        return self._examiner.finish()

    async def _write(self, upload: StagedBlob, chunk: Buffer) -> None:
        self._size += len(chunk)
        if self._name is None and self._examiner.header is not None:
            await self._admitted(upload, self._examiner.header)
        if self._meta:
            self._checksum.update(chunk)
            await upload.write(chunk)
        else:
            self._early += chunk

    async def _admitted(self, upload: StagedBlob, header: Header) -> InstanceName:
        """The name of an object that may come in, as soon as its header is known."""
        if self._name is None:
            self._name = self._admit(header)
            await self._begin(upload, header.sop_class, header.instance)
        return self._name

    async def _begin(self, upload: StagedBlob, sop_class: str, instance: str) -> None:
        """Begin the file, if what the File Meta Information says is known."""
        if sop_class and instance and not self._meta:
            self._meta = file_meta(sop_class, instance, self._syntax.uid)
            for part in (self._meta, self._early):
                self._checksum.update(part)
                await upload.write(part)
            self._early = bytearray()

    async def _work(self, function: Callable[[Buffer], object], data: Buffer) -> None:
        """Off the event loop if it takes long."""
        if len(data) > INLINE_WORK or self._syntax.deflated:
            await asyncio.to_thread(function, data)
        else:
            function(data)
