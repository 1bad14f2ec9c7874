"""DICOM audit messages (PS3.15 A.5) in one XML document.

The standard has no document of several messages: here they are the children of an element
`AuditMessages`, in the order of the records.
"""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.core.audit import Entry
from isocenter.runtime.audit_dicom import message
from isocenter.runtime.audit_export.heading import Heading


class DicomWriter:
    """One AuditMessage a line."""

    def __init__(self, heading: Heading) -> None:
        del heading

    def begin(self) -> bytes:
        """The element around the messages."""
        return b'<?xml version="1.0" encoding="UTF-8"?>\n<AuditMessages>\n'

    def add(self, entries: Sequence[Entry]) -> bytes:
        """Messages."""
        return b"".join(message(entry.event) + b"\n" for entry in entries)

    def end(self) -> bytes:
        """Its end."""
        return b"</AuditMessages>\n"
