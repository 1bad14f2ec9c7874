"""What stands behind a gateway in its unit tests: services that keep everything in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.access import Caller, Policy
from isocenter.core.apis import Announcement, FillProgress, Stored, StoredInstance, Verification
from isocenter.core.attributes import BUILT_IN, BY_TAG, Attributes, default_tags
from isocenter.core.errors import IsocenterError, NotFound
from isocenter.core.events import AuditAction
from isocenter.core.identity import InstanceName
from isocenter.core.json_model import to_json
from isocenter.core.matching import Level, Search, matches
from isocenter.core.ports import BlobInfo, Buffer, Match
from isocenter.core.transfer_syntax import lookup
from isocenter.dimse.contexts import CommonExtended, PresentationContext
from isocenter.dimse.messages import Command, Response
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.facts import Facts
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.aes import Directory
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"

_UNIQUE = {
    Level.PATIENT: "00100020",
    Level.STUDY: "0020000D",
    Level.SERIES: "0020000E",
    Level.INSTANCE: "00080018",
}


def encode(data_set: Dataset, syntax: str) -> bytes:
    """A data set without File Meta Information."""
    known = lookup(syntax)
    buffer = DicomBytesIO()
    buffer.is_little_endian = known.little_endian
    buffer.is_implicit_VR = known.implicit_vr
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def identifier(**keys: Any) -> Dataset:
    """A data set of keys as they stand, also where they are no values of their VR."""
    data_set = Dataset()
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        data_set.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE))
    return data_set


@dataclass(frozen=True)
class Held:
    """One instance that the fakes hold."""

    stored: StoredInstance
    data: bytes
    attributes: Mapping[str, Any]


def held(data: bytes, sop_class: str, syntax: str) -> Held:
    """An instance of a data set."""
    attributes = BUILT_IN.extract(to_json(data, syntax))
    study, series, instance = (attributes[tag]["Value"][0] for tag in list(_UNIQUE.values())[1:])
    name = InstanceName("main", study, series, instance)
    digest = hashlib.sha256(data).hexdigest()
    stored = StoredInstance(
        name, digest, f"objects/{name.path}/{digest}.dcm", len(data), sop_class, syntax, 0, 1
    )
    return Held(stored, data, attributes)


def from_test_file(name: str, **changes: Any) -> Held:
    """One of pydicom's own test files, as it is but for these attributes."""
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom does not ship {name}"
    data_set = dcmread(path)
    syntax = str(data_set.file_meta.TransferSyntaxUID)
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    return held(encode(data_set, syntax), str(data_set.SOPClassUID), syntax)


def series(count: int, *, study: str = "1.2.3", of: str = "CT_small.dcm") -> list[Held]:
    """A series of slices."""
    return [
        from_test_file(
            of,
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.1",
            SOPInstanceUID=f"{study}.1.{number}",
            InstanceNumber=number,
            PatientID="PAT1",
            PatientName="Doe^Jane",
        )
        for number in range(1, count + 1)
    ]


class FakeIngest:
    """Takes in everything, or fails with `error`."""

    def __init__(self) -> None:
        self.coerced: tuple[int, ...] = ()
        self.error: IsocenterError | None = None
        self.taken: list[tuple[Announcement, bytes]] = []

    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        if self.error is not None:
            raise self.error
        data = b"".join([bytes(chunk) async for chunk in data_set])
        self.taken.append((announcement, data))
        name = InstanceName("main", "1", "1", announcement.instance)
        syntax = announcement.transfer_syntax
        return Stored(name, announcement.sop_class, syntax, "", len(data), self.coerced)


@dataclass
class FakeQuery:
    """Searches what is held, one answer a batch; `gate` holds the search back after some."""

    instances: list[Held]
    error: IsocenterError | None = None
    gate_after: int | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    searches: list[Search] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)  # attributes that are being filled

    async def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        self.searches.append(search)
        self.callers.append(caller)
        if self.error is not None:
            raise self.error
        seen: set[str] = set()
        try:
            for one in self.instances:
                unique = "".join(one.attributes[_UNIQUE[search.level]]["Value"])
                if unique in seen or not matches(dict(one.attributes), _searchable(search)):
                    continue
                if len(seen) == self.gate_after:
                    await asyncio.Event().wait()
                seen.add(unique)
                wanted = default_tags(search.level) | set(search.include)
                yield [Match({t: e for t, e in one.attributes.items() if t in wanted})]
        finally:
            self.closed.set()

    async def unfilled(self) -> dict[str, FillProgress]:
        return {tag: FillProgress(1, 2) for tag in self.lacking}

    async def count(self, caller: Caller, search: Search) -> int:
        return sum([len(batch) async for batch in self.search(caller, search)])


def _searchable(search: Search) -> Search:
    keys = tuple(key for key in search.keys if key.tag in BY_TAG)
    return replace(search, keys=keys)


@dataclass
class FakeStorage:
    """Reads what is held; `errors` of an instance come in place of its last chunk."""

    instances_held: list[Held]
    errors: dict[str, IsocenterError] = field(default_factory=dict)
    written_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    verified: list[str] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    reading: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )

    def __post_init__(self) -> None:
        records = StorageService(
            blobs=MemoryBlobs(), settings=StorageSettings(), guard=PolicyGuard(Policy)
        )
        self.put, self.read, self.remove = records.put, records.read, records.remove
        self.list = records.list

    async def instances(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[StoredInstance]:
        self.callers.append(caller)
        for one in self.instances_held:
            name = one.stored.name
            if (
                (name.partition, name.study) == (partition, study)
                and series in ("", name.series)
                and instance in ("", name.instance)
            ):
                yield one.stored

    async def stat(self, key: str) -> BlobInfo:
        for one in self.instances_held:
            if one.stored.key == key:
                return BlobInfo(key, one.stored.size, self.written_at)
        raise NotFound(f"nothing is kept under {key}")

    async def verify(self, prefix: str) -> AsyncIterator[Verification]:
        self.verified.append(prefix)
        for one in self.instances_held:
            if one.stored.key.startswith(prefix):
                damaged = one.stored.name.instance in self.errors
                yield Verification(one.stored.key, not damaged)

    async def data_set(self, instance: StoredInstance) -> AsyncIterator[bytes]:
        uid = instance.name.instance
        data = next(one.data for one in self.instances_held if one.stored == instance)
        self.reading[uid].set()
        half = len(data) // 2
        yield data[:half]
        if uid in self.errors:
            raise self.errors[uid]
        yield data[half:]


class FakeTranscoding:
    """Turns everything into uncompressed little endian, by pydicom."""

    def targets(self, transfer_syntax: str) -> Sequence[str]:
        return [uid for uid in (EXPLICIT, IMPLICIT) if uid != transfer_syntax]

    async def data_set(
        self, data_set: AsyncIterable[Buffer], transfer_syntax: str, target: str
    ) -> AsyncIterator[bytes]:
        data = b"".join([bytes(chunk) async for chunk in data_set])
        known = lookup(transfer_syntax)
        parsed = read_dataset(BytesIO(data), known.implicit_vr, known.little_endian)
        if known.encapsulated:
            pixels = Dataset()
            pixels.TransferSyntaxUID = transfer_syntax
            parsed.file_meta = pixels
            parsed.decompress(generate_instance_uid=False)
        yield encode(parsed, target)


@dataclass
class FakeAudit:
    """Remembers the records, or fails with `error`."""

    error: IsocenterError | None = None
    records: list[dict[str, Any]] = field(default_factory=list)

    async def record(self, action: AuditAction, source: Any, **fields: Any) -> None:
        if self.error is not None:
            raise self.error
        self.records.append({"action": action, "source": source, **fields})

    async def searched(self, source: Any, **fields: Any) -> None:
        await self.record(AuditAction.QUERY, source, **fields)


class FakeAssociation:
    """An association in both directions: receives C-STOREs and answers with `status`."""

    user_now = None
    calling_ae_title = "SCANNER"
    called_ae_title = "ISOCENTER"
    peer_host = "127.0.0.1"

    def __init__(self, *contexts: tuple[str, str]) -> None:
        self.contexts = {
            2 * number + 1: PresentationContext(2 * number + 1, sop_class, syntax, True, False)
            for number, (sop_class, syntax) in enumerate(contexts)
        }
        self.closed = asyncio.Event()
        self.tls_subject = self.tls_fingerprint = self.user = ""
        self.extended: dict[str, bytes] = {}
        self.common: dict[str, CommonExtended] = {}
        self.status = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.received: list[tuple[str, str, bytes, dict[str, Any]]] = []
        self.after_store = lambda: None

    async def release(self) -> None:
        self.closed.set()

    async def c_store(
        self,
        context: PresentationContext,
        sop_class: str,
        sop_instance: str,
        data: Buffer | AsyncIterable[Buffer],
        **fields: Any,
    ) -> Response:
        assert sop_class == context.abstract_syntax
        await self.gate.wait()
        whole = data if isinstance(data, Buffer) else b"".join([chunk async for chunk in data])
        self.received.append((sop_instance, context.transfer_syntax, whole, fields))
        self.after_store()
        return Response(self.status, Command(0x8001))


@dataclass
class FakeRequest:
    """A request that remembers how it was answered."""

    abstract_syntax: str
    payload: bytes = b""
    transfer_syntax: str = EXPLICIT
    association: FakeAssociation = field(default_factory=FakeAssociation)
    fields: Mapping[str, Any] = field(default_factory=dict)
    answers: list[tuple[int, Dataset | None, dict[str, Any]]] = field(default_factory=list)
    cancel_after: int | None = None

    def __post_init__(self) -> None:
        self.context = PresentationContext(
            1, self.abstract_syntax, self.transfer_syntax, False, True
        )
        self.command = Command(0, message_id=7, **self.fields)
        self.cancelled = asyncio.Event()
        self.answered = asyncio.Event()

    @property
    async def data(self) -> AsyncIterator[bytes]:
        yield self.payload

    async def read_data(self, limit: int) -> bytes:
        assert len(self.payload) <= limit
        return self.payload

    async def respond(self, status: int, *, data_set: bytes | None = None, **fields: Any) -> None:
        known = lookup(self.transfer_syntax)
        parsed = None
        if data_set is not None:
            parsed = read_dataset(BytesIO(data_set), known.implicit_vr, known.little_endian)
        self.answers.append((status, parsed, {k: v for k, v in fields.items() if v is not None}))
        self.answered.set()
        if len(self.answers) == self.cancel_after:
            self.cancelled.set()

    @property
    def statuses(self) -> list[int]:
        """The statuses of all responses, in order."""
        return [status for status, _, _ in self.answers]


@dataclass
class FakeEnv:
    """Hands the fakes to the role."""

    settings: Any
    held: list[Held] = field(default_factory=list)
    telemetry: Telemetry = OFF
    attributes: Attributes = BUILT_IN
    policy: Policy = field(default_factory=Policy)
    facts: Facts | None = None  # of studies, for rules about them
    access: AccessSettings = field(
        default_factory=lambda: AccessSettings(trust_loopback=True, follow_seconds=0.01)
    )
    provider: Any = None  # of identities

    def __post_init__(self) -> None:
        self.fake_ingest = FakeIngest()
        self.fake_query: Any = FakeQuery(self.held)
        self.fake_storage: Any = FakeStorage(self.held)
        self.fake_transcoding = FakeTranscoding()
        self.fake_audit = FakeAudit()
        self.memory_bus = MemoryBus()

    @property
    def data(self) -> Path:
        raise AssertionError("the gateway keeps nothing on disk")

    def section(self, kind: type) -> Any:
        assert isinstance(self.settings, kind)
        return self.settings

    async def guard(self) -> PolicyGuard:
        return PolicyGuard(lambda: self.policy, self.facts)

    async def doors(self) -> Doors:
        doors = Doors.of(self.fake_storage, self.access)
        return replace(doors, provider=self.provider)

    async def directory(self) -> Directory:
        return Directory(self.settings.known_aes)

    async def ingest(self) -> FakeIngest:
        return self.fake_ingest

    async def query(self) -> FakeQuery:
        return self.fake_query

    async def storage(self) -> FakeStorage:
        return self.fake_storage

    async def transcoding(self) -> FakeTranscoding:
        return self.fake_transcoding

    async def bus(self) -> MemoryBus:
        return self.memory_bus

    async def audit_log(self) -> FakeAudit:
        return self.fake_audit
