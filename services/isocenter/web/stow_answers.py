"""The Store Instances Response Module (PS3.18 annex I): what became of each instance of a request,
and the status of the request as a whole (table 10.5.3-1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isocenter.core.apis import Stored
from isocenter.core.errors import Code, IsocenterError
from isocenter.core.identity import is_uid
from isocenter.core.matching import JsonAttributes
from isocenter.web.problems import Problem
from isocenter.web.retrieving import resource

# Failure Reason (0008,1197), PS3.18 table I.2-2; the others are PS3.7 annex C.
PROCESSING_FAILURE = 0x0110
CANNOT_UNDERSTAND = 0xC000
FAILURE_REASONS: Mapping[Code, int] = {
    Code.INVALID: CANNOT_UNDERSTAND,
    # Another study than the address names: A9xx is for data sets that break their SOP class.
    Code.MISMATCH: CANNOT_UNDERSTAND,
    Code.UNPROCESSABLE: CANNOT_UNDERSTAND,
    Code.NOT_FOUND: PROCESSING_FAILURE,
    Code.WITHHELD: PROCESSING_FAILURE,
    Code.CONFLICT: 0x0111,
    Code.UNAUTHENTICATED: 0x0124,
    Code.REFUSED: 0x0124,
    Code.UNSUPPORTED: 0xC122,  # a transfer syntax or media type; SOP classes are refused
    Code.OUT_OF_RESOURCES: 0xA700,
    Code.TOO_MANY: 0xA700,
    Code.UNAVAILABLE: 0xA700,
    Code.CORRUPTED: PROCESSING_FAILURE,
    Code.CANCELLED: PROCESSING_FAILURE,
    Code.DEADLINE: 0xA700,
    Code.INTERNAL: PROCESSING_FAILURE,
}

# Warning Reason (0008,1196), PS3.18 table I.2-1.
COERCED = 0xB000
ELEMENTS_DISCARDED = 0xB006

# If nothing could be stored for one of these reasons, the request as a whole is answered so.
_WHOLE_REQUEST = {
    Code.OUT_OF_RESOURCES: Problem(507, "no room: the disk reserve is reached; free some space"),
    Code.UNAVAILABLE: Problem(
        503, "something this depends on is down; send again", [(b"retry-after", b"5")]
    ),
}

_RETRIEVE_URL = "00081190"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"
_FAILED_SOPS = "00081198"
_REFERENCED_SOPS = "00081199"
_OTHER_FAILURES = "0008119A"
_REFERENCED_CLASS = "00081150"
_REFERENCED_INSTANCE = "00081155"


@dataclass(frozen=True, slots=True)
class Kept:
    """An instance that is durable and announced."""

    stored: Stored
    warning: int = 0  # Warning Reason; 0: none


def kept(stored: Stored, warning: int = 0) -> Kept:
    """An instance, and what there is to be said of it; of two things the given one."""
    return Kept(stored, warning or (COERCED if stored.coerced else 0))


@dataclass(frozen=True, slots=True)
class Failure:
    """An instance that is not kept, or something that is no instance."""

    code: Code
    reason: int
    sop_class: str = ""
    instance: str = ""

    @property
    def identified(self) -> bool:
        """Whether it can be referenced (PS3.3 table 10-11 needs both UIDs)."""
        return is_uid(self.sop_class) and is_uid(self.instance)


def failure(error: IsocenterError, sop_class: str = "", instance: str = "") -> Failure:
    """The failure of an instance of which this much is known."""
    return Failure(error.code, FAILURE_REASONS[error.code], sop_class, instance)


@dataclass(slots=True)
class Outcome:
    """What became of the instances of one request."""

    kept: list[Kept] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.kept) + len(self.failed)

    @property
    def status(self) -> int:
        """PS3.18 table 10.5.3-1. Raises the `Problem` that the request as a whole has."""
        if self.kept:
            return 202 if self.failed or any(one.warning for one in self.kept) else 200
        codes = {one.code for one in self.failed}
        if len(codes) == 1 and (problem := _WHOLE_REQUEST.get(codes.pop())):
            raise Problem(problem.status, problem.detail, problem.headers)
        return 409

    def attributes(self, root: str) -> JsonAttributes:
        """The module, in the DICOM JSON Model; `root` is our DICOMweb root."""
        studies = {one.stored.name.study for one in self.kept}
        # Of type 2: empty if there is not one study that it could be the address of.
        url = f"{root}/studies/{studies.pop()}" if len(studies) == 1 else ""
        sequences = {
            _FAILED_SOPS: [_failed(one) for one in self.failed if one.identified],
            _REFERENCED_SOPS: [_referenced(one, root) for one in self.kept],
            _OTHER_FAILURES: [_reason(one) for one in self.failed if not one.identified],
        }
        return {
            _RETRIEVE_URL: _value("UR", url),
            **{tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items},
        }


def _value(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


def _reference(sop_class: str, instance: str) -> JsonAttributes:
    return {
        _REFERENCED_CLASS: _value("UI", sop_class),
        _REFERENCED_INSTANCE: _value("UI", instance),
    }


def _referenced(kept: Kept, root: str) -> JsonAttributes:
    stored = kept.stored
    return {
        **_reference(stored.sop_class, stored.name.instance),
        _RETRIEVE_URL: _value("UR", resource(root, stored.name)),
        **({_WARNING_REASON: _value("US", kept.warning)} if kept.warning else {}),
    }


def _failed(failed: Failure) -> JsonAttributes:
    return {**_reference(failed.sop_class, failed.instance), **_reason(failed)}


def _reason(failed: Failure) -> JsonAttributes:
    return {_FAILURE_REASON: _value("US", failed.reason)}
