"""Services that answer from what a test gives them, for suites that are about the transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from isocenter.core.access import Caller
from isocenter.core.apis import (
    Announcement,
    FillProgress,
    Frame,
    PixelFormat,
    RebuildProgress,
    Rendering,
    ReplayProgress,
    Stored,
    StoredInstance,
    SweepProgress,
    Verification,
    Versions,
)
from isocenter.core.deletions import Deletion, deletion_id
from isocenter.core.errors import IsocenterError, NotFound, Refused
from isocenter.core.events import Source
from isocenter.core.identity import InstanceName
from isocenter.core.matching import Search
from isocenter.core.ports import BlobInfo, Buffer, Match

NAME = InstanceName("main", "1.2", "1.2.3", "1.2.3.4")
AT = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC)
BIG = bytes(range(256)) * 4096  # 1 MiB: several chunks
INSTANCE = StoredInstance(
    NAME,
    "d" * 64,
    "objects/k",
    2**33,
    "1.9",
    "1.2.840.10008.1.2",
    900,
    3,
    "0123456789abcdef",
    AT,
)
VERSIONS = Versions("f" * 64, AT)
PIXELS = PixelFormat(
    512, 256, 3, 16, 12, 1, "PALETTE COLOR", 1, 40.5, 400.0, 2.0, -1024.0,
    (b"r" * 256, b"g" * 256, b"b" * 256), -5, "SIGMOID",
)  # fmt: skip
PLAIN_PIXELS = PixelFormat(1, 1, 1, 8, 8, 0, "MONOCHROME2", 0)


DELETION = Deletion(
    deletion_id(AT, AT + timedelta(days=7), 5), "main", "1.2", "1.3", "1.4",
    Source("DICOMweb", host="10.0.0.1", user="eva"), "wrong patient", 3, 4, 2**33, 2,
)  # fmt: skip


class Fake:
    """Remembers what it was asked; raises `error` if it is set; endless where `endless`."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.error: Exception | None = None
        self.closed = asyncio.Event()  # an iterator was closed before its end
        self.endless = False

    def _ask(self, *what: object) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def _answers(self, *values: object):
        try:
            for value in values:
                yield value
            while self.endless:
                await asyncio.sleep(0)
                yield values[-1]
        except BaseException:
            self.closed.set()
            raise


class FakeIngest(Fake):
    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        self._ask(announcement)
        try:
            data = b"".join([bytes(part) async for part in data_set])
        except BaseException:
            self.closed.set()
            raise
        self.asked.append(data)
        return Stored(NAME, "1.9", announcement.transfer_syntax, "d" * 64, len(data))

    async def delete(
        self,
        caller: Caller,
        partition: str,
        study: str,
        series: str,
        instance: str,
        by: Source,
        reason: str,
    ) -> Deletion:
        self._ask(caller, partition, study, series, instance, by, reason)
        return DELETION

    async def deletions(self, caller: Caller, partition: str):
        self._ask(caller, partition)
        async for one in self._answers(DELETION, DELETION):
            yield one

    async def restore(self, caller: Caller, partition: str, deletion: str, by: Source) -> Deletion:
        self._ask(caller, partition, deletion, by)
        return DELETION


class FakeUpload:
    def __init__(self, storage: FakeStorage) -> None:
        self.storage = storage
        self.data = b""
        self.committed = False

    async def write(self, data: Buffer) -> None:
        if self.storage.write_error is not None:
            raise self.storage.write_error
        self.data += bytes(data)

    async def commit(self, key: str, digest: str) -> None:
        self.storage._ask(key, digest)
        self.storage.kept[key] = self.data
        self.committed = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.committed:
            self.storage.closed.set()


class FakeStorage(Fake):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, bytes] = {"a/b": BIG}
        self.write_error: IsocenterError | None = None
        self.versions: Versions | None = VERSIONS

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        self._ask(key, digest)
        self.kept[key] = b"".join(bytes(part) for part in data)

    async def stage(self):
        self._ask("stage")
        return FakeUpload(self)

    async def stat(self, key: str) -> BlobInfo:
        self._ask(key)
        if key not in self.kept:
            raise NotFound(f"nothing is kept under {key}")
        return BlobInfo(key, len(self.kept[key]), AT)

    async def read(self, key: str, offset: int = 0, length: int | None = None):
        self._ask(key, offset, length)
        end = None if length is None else offset + length
        async for part in self._answers(self.kept[key][offset:end]):
            yield part

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        self._ask(prefix, after)
        async for key in self._answers("a/b", "a/c"):
            yield BlobInfo(key, 2**33, AT)

    async def move(self, key: str, target: str) -> None:
        self._ask(key, target)

    async def remove(self, key: str) -> None:
        self._ask(key)
        if key.startswith("objects/"):
            raise Refused("an object is never removed", fix="use retention")
        del self.kept[key]

    async def instances(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ):
        self._ask(caller, partition, study, series, instance)
        async for one in self._answers(INSTANCE, INSTANCE):
            yield one

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ):
        async with aclosing(self.described(caller, partition, study, series, instance)) as found:
            async for _, one in found:
                yield one

    async def described(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ):
        self._ask(caller, partition, study, series, instance)
        async for one in self._answers(b"{}", BIG, b""):
            yield self.versions, one

    async def data_set(self, instance: StoredInstance):
        self._ask(instance)
        async for part in self._answers(BIG, b"end"):
            yield part

    async def pixel_format(self, instance: StoredInstance) -> PixelFormat:
        self._ask(instance)
        return PIXELS

    async def frames(self, instance: StoredInstance, numbers: Sequence[int]):
        self._ask(instance, tuple(numbers))
        async for number in self._answers(*numbers):
            yield Frame(number, BIG)

    async def bulk_size(self, instance: StoredInstance, path: str) -> int:
        self._ask(instance, path)
        return len(BIG)

    async def bulk(
        self, instance: StoredInstance, path: str, offset: int = 0, length: int | None = None
    ):
        self._ask(instance, path, offset, length)
        async for part in self._answers(BIG):
            yield part

    async def verify(self, prefix: str):
        self._ask(prefix)
        async for one in self._answers(Verification("k", True), Verification("l", False, "short")):
            yield one


class FakeQuery(Fake):
    MATCH = Match({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Eva"}]}})

    async def search(self, caller: Caller, search: Search):
        self._ask(caller, search)
        async for batch in self._answers([self.MATCH, self.MATCH], [self.MATCH]):
            yield batch

    async def count(self, caller: Caller, search: Search) -> int:
        self._ask(caller, search)
        return 2**40

    async def unfilled(self) -> Mapping[str, FillProgress]:
        self._ask("unfilled")
        return {"00180010": FillProgress(7, 2**40), "0029xx10 ACME 1.0": FillProgress(0, 1)}


class FakeTranscoding(Fake):
    async def decode(self, frame: bytes, transfer_syntax: str, pixels: PixelFormat) -> bytes:
        self._ask(transfer_syntax, pixels)
        return frame[::-1]

    async def data_set(self, data_set: AsyncIterable[Buffer], transfer_syntax: str, target: str):
        self._ask(transfer_syntax, target)
        try:
            async for part in data_set:
                yield bytes(part)[::-1]
        except BaseException:
            self.closed.set()
            raise

    def targets(self, transfer_syntax: str) -> Sequence[str]:
        return ("1.2.840.10008.1.2.1",) if transfer_syntax == "1.2.840.10008.1.2" else ()

    async def render(
        self, frame: bytes, transfer_syntax: str, pixels: PixelFormat, how: Rendering
    ) -> bytes:
        self._ask(transfer_syntax, pixels, how)
        return b"PNG" + frame


class FakeIndexing(Fake):
    async def rebuild(self):
        self._ask("rebuild")
        async for step in self._answers(
            RebuildProgress(1, 2, {}, False), RebuildProgress(3, 4, {"k": "damaged"}, True)
        ):
            yield step

    async def replay(self, since: datetime | None, offsets: Mapping[int, int]):
        self._ask(since, dict(offsets))
        async for step in self._answers(
            ReplayProgress(1, {}, False), ReplayProgress(2, {"0/7": "damaged"}, True)
        ):
            yield step

    async def sweep(self):
        self._ask("sweep")
        async for step in self._answers(
            SweepProgress(1, 0, 0, {}, False), SweepProgress(9, 2, 1, {"k": "damaged"}, True)
        ):
            yield step
