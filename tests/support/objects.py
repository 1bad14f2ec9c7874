"""Objects for tests of reading, ingest and storage: pydicom's files, and odd ones made by hand."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pydicom

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.access import SYSTEM, Caller, Policy
from isocenter.core.access_api import Guard
from isocenter.core.apis import Announcement, Storage
from isocenter.core.errors import Unavailable
from isocenter.core.events import TOPIC_INSTANCES, Source
from isocenter.core.part10 import parse_meta
from isocenter.core.ports import Record
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from isocenter.ingest.service import IngestService
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.aes import Directory, KnownAE
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.outbox import Outbox
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"
SOURCE = Source("DIMSE", host="127.0.0.1", ae_title="SCANNER")

_DATA = Path(pydicom.__file__).parent / "data"

# Files that no store may take, and why; everything else must come back as it came.
NOT_STORABLE: Mapping[str, str] = {
    "DICOMDIR": "Media Storage Directory",
    "DICOMDIR-bigEnd": "Media Storage Directory",
    "DICOMDIR-empty.dcm": "Media Storage Directory",
    "DICOMDIR-implicit": "Media Storage Directory",
    "DICOMDIR-nooffset": "broken structure",
    "DICOMDIR-nopatient": "Media Storage Directory",
    "DICOMDIR-reordered": "Media Storage Directory",
    "ExplVR_BigEndNoMeta.dcm": "no File Meta Information",
    "ExplVR_LitEndNoMeta.dcm": "no File Meta Information",
    "MR_truncated.dcm": "truncated",
    "meta_missing_tsyntax.dcm": "no transfer syntax",
    "nested_priv_SQ.dcm": "group 0001",
    "no_meta.dcm": "no File Meta Information",
    "rtplan_truncated.dcm": "truncated",
    "rtstruct.dcm": "no File Meta Information",
    # Colour palettes are no instances of a study (Non-Patient Object Storage, PS3.4 GG).
    "fall.dcm": "no Study Instance UID",
    "hotiron.dcm": "no Study Instance UID",
    "hotmetalblue.dcm": "no Study Instance UID",
    "pet.dcm": "no Study Instance UID",
    "pet20step.dcm": "no Study Instance UID",
    "spring.dcm": "no Study Instance UID",
    "summer.dcm": "no Study Instance UID",
    "winter.dcm": "no Study Instance UID",
    "JPEGLSNearLossless_08.dcm": "no Study Instance UID",
    "JPEGLSNearLossless_16.dcm": "no Study Instance UID",
    "SC_rgb_jls_lossy_line.dcm": "no Study Instance UID",
    "SC_rgb_jls_lossy_sample.dcm": "no Study Instance UID",
    "UN_sequence.dcm": "no SOP Class UID",
    "chrSQEncoding.dcm": "no SOP Class UID",
    "chrSQEncoding1.dcm": "no SOP Class UID",
    "empty_charset_LEI.dcm": "no SOP Class UID",
    "no_meta_group_length.dcm": "no SOP Class UID",
    "priv_SQ.dcm": "no SOP Class UID",
}


def pydicom_files() -> list[Path]:
    """Every DICOM file that ships inside pydicom."""
    return [
        path
        for path in sorted(_DATA.rglob("*"))
        if path.is_file() and path.suffix in ("", ".dcm") and path.name != "README"
    ]


def file_id(path: Path) -> str:
    """A test id."""
    return path.name


def sample(name: str) -> tuple[bytes, str]:
    """Data set and transfer syntax of one of pydicom's files."""
    (path,) = [path for path in pydicom_files() if path.name == name]
    return split_file(path)


def split_file(path: Path) -> tuple[bytes, str]:
    """Data set and transfer syntax of a Part 10 file."""
    content = path.read_bytes()
    meta = parse_meta(content)
    assert meta is not None
    return content[meta.length :], meta.transfer_syntax


_LONG = frozenset((b"OB", b"OW", b"SQ", b"UN", b"UT", b"OV"))


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """One element in explicit VR little endian; `length` lies if it is given."""
    code = vr.encode()
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, code)
    size = len(value) if length is None else length
    if code in _LONG:
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size) + value


def uid(tag: int, text: str) -> bytes:
    """A UI element."""
    value = text.encode()
    return element(tag, "UI", value + b"\0" * (len(value) % 2))


def small(
    *,
    sop_class: str = CT,
    instance: str = INSTANCE,
    study: str = STUDY,
    series: str = SERIES,
    more: bytes = b"",
    patient_id: bytes = b"P1",
    issuer: bytes = b"",
    modality: bytes = b"",
    charset: bytes = b"",
) -> bytes:
    """A data set with nothing but identifiers, in explicit VR little endian."""
    return b"".join(
        (
            element(0x00080005, "CS", charset) if charset else b"",
            uid(0x00080016, sop_class) if sop_class else b"",
            uid(0x00080018, instance) if instance else b"",
            element(0x00080060, "CS", modality) if modality else b"",
            element(0x00100020, "LO", patient_id),
            element(0x00100021, "LO", issuer) if issuer else b"",
            uid(0x0020000D, study) if study else b"",
            uid(0x0020000E, series) if series else b"",
            more,
        )
    )


def pixels(rows: int, columns: int, data: bytes, frames: int = 1, bits: int = 16) -> bytes:
    """The elements of native pixel data, to stand behind those of `small`."""
    return b"".join(
        (
            element(0x00280002, "US", struct.pack("<H", 1)),
            element(0x00280004, "CS", b"MONOCHROME2 "),
            element(0x00280008, "IS", f"{frames:<4}".encode()),
            element(0x00280010, "US", struct.pack("<H", rows)),
            element(0x00280011, "US", struct.pack("<H", columns)),
            element(0x00280100, "US", struct.pack("<H", bits)),
            element(0x00280101, "US", struct.pack("<H", bits)),
            element(0x00280102, "US", struct.pack("<H", bits - 1)),
            element(0x00280103, "US", struct.pack("<H", 0)),
            element(0x7FE00010, "OW", data),
        )
    )


def fragments(items: Sequence[bytes], *, ended: bool = True) -> bytes:
    """Encapsulated pixel data (PS3.5 A.4); the first item is the Basic Offset Table."""
    parts = [element(0x7FE00010, "OB", b"", 0xFFFFFFFF)]
    parts += [struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items]
    if ended:
        parts.append(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    return b"".join(parts)


def nested(depth: int, *, undefined: bool) -> bytes:
    """Sequences within each other."""
    value = b""
    for _ in range(depth):
        if undefined:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + value
            item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            item += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            value = element(0x00081140, "SQ", item, 0xFFFFFFFF)
        else:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
            value = element(0x00081140, "SQ", item)
    return value


async def chunks(data: bytes, size: int = 16 * 1024) -> AsyncIterator[bytes]:
    """The data as it flows in."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def announcement(
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, caller: Caller = SYSTEM, **more: str
) -> Announcement:
    """What a protocol says about an object."""
    return Announcement(source=SOURCE, caller=caller, transfer_syntax=transfer_syntax, **more)


class FailingBus(MemoryBus):
    """A log that does not answer for the first tries."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        if topic == TOPIC_INSTANCES and self.failures:
            self.failures -= 1
            raise Unavailable("the log is away")
        await super().append(topic, records)


class Archive:
    """Ingest and storage over memory."""

    def __init__(
        self,
        settings: IngestSettings | None = None,
        storage_settings: StorageSettings | None = None,
        blobs: MemoryBlobs | None = None,
        bus: MemoryBus | None = None,
        known: Sequence[KnownAE] = (),
        guard: Guard | None = None,
        site: str = "",
    ) -> None:
        guard = guard or PolicyGuard(Policy)
        self.blobs = blobs or MemoryBlobs()
        self.bus = bus or MemoryBus()
        self.storage = StorageService(
            blobs=self.blobs, settings=storage_settings or StorageSettings(), guard=guard
        )
        self.outbox = Outbox(self.bus, self.open_storage, append_seconds=0.1, down_seconds=0.1)
        self.ingest = IngestService(
            storage=self.storage,
            bus=self.bus,
            outbox=self.outbox,
            audit_log=AuditLog(self.outbox, "test"),
            settings=settings or IngestSettings(),
            directory=Directory(known),
            guard=guard,
            site=site,
        )

    async def open_storage(self) -> Storage:
        """What the outbox asks for when it needs the object store."""
        return self.storage

    async def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix."""
        return [info.key async for info in self.blobs.list(prefix)]


NOW = datetime(2026, 1, 2, tzinfo=UTC)
