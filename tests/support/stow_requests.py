"""Bodies of metadata with bulk data, and an ingest that reads what it is given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from isocenter.core.apis import Announcement, Stored
from isocenter.core.ports import Buffer
from isocenter.core.reader import Header, scan_header
from isocenter.ingest import admission
from isocenter.ingest.settings import IngestSettings

METADATA = 'multipart/related; type="application/dicom+json"; boundary=b0'


@dataclass(frozen=True)
class Part:
    """A part of a body."""

    data: bytes
    media: str = "application/octet-stream"
    location: str = ""


def metadata(*instances: Any) -> Part:
    """The DICOM JSON Model of instances."""
    return Part(json.dumps(instances).encode(), "application/dicom+json")


def body(parts: Iterable[Part]) -> bytes:
    """Of a request with boundary `b0`."""
    written = b""
    for part in parts:
        place = f"Content-Location: {part.location}\r\n" if part.location else ""
        head = f"--b0\r\nContent-Type: {part.media}\r\n{place}\r\n".encode()
        written += head + part.data + b"\r\n"
    return written + b"--b0--\r\n"


@dataclass
class AdmittingIngest:
    """Reads and names data sets as the ingest service does, and keeps them in memory."""

    announced: list[Announcement] = field(default_factory=list)
    received: dict[str, bytes] = field(default_factory=dict)

    async def store(self, announcement: Announcement, data_set: AsyncIterator[Buffer]) -> Stored:
        data = b"".join([bytes(chunk) async for chunk in data_set])
        header = scan_header(data, announcement.transfer_syntax, complete=True)
        assert isinstance(header, Header)
        name = admission.check(header, announcement, IngestSettings())
        self.announced.append(announcement)
        self.received[name.instance] = data
        return Stored(name, header.sop_class, announcement.transfer_syntax, "0" * 64, len(data))
