"""JSON lines: an object a line, the record as the trail itself holds it, in its place."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from isocenter.core.audit import Entry
from isocenter.runtime.audit_export.heading import Heading
from isocenter.runtime.audit_records import fields_of


class LinesWriter:
    """`{"chain":"audit-0","sequence":1,"record":{...}}`."""

    def __init__(self, heading: Heading) -> None:
        del heading

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def add(self, entries: Sequence[Entry]) -> bytes:
        """Lines."""
        return b"".join(
            orjson.dumps(
                {
                    "chain": entry.place.chain,
                    "sequence": entry.place.sequence,
                    "record": fields_of(entry.event),
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for entry in entries
        )

    def end(self) -> bytes:
        """Nothing."""
        return b""
