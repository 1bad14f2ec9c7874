"""Writes docs/conformance.md, on the standard output: infra/docs/conformance.md with tables from
the code. `tests/journeys/test_conformance.py` compares them with a running gateway."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from conformance_words import (
    ABORTS,
    BESIDE_ERRORS,
    NEVER,
    REASONS,
    REJECTIONS,
    REQUIRED_KEYS,
    RESULTS,
    SOURCES,
    STATUS_NAMES,
    UNIQUE_KEYS,
)
from pydicom._uid_dict import UID_dictionary
from pydicom.charset import python_encoding
from pynetdicom import sop_class as pynetdicom_classes
from tables import filled, hexadecimal, table_text

import isocenter
from isocenter.core.attributes import TABLE, Attribute, Derivation
from isocenter.core.charset import LATIN_9
from isocenter.core.identity import IMPLEMENTATION_CLASS_UID
from isocenter.core.matching import WILDCARD_VRS, Level
from isocenter.core.terms import TIMES
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES
from isocenter.dimse.negotiation import APPLICATION_CONTEXT
from isocenter.dimse.pdu import AbortReason, AbortSource
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.dimse.tls import PROFILE
from isocenter.dimse.user_information import IMPLEMENTATION_VERSION
from isocenter.gateway import extended
from isocenter.gateway.contexts import (
    MESSAGE_TRANSFER_SYNTAXES,
    MODELS,
    PATIENT_ROOT,
    STORAGE_COMMITMENT,
    STUDY_ROOT,
    VERIFICATION,
    is_storage,
    transfer_syntaxes,
)
from isocenter.gateway.settings import GatewaySettings
from isocenter.gateway.statuses import STATUSES, Service
from isocenter.transcoding.codecs import DECODERS
from isocenter.web.negotiation import FRAME_MEDIA_TYPES
from isocenter.web.operations import OPERATIONS
from isocenter.web.stow_answers import FAILURE_REASONS

PARAMETERS = (
    "port", "tls_port", "ae_title", "unknown_callers", "accept_unknown_sop_classes",
    "max_associations", "max_pdu", "max_identifier", "association_timeout", "network_timeout",
    "dimse_timeout", "connect_timeout", "commitment_proof_seconds", "commitment_wait_seconds",
    "commitment_retry_hours",
)  # fmt: skip

# How the tables name the lists of transfer syntaxes that are accepted.
SYNTAX_LISTS = {MESSAGE_TRANSFER_SYNTAXES: "messages", tuple(TRANSFER_SYNTAXES): "objects"}


def main() -> None:
    """Write the page to the standard output."""
    sys.stdout.write(filled(Path(__file__).with_name("conformance.md"), PARTS))


# --- SOP classes and negotiation -----------------------------------------------------------------


def sop_classes() -> Mapping[str, str]:
    """Every SOP class of the standard, and those that are accepted beside it: UID -> name."""
    words = re.compile("(?<=[a-z])(?=[A-Z])")
    # pynetdicom has those that are younger than pydicom's copy of PS3.6.
    younger = {
        str(u): words.sub(" ", k) for k, u in vars(pynetdicom_classes).items() if is_class(u)
    }
    named = {
        uid: name for uid, (name, kind, *_) in UID_dictionary.items() if kind.endswith("SOP Class")
    }
    return {**dict.fromkeys(STORAGE_SOP_CLASSES, ""), **younger, **named}


def is_class(value: object) -> bool:
    """Whether something in pynetdicom's module is one of its SOP classes."""
    return isinstance(value, pynetdicom_classes.SOPClass)


def _accepted(*, storage: bool) -> Iterator[tuple[str, str, str]]:
    """Name, UID and list of transfer syntaxes, in the order of the names."""
    for uid, name in sorted(sop_classes().items(), key=lambda item: (item[1], item[0])):
        takes = is_storage(uid, accept_unknown=False)
        syntaxes = transfer_syntaxes(uid, storage=takes)
        if syntaxes and takes is storage:
            yield name, uid, SYNTAX_LISTS[syntaxes]


def _contexts() -> str:
    rows = ((name, f"`{uid}`", syntaxes, "SCP") for name, uid, syntaxes in _accepted(storage=False))
    return table_text(("abstract syntax", "UID", "transfer syntaxes", "our role"), rows)


def _storage() -> str:
    rows = (
        (name, f"`{uid}`", syntaxes, "SCP, SCU") for name, uid, syntaxes in _accepted(storage=True)
    )
    return table_text(("abstract syntax", "UID", "transfer syntaxes", "our role"), rows)


# By `gateway.remote`.
_USED = {
    **{model.find: "`isocenter query`, `isocenter fetch`" for model in (PATIENT_ROOT, STUDY_ROOT)},
    **{model.get: "`isocenter fetch`" for model in (PATIENT_ROOT, STUDY_ROOT)},
    **{model.move: "`isocenter fetch --move`" for model in (PATIENT_ROOT, STUDY_ROOT)},
}


def _overview() -> str:
    names = sop_classes()
    rows = [
        ("**Transfer**", "", ""),
        (
            "[Storage SOP classes](#storage-sop-classes)",
            "C-MOVE, C-GET, `isocenter send`",
            "yes, `isocenter fetch` too",
        ),
        ("**Query/Retrieve**", "", ""),
        *((names[uid], _USED.get(uid, "no"), "yes") for uid in MODELS),
        ("**Workflow management**", "", ""),
        (names[STORAGE_COMMITMENT], "`isocenter send --commit`", "yes"),
        ("**Verification**", "", ""),
        (names[VERIFICATION], "`isocenter aes echo`", "yes"),
    ]
    return table_text(("SOP class", "user of service (SCU)", "provider of service (SCP)"), rows)


def _models() -> str:
    models = dict.fromkeys(MODELS.values())
    rows = ((model.name, ", ".join(level.value for level in model.levels)) for model in models)
    return table_text(("information model", "levels"), rows)


def _negotiation() -> str:
    rows = (
        ("Application Context Name", f"`{APPLICATION_CONTEXT}`"),
        ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
        ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION}`"),
        ("Maximum length received", f"`{GatewaySettings().max_pdu}`"),
    )
    return table_text(("item", "value"), rows)


def _rejections() -> str:
    rows = (
        (why, f"{RESULTS[how.result]} ({how.result})", f"{SOURCES[how.source]} ({how.source})",
         str(how.reason))
        for why, how in REJECTIONS.items()
    )  # fmt: skip
    return table_text(("why", "result", "source", "reason"), rows)


def _extended() -> str:
    rows = [("C-FIND", field, yes) for field, yes in extended.FIND.items()]
    rows += [("C-MOVE, C-GET", field, yes) for field, yes in extended.RETRIEVE.items()]
    return table_text(
        ("service", "field (PS3.4 C.5)", "supported"),
        ((service, field, "yes" if yes else "no") for service, field, yes in rows),
    )


def _aborts() -> str:
    rows = (
        (why, f"{_words(source)} ({source.value})", f"{_words(reason)} ({reason.value})")
        for source, reason, why in ABORTS
    )
    return table_text(("why", "source", "reason"), rows)


def _words(member: AbortSource | AbortReason) -> str:
    return member.name.lower().replace("_", "-")


def _syntaxes() -> str:
    rows = (
        (
            syntax.name,
            f"`{syntax.uid}`",
            ", ".join(name for uids, name in SYNTAX_LISTS.items() if syntax.uid in uids),
            f"`{FRAME_MEDIA_TYPES[syntax.uid]}`",
            "yes" if syntax.uid in DECODERS else "no: passed on as it is",
        )
        for syntax in TRANSFER_SYNTAXES.values()
    )
    head = ("transfer syntax", "UID", "in the lists", "frames are", "decoded")
    return table_text(head, rows)


# --- services ------------------------------------------------------------------------------------


def _statuses(service: Service) -> str:
    reasons: dict[int, list[str]] = defaultdict(list)
    for code, status in STATUSES[service].items():
        if code not in NEVER[service] and status not in _beside(service):
            reasons[status].append(REASONS[code])
    rows = [
        *BESIDE_ERRORS[service],
        *((status, STATUS_NAMES[status], "; ".join(why)) for status, why in reasons.items()),
    ]
    head = ("status", "in the standard's words", "when")
    return table_text(head, ((hexadecimal(status), *rest) for status, *rest in sorted(rows)))


def _beside(service: Service) -> set[int]:
    return {status for status, _, _ in BESIDE_ERRORS[service]}


def _keys() -> str:
    parts = []
    for level in Level:
        rows = (
            (
                row.keyword,
                f"({row.tag[:4]},{row.tag[4:]})",
                row.vr,
                _key_type(row),
                _matching(row),
                "yes" if row.default else "",
            )
            for row in TABLE
            if row.level is level
        )
        head = ("attribute", "tag", "VR", "type", "matching", "answered unasked (QIDO-RS)")
        parts.append(f"#### Keys of the level {level.value}\n\n" + table_text(head, rows))
    return "\n\n".join(parts)


def _key_type(row: Attribute) -> str:
    if row.tag in UNIQUE_KEYS:
        return "U"
    return "R" if row.keyword in REQUIRED_KEYS else "O"


def _matching(row: Attribute) -> str:
    if not row.matched:
        return "answered, not matched"
    kinds = {
        "list of UID": row.vr == "UI",
        "range": row.vr in TIMES,
        "wild card": row.vr in WILDCARD_VRS,
        "sequence": row.vr == "SQ",
    }
    found = [kind for kind, applies in kinds.items() if applies]
    of = ["of all values of the instances"] if row.derivation is Derivation.SET else []
    return ", ".join([*(["single value"] if row.vr != "SQ" else []), *found, *of])


def _parameters() -> str:
    fields = GatewaySettings.model_fields
    defaults = GatewaySettings().model_dump(mode="json")
    rows = (
        (f"`gateway.{name}`", f"`{defaults[name]}`", fields[name].description or "")
        for name in PARAMETERS
    )
    return table_text(("parameter", "default", "what it is"), rows)


# --- DICOMweb, character sets and security -------------------------------------------------------


def _dicomweb() -> str:
    resources: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, methods in OPERATIONS.items():
        by_section: dict[str, list[str]] = defaultdict(list)
        for method, operation in methods.items():
            if operation.section:
                by_section[operation.section].append(method)
        for section, names in by_section.items():
            resources[section, ", ".join(names)].append(f"`{path}`")
    rows = (
        (section, methods, "<br>".join(paths))
        for (section, methods), paths in sorted(resources.items(), key=lambda i: _number(i[0][0]))
    )
    return table_text(("section of PS3.18", "methods", "resources"), rows)


def _number(section: str) -> tuple[int, ...]:
    return tuple(map(int, section.split(".")))


def _failure_reasons() -> str:
    reasons: dict[int, list[str]] = defaultdict(list)
    for code, reason in FAILURE_REASONS.items():
        if code not in NEVER[Service.STORE]:
            reasons[reason].append(REASONS[code])
    rows = ((hexadecimal(reason), "; ".join(why)) for reason, why in sorted(reasons.items()))
    return table_text(("Failure Reason (0008,1197)", "when"), rows)


def _character_sets() -> str:
    by_kind: Mapping[bool, list[str]] = defaultdict(list)
    for term in (*python_encoding, LATIN_9):
        if term.startswith(("ISO", "GB")) and term != "ISO 2022 58":
            by_kind[term.startswith("ISO 2022")].append(f"`{term}`")
    return table_text(
        ("code extension", "Specific Character Set (0008,0005)"),
        (("without", ", ".join(by_kind[False])), ("with", ", ".join(by_kind[True]))),
    )


PARTS: Mapping[str, Callable[[], str]] = {
    "version": lambda: isocenter.__version__,
    "overview": _overview,
    "negotiation": _negotiation,
    "contexts": _contexts,
    "rejections": _rejections,
    "aborts": _aborts,
    "extended": _extended,
    "max operations": lambda: str(GatewaySettings().max_operations),
    "models": _models,
    "syntaxes": _syntaxes,
    "store statuses": lambda: _statuses(Service.STORE),
    "find statuses": lambda: _statuses(Service.FIND),
    "move statuses": lambda: _statuses(Service.MOVE),
    "get statuses": lambda: _statuses(Service.GET),
    "action statuses": lambda: _statuses(Service.ACTION),
    "keys": _keys,
    "parameters": _parameters,
    "dicomweb": _dicomweb,
    "failure reasons": _failure_reasons,
    "character sets": _character_sets,
    "tls profile": lambda: f"{PROFILE.section}, *{PROFILE.name}*",
    "tls version": lambda: PROFILE.minimum.name.replace("TLSv", "TLS ").replace("_", "."),
    "tls suites": lambda: "\n".join(f"- `{suite}`" for suite in PROFILE.cipher_suites),
    "storage count": lambda: str(len(STORAGE_SOP_CLASSES)),
    "storage": _storage,
}

if __name__ == "__main__":
    main()
