"""How one row of the table of operations is made (`web.operations`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from isocenter.core.access import Right
from isocenter.core.events import AuditAction

UID: Mapping[str, object] = {
    "type": "string", "maxLength": 64, "pattern": r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*$",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of the query, or of the path."""

    name: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    others: bool = False  # any name but those of the other parameters


class Door(Enum):
    """Who is let in where no right is needed."""

    OPEN = "anybody"
    KNOWN = "whoever is known"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route."""

    id: str
    summary: str
    section: str = ""  # of PS3.18; empty: an extension of ours, or no DICOMweb
    parameters: Sequence[Parameter] = ()  # of the query
    takes: Sequence[str] = ()  # media types of the request's body
    answers: Mapping[int, Sequence[str]] = field(default_factory=dict)  # media types by status
    schema: str = ""  # of its answers in JSON: a name of `web.openapi`
    errors: Sequence[int] = ()  # statuses of problem documents, beside those of all routes
    # The action of the record that it leaves in the audit trail, or why it leaves none. There is
    # no way around saying it: a test fails for what does not.
    audited: AuditAction | str = ""
    # What whoever asks must be allowed to do, of which the same test makes sure.
    needs: Right | Door | None = None
    errors_in: str = ""  # their media type, where it is another
