"""Writes docs/dicom.md, on the standard output: infra/docs/dicom.md with tables from the code."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydicom.charset import python_encoding
from pydicom.uid import UID
from pynetdicom import sop_class

from isocenter.core.attributes import BY_TAG, ORDERS, TABLE, Derivation
from isocenter.core.charset import LATIN_9
from isocenter.core.errors import Code
from isocenter.core.matching import MULTIPLE_VRS, Level
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES, TransferSyntax
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.dimse.tls import PROFILE
from isocenter.gateway import extended
from isocenter.gateway.contexts import INFORMATION_MODELS
from isocenter.gateway.statuses import STATUSES, Service
from isocenter.transcoding.codecs import DECODERS
from isocenter.web.negotiation import FRAME_MEDIA_TYPES
from isocenter.web.stow_answers import FAILURE_REASONS

TEMPLATE = Path(__file__).with_name("dicom.md")
NOTE = "<!-- Written by `make docs` from infra/docs/dicom.md and the code; do not edit. -->\n\n"

# PS3.7 annex C, PS3.4 B.2.3 and C.4: what the standard calls them.
STATUS_NAMES = {
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0115: "invalid argument value",
    0x0117: "invalid object instance",
    0x0122: "SOP class not supported",
    0x0123: "no such action type",
    0x0124: "not authorized",
    0x0213: "resource limitation",
    0xA700: "out of resources",
    0xA701: "out of resources: unable to calculate number of matches",
    0xA900: "data set (identifier) does not match SOP class",
    0xC000: "cannot understand, unable to process",
    0xFE00: "cancelled",
}

REASONS = {
    Code.INVALID: "malformed request or UIDs",
    Code.MISMATCH: "the data set contradicts the command or the address",
    Code.UNPROCESSABLE: "unreadable data set",
    Code.NOT_FOUND: "not there",
    Code.CONFLICT: "another object is kept under this SOP Instance UID (policy `reject`)",
    Code.REFUSED: "not allowed",
    Code.UNSUPPORTED: "SOP class or transfer syntax not supported",
    Code.OUT_OF_RESOURCES: "disk reserve or another limit reached",
    Code.UNAVAILABLE: "something this depends on is down",
    Code.CORRUPTED: "the kept object is damaged",
    Code.CANCELLED: "cancelled",
    Code.DEADLINE: "too slow",
    Code.INTERNAL: "an error of ours",
}


def main() -> None:
    """Write the page to the standard output."""
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        page = page.replace(f"<!-- {name} -->", make())
    sys.stdout.write(NOTE + page)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _storage_count() -> str:
    return str(len(STORAGE_SOP_CLASSES))


def _tls_profile() -> str:
    return f"{PROFILE.section}, *{PROFILE.name}*:"


def _tls_version() -> str:
    return PROFILE.minimum.name.replace("TLSv", "TLS ").replace("_", ".")


def _tls_suites() -> str:
    return "\n".join(f"- `{suite}`" for suite in PROFILE.cipher_suites)


def _storage() -> str:
    # pynetdicom's keywords name those that are younger than pydicom's copy of PS3.6.
    keywords = {str(uid): keyword for keyword, uid in vars(sop_class).items()}
    words = re.compile("(?<=[a-z])(?=[A-Z])")
    names = sorted(
        (UID(uid).name if UID(uid).type else words.sub(" ", keywords[uid]), uid)
        for uid in STORAGE_SOP_CLASSES
    )
    return _table(("SOP class", "UID"), ((name, f"`{uid}`") for name, uid in names))


def _extended() -> str:
    rows = [("C-FIND", field, supported) for field, supported in extended.FIND.items()]
    rows += [("C-MOVE, C-GET", field, yes) for field, yes in extended.RETRIEVE.items()]
    return _table(
        ("service", "field (PS3.4 C.5)", "supported"),
        ((service, field, "yes" if yes else "no") for service, field, yes in rows),
    )


def _models() -> str:
    return _table(
        ("information model", "C-FIND", "C-MOVE", "C-GET", "levels"),
        (
            (
                model.name,
                *(f"`{uid}`" if uid else "" for uid in (model.find, model.move, model.get)),
                ", ".join(level.value for level in model.levels),
            )
            for model in INFORMATION_MODELS
        ),
    )


def _syntaxes() -> str:
    return _table(
        ("transfer syntax", "UID", "frames are", "decoded"),
        (
            (
                syntax.name,
                f"`{syntax.uid}`",
                _frame_type(syntax),
                "yes" if syntax.uid in DECODERS else "no: passed on as it is",
            )
            for syntax in TRANSFER_SYNTAXES.values()
        ),
    )


def _frame_type(syntax: TransferSyntax) -> str:
    return f"`{FRAME_MEDIA_TYPES[syntax.uid]}`"


def _statuses() -> str:
    services = (Service.STORE, Service.FIND, Service.GET)
    return _table(
        ("why", "C-STORE", "C-FIND", "C-MOVE, C-GET", "STOW-RS failure reason"),
        (
            (
                reason,
                *(_hex(STATUSES[service][code]) for service in services),
                _hex(FAILURE_REASONS[code]),
            )
            for code, reason in REASONS.items()
        ),
    )


def _status_names() -> str:
    used: set[int] = {status for table in STATUSES.values() for status in table.values()}
    return ", ".join(f"{_hex(status)} {STATUS_NAMES[status]}" for status in sorted(used))


def _hex(number: int) -> str:
    return f"0x{number:04X}"


def _attributes() -> str:
    how = {
        Derivation.VALUE: "",
        Derivation.SET: "all values of the instances",
        Derivation.COUNT: "answered, not matched",
    }
    parts = []
    for level in Level:
        rows = (
            (
                row.keyword,
                f"({row.tag[:4]},{row.tag[4:]})",
                row.vr,
                "yes" if row.default else "",
                how[row.derivation],
            )
            for row in TABLE
            if row.level is level
        )
        head = ("attribute", "tag", "VR", "answered unasked (QIDO-RS)", "")
        parts.append(f"### {level.value}\n\n" + _table(head, rows))
    return "\n\n".join(parts)


def _character_sets() -> str:
    by_kind: Mapping[bool, list[str]] = defaultdict(list)
    for term in (*python_encoding, LATIN_9):
        if term.startswith(("ISO", "GB")) and term != "ISO 2022 58":
            by_kind[term.startswith("ISO 2022")].append(f"`{term}`")
    return _table(
        ("code extension", "Specific Character Set (0008,0005)"),
        (("without", ", ".join(by_kind[False])), ("with", ", ".join(by_kind[True]))),
    )


def _orders() -> str:
    return ", ".join(f"`{BY_TAG[tag].keyword}`" for tag in ORDERS)


def _multiple() -> str:
    return ", ".join(sorted(MULTIPLE_VRS))


TABLES: Mapping[str, Callable[[], str]] = {
    "storage count": _storage_count,
    "tls profile": _tls_profile,
    "tls version": _tls_version,
    "tls suites": _tls_suites,
    "storage": _storage,
    "models": _models,
    "extended": _extended,
    "syntaxes": _syntaxes,
    "statuses": _statuses,
    "status names": _status_names,
    "attributes": _attributes,
    "character sets": _character_sets,
    "orders": _orders,
    "multiple": _multiple,
}

if __name__ == "__main__":
    main()
