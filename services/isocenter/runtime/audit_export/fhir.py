"""FHIR R4: AuditEvent resources in one Bundle of the type collection."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

import orjson

from isocenter.core.audit import Entry
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_export.heading import Heading
from isocenter.runtime.audit_fhir import resource
from isocenter.runtime.audit_records import time_text


class FhirWriter:
    """One entry a line. A Bundle without entries has no list of them: FHIR knows no empty ones."""

    def __init__(self, heading: Heading) -> None:
        self._at = time_text(heading.at)
        self._before = b',"entry":[\n'  # what stands in front of the next entry

    def begin(self) -> bytes:
        """The Bundle up to its entries."""
        told = {"resourceType": "Bundle", "type": "collection", "timestamp": self._at}
        return orjson.dumps(told).removesuffix(b"}")

    def add(self, entries: Sequence[Entry]) -> bytes:
        """Entries."""
        written = []
        for entry in entries:
            written += [self._before, _entry(entry.event)]
            self._before = b",\n"
        return b"".join(written)

    def end(self) -> bytes:
        """The end of the list, if one was begun, and of the Bundle."""
        return b"\n]}\n" if self._before == b",\n" else b"}\n"


def _entry(event: AuditEvent) -> bytes:
    """The same record has the same address in every export."""
    address = uuid5(NAMESPACE_URL, f"isocenter:audit:{event.id}")
    return orjson.dumps({"fullUrl": address.urn, "resource": resource(event)})
