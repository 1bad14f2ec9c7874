"""Stand-ins for the services behind the web role, and the role on a real socket."""

# ruff: noqa: ARG002 - stand-ins have the signatures of what they stand for
from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydicom import Dataset, dcmwrite

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.access import ROLES, Caller, Kind, Policy
from isocenter.core.apis import (
    Announcement,
    FillProgress,
    Frame,
    PixelFormat,
    Rendering,
    Stored,
    StoredInstance,
    Versions,
)
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.deletions import Deletion, deletion_id
from isocenter.core.errors import Corrupted, IsocenterError, NotFound
from isocenter.core.events import AuditAction, Source
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Search
from isocenter.core.packs import bulk_uri
from isocenter.core.part10 import file_meta
from isocenter.core.ports import Buffer, Match
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.sessions import KnownSession, Session
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.ae_administration import AEAdministration
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.change_feed import ChangeFeed
from isocenter.runtime.fair_use import FairUse
from isocenter.runtime.limits import LimitSettings
from isocenter.runtime.study_patients import StudyPatients
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from isocenter.web.role import WebRole, application
from isocenter.web.routes import Application
from isocenter.web.services import Services
from isocenter.web.settings import WebSettings
from support.memory_trail import MemoryTrail

STUDY, SERIES, CT = "1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.2"
INSTANCE = f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances/1.2.3.4.5"
PDF = b"%PDF-1.7"
FIXED_AE = KnownAE(title="FIXED", site="of the settings")
JPEG_LS = "1.2.840.10008.1.2.4.80"


def data_set_of(instance: str) -> bytes:
    """A small data set in Explicit VR Little Endian."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientID = "P1"
    out = io.BytesIO()
    dcmwrite(out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return out.getvalue()


def part10(instance: str = "1.2.3.4.5", syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """A file as a STOW client sends it."""
    return file_meta(CT, instance, syntax) + data_set_of(instance)


def multipart(*parts: bytes, boundary: str = "b0", media: str = "application/dicom") -> bytes:
    """A body of parts of one type."""
    heads = b"--%s\r\nContent-Type: %s\r\n\r\n" % (boundary.encode(), media.encode())
    return b"".join(heads + part + b"\r\n" for part in parts) + b"--%s--\r\n" % boundary.encode()


@dataclass
class FakeQuery:
    """Answers with these attributes, in batches."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    batch: int = 100
    error: Exception | None = None
    searches: list[Search] = field(default_factory=list)
    counts: int = 0
    callers: list[Caller] = field(default_factory=list)
    closed: int = 0
    lacking: list[str] = field(default_factory=list)  # attributes that are being filled

    async def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        self.searches.append(search)
        self.callers.append(caller)
        try:
            if self.error:
                raise self.error
            last = None if search.limit is None else search.offset + search.limit
            found = self.answers[search.offset : last]
            for at in range(0, len(found), self.batch):
                yield [Match(one) for one in found[at : at + self.batch]]
        finally:
            self.closed += 1

    async def count(self, caller: Caller, search: Search) -> int:
        self.callers.append(caller)
        self.counts += 1
        return len(self.answers)

    async def unfilled(self) -> dict[str, FillProgress]:
        return {tag: FillProgress(1, 2) for tag in self.lacking}


@dataclass
class FakeStorage:
    """Keeps instances of one series in memory."""

    kept: dict[str, StoredInstance] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    frame: bytes = b"FRAME"
    chunk: int = 65536
    corrupted: bool = False
    modified_at: datetime = datetime(2026, 3, 1, 12, 30, 15, 999_999, tzinfo=UTC)
    closed: int = 0
    sent: int = 0
    callers: list[Caller] = field(default_factory=list)

    def keep(
        self,
        instance: str = "1.2.3.4.5",
        syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
        data: bytes | None = None,
        frames: int = 3,
    ) -> StoredInstance:
        data = data_set_of(instance) if data is None else data
        meta = file_meta(CT, instance, syntax)
        digest = hashlib.sha256(meta + data).hexdigest()
        name = InstanceName("main", STUDY, SERIES, instance)
        size = len(meta) + len(data)
        key = ObjectName(name, digest).key
        kept = StoredInstance(
            name, digest, key, size, CT, syntax, len(meta), frames, modified_at=self.modified_at
        )
        self.kept[instance], self.data[instance] = kept, data
        return kept

    async def instances(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[StoredInstance]:
        self.callers.append(caller)
        for uid, kept in sorted(self.kept.items()):
            named = (kept.name.partition, kept.name.study) == (partition, study)
            if named and series in ("", kept.name.series) and instance in ("", uid):
                yield kept

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        async for kept in self.instances(caller, partition, study, series, instance):
            uri = bulk_uri(kept.name) + "00420011"
            yield (
                b'{"00420011":{"vr":"OB","BulkDataURI":"%s"},'
                b'"00420012":{"vr":"LO","Value":["application/pdf"]}}' % uri.encode()
            )

    async def described(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[tuple[Versions, bytes]]:
        kept = [one async for one in self.instances(caller, partition, study, series, instance)]
        digest = hashlib.sha256("".join(one.digest for one in kept).encode()).hexdigest()
        dates = [one.modified_at for one in kept if one.modified_at]
        async for attributes in self.metadata(caller, partition, study, series, instance):
            yield Versions(digest, max(dates)), attributes

    async def data_set(self, instance: StoredInstance) -> AsyncIterator[bytes]:
        data = self.data[instance.name.instance]
        try:
            for at in range(0, len(data), self.chunk):
                if self.corrupted and at + self.chunk >= len(data):
                    raise Corrupted("the object is not what was given")
                self.sent += 1
                yield data[at : at + self.chunk]
        finally:
            self.closed += 1

    async def pixel_format(self, instance: StoredInstance) -> PixelFormat:
        if not instance.number_of_frames:
            raise NotFound("no pixel data")
        return PixelFormat(1, 5, 1, 8, 8, 0, "MONOCHROME2", 0)

    async def frames(
        self, instance: StoredInstance, numbers: Sequence[int]
    ) -> AsyncIterator[Frame]:
        if max(numbers) > instance.number_of_frames:
            raise NotFound(f"there is no frame {max(numbers)}")
        for number in numbers:
            yield Frame(number, self.frame)

    async def bulk_size(self, instance: StoredInstance, path: str) -> int:
        if path != "00420011":
            raise NotFound("no such bulk data")
        return len(PDF)

    async def bulk(
        self, instance: StoredInstance, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        end = await self.bulk_size(instance, path) if length is None else offset + length
        for at in range(offset, end, 3):
            yield PDF[at : min(at + 3, end)]


class FakeTranscoding:
    """Marks what it does."""

    def targets(self, transfer_syntax: str) -> Sequence[str]:
        return [] if transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN else [EXPLICIT_VR_LITTLE_ENDIAN]

    async def data_set(
        self, data_set: AsyncIterator[Buffer], transfer_syntax: str, target: str
    ) -> AsyncIterator[bytes]:
        async for chunk in data_set:
            yield bytes(chunk)

    async def decode(self, frame: bytes, transfer_syntax: str, pixels: PixelFormat) -> bytes:
        return b"decoded:" + frame

    async def render(
        self, frame: bytes, transfer_syntax: str, pixels: PixelFormat, how: Rendering
    ) -> bytes:
        return repr(how).encode()


@dataclass
class FakeIngest:
    """Stores, or fails as told, by SOP Instance UID."""

    errors: dict[str, IsocenterError] = field(default_factory=dict)
    announced: list[Announcement] = field(default_factory=list)
    received: dict[str, bytes] = field(default_factory=dict)
    deleted: list[Deletion] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    slow: bool = False  # nothing is done before it answers
    error: IsocenterError | None = None

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
        self.callers.append(caller)
        if self.error:
            raise self.error
        at = datetime(2026, 11, 26, tzinfo=UTC)
        identifier = deletion_id(at, at + timedelta(days=7), len(self.deleted))
        level = study, series, instance
        done = Deletion(identifier, partition, *level, by, reason, 2, 3, 4096, kept=3)
        self.deleted.append(done)
        return replace(done, kept=1) if self.slow else done

    async def deletions(self, caller: Caller, partition: str) -> AsyncIterator[Deletion]:
        self.callers.append(caller)
        for one in self.deleted:
            if one.partition == partition:
                yield one

    async def restore(self, caller: Caller, partition: str, deletion: str, by: Source) -> Deletion:
        self.callers.append(caller)
        for one in self.deleted:
            if (one.partition, one.id) == (partition, deletion):
                self.deleted.remove(one)
                return replace(one, kept=1 if self.slow else 0)
        raise NotFound("there is no such deletion", fix="list the deletions")

    async def store(self, announcement: Announcement, data_set: AsyncIterator[Buffer]) -> Stored:
        data = b"".join([bytes(chunk) async for chunk in data_set])
        at = data.index(b"\x08\x00\x18\x00UI") + 8
        instance = data[at : at + data[at - 2]].decode().strip("\0")
        if error := self.errors.get(instance):
            raise error
        self.announced.append(announcement)
        self.received[instance] = data
        name = InstanceName("main", announcement.study or STUDY, SERIES, instance)
        return Stored(name, CT, announcement.transfer_syntax, "0" * 64, len(data))


@dataclass
class FakeAudit:
    """Remembers records; `events` also holds what was recorded, in order."""

    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: IsocenterError | None = None

    async def record(self, action: Any, source: Any, **fields: Any) -> None:
        if self.error:
            raise self.error
        self.records.append((action.value, {"source": source, **fields}))

    async def accessed(self, source: Any, **fields: Any) -> None:
        if self.error:
            raise self.error
        self.records.append(("accessed", {"source": source, **fields}))

    async def searched(self, source: Any, **fields: Any) -> None:
        await self.record(AuditAction.QUERY, source, **fields)


SHOWN = {"isocenter": "session", "__Host-isocenter": "session"}  # cookies, of HTTP and HTTPS
ANYBODY = Caller(Kind.PERSON, "", tuple(ROLES))
"""Whoever asks, who may do everything."""


@dataclass(frozen=True, slots=True)
class OpenDoors(Doors):
    """Everybody is one caller, whatever they show."""

    caller: Caller = ANYBODY

    async def by_bearer(self, token: str) -> Caller:
        return self.caller

    async def by_session(self, secret: str, source: Source) -> KnownSession:
        return KnownSession("session", Session(person=self.caller.name), self.caller)

    def held_session(self, secret: str) -> None:
        """Each is looked up."""

    def by_address(self, host: str) -> Caller:
        return self.caller


@dataclass
class Web:
    """The web role's application on fakes."""

    settings: WebSettings = field(default_factory=lambda: WebSettings(port=0))
    query: FakeQuery = field(default_factory=FakeQuery)
    storage: FakeStorage = field(default_factory=FakeStorage)
    transcoding: FakeTranscoding = field(default_factory=FakeTranscoding)
    ingest: FakeIngest = field(default_factory=FakeIngest)
    audit: FakeAudit = field(default_factory=FakeAudit)
    trail: MemoryTrail = field(default_factory=MemoryTrail)
    bus: MemoryBus = field(default_factory=MemoryBus)
    feed: ChangeFeed = field(init=False)
    owners: FakeQuery = field(default_factory=FakeQuery)  # whose studies are
    problems: list[str] = field(default_factory=list)
    telemetry: Telemetry = OFF
    attributes: Attributes = BUILT_IN
    caller: Caller = ANYBODY
    limits: LimitSettings = field(default_factory=LimitSettings)
    doors: Doors | None = None  # None: they are open to everybody, as that caller

    def __post_init__(self) -> None:
        self.guard = PolicyGuard(Policy)
        self.feed = ChangeFeed(self.bus, self.guard)
        self.records = StorageService(
            blobs=MemoryBlobs(), settings=StorageSettings(), guard=self.guard
        )
        for name in ("put", "read", "list", "remove"):  # what is kept of accounts and marks
            setattr(self.storage, name, getattr(self.records, name))

    @property
    def application(self) -> Application:
        return application(self.settings, self.services, lambda: self.problems)

    @property
    def services(self) -> Services:
        return Services(
            ingest=self.ingest,
            storage=self.storage,  # type: ignore[arg-type]
            query=self.query,
            transcoding=self.transcoding,
            audit_log=self.audit,  # type: ignore[arg-type]
            feed=self.feed,
            aes=AEAdministration([FIXED_AE], self.records, self.audit, self.guard),  # type: ignore[arg-type]
            audit_trail=self.trail,
            patients=StudyPatients(self.owners),
            doors=self.doors
            or replace(OpenDoors.of(self.records, AccessSettings()), caller=self.caller),
            guard=self.guard,
            fair_use=FairUse(self.limits),
            site="north",
            attributes=self.attributes,
            telemetry=self.telemetry,
        )

    def client(self) -> httpx.AsyncClient:
        """A client without a socket."""
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=True)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://pacs.test", cookies=SHOWN)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with self.client() as client:
            return await client.get(
                path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )

    async def stow(self, body: Any, content_type: str = "", path: str = "") -> httpx.Response:
        kind = content_type or 'multipart/related; type="application/dicom"; boundary=b0'
        async with self.client() as client:
            return await client.post(
                path or "/dicomweb/studies", content=body, headers={"content-type": kind}
            )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[WebRole, str]]:
        """The role on a free port of loopback, and its address."""
        role = WebRole(self.application, self.settings, self.feed)
        await role.start()
        try:
            yield role, f"http://127.0.0.1:{role.port}"
        finally:
            await role.stop()


def study(number: int) -> dict[str, Any]:
    """An answer of a study search."""
    return {
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00100020": {"vr": "LO", "Value": [f"P{number}"]},
    }
