"""One table of errors to DIMSE statuses per service (PS3.7 annex C; PS3.4 B.2.3, C.4.1.1.4,
C.4.2.1.5, C.4.3.1.4; PS3.7 10.1.4.1.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from isocenter.core.errors import Code, IsocenterError, Unsupported

SUCCESS = 0x0000
PENDING = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS = 0xFF01  # C-FIND only
CANCELLED = 0xFE00
COERCION_OF_DATA_ELEMENTS = 0xB000  # C-STORE: kept, and corrected on the way out
SUB_OPERATIONS_FAILED = 0xB000  # C-MOVE, C-GET: completed, one or more failures or warnings
INVALID_OBJECT_INSTANCE = 0x0117  # PS3.7 C.4.2
SOP_CLASS_NOT_SUPPORTED = 0x0122
DUPLICATE_SOP_INSTANCE = 0x0111
NOT_AUTHORIZED = 0x0124
NO_SUCH_SOP_INSTANCE = 0x0112
NO_SUCH_ACTION_TYPE = 0x0123
CLASS_INSTANCE_CONFLICT = 0x0119
INVALID_ARGUMENT_VALUE = 0x0115
RESOURCE_LIMITATION = 0x0213
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
CANNOT_COUNT_MATCHES = 0xA701
CANNOT_PERFORM_SUB_OPERATIONS = 0xA702
MOVE_DESTINATION_UNKNOWN = 0xA801
DOES_NOT_MATCH_SOP_CLASS = 0xA900
NO_SUCH_FRAMES = 0xAA00  # this and the next four: PS3.4 tables Y.4-1, Y.4-2
NO_FRAMES_OF_THIS_CLASS = 0xAA01
UNABLE_TO_EXTRACT_FRAMES = 0xAA02
FRAMES_HAVE_NO_TIMES = 0xAA03
INVALID_FRAME_REQUEST = 0xAA04
CANNOT_UNDERSTAND = 0xC000  # C-STORE; "unable to process" of the other services

# Error Comment (0000,0902) is an LO: at most 64 characters, no backslash.
MAX_COMMENT = 64


class Service(Enum):
    """The DIMSE services that can fail."""

    STORE = "C-STORE"
    FIND = "C-FIND"
    MOVE = "C-MOVE"
    GET = "C-GET"
    ACTION = "N-ACTION"


_STORE: Mapping[Code, int] = {
    Code.INVALID: INVALID_OBJECT_INSTANCE,
    Code.MISMATCH: DOES_NOT_MATCH_SOP_CLASS,
    Code.UNPROCESSABLE: CANNOT_UNDERSTAND,
    Code.NOT_FOUND: PROCESSING_FAILURE,
    Code.WITHHELD: PROCESSING_FAILURE,
    Code.CONFLICT: DUPLICATE_SOP_INSTANCE,
    Code.UNAUTHENTICATED: NOT_AUTHORIZED,
    Code.REFUSED: NOT_AUTHORIZED,
    Code.UNSUPPORTED: SOP_CLASS_NOT_SUPPORTED,
    Code.OUT_OF_RESOURCES: OUT_OF_RESOURCES,
    Code.TOO_MANY: OUT_OF_RESOURCES,
    Code.UNAVAILABLE: OUT_OF_RESOURCES,
    Code.CORRUPTED: PROCESSING_FAILURE,
    Code.CANCELLED: PROCESSING_FAILURE,
    Code.DEADLINE: OUT_OF_RESOURCES,
    Code.INTERNAL: PROCESSING_FAILURE,
}

_FIND: Mapping[Code, int] = {
    Code.INVALID: CANNOT_UNDERSTAND,
    Code.MISMATCH: DOES_NOT_MATCH_SOP_CLASS,
    Code.UNPROCESSABLE: CANNOT_UNDERSTAND,
    Code.NOT_FOUND: CANNOT_UNDERSTAND,
    Code.WITHHELD: CANNOT_UNDERSTAND,
    Code.CONFLICT: CANNOT_UNDERSTAND,
    Code.UNAUTHENTICATED: NOT_AUTHORIZED,
    Code.REFUSED: NOT_AUTHORIZED,
    Code.UNSUPPORTED: CANNOT_UNDERSTAND,
    Code.OUT_OF_RESOURCES: OUT_OF_RESOURCES,
    Code.TOO_MANY: OUT_OF_RESOURCES,
    Code.UNAVAILABLE: OUT_OF_RESOURCES,
    Code.CORRUPTED: CANNOT_UNDERSTAND,
    Code.CANCELLED: CANCELLED,
    Code.DEADLINE: OUT_OF_RESOURCES,
    Code.INTERNAL: CANNOT_UNDERSTAND,
}

# Raised before the first sub-operation: what was asked for could not be counted.
_RETRIEVE: Mapping[Code, int] = {
    **_FIND,
    Code.OUT_OF_RESOURCES: CANNOT_COUNT_MATCHES,
    Code.TOO_MANY: CANNOT_COUNT_MATCHES,
    Code.UNAVAILABLE: CANNOT_COUNT_MATCHES,
    Code.DEADLINE: CANNOT_COUNT_MATCHES,
}

_ACTION: Mapping[Code, int] = {
    Code.INVALID: INVALID_ARGUMENT_VALUE,
    Code.MISMATCH: INVALID_ARGUMENT_VALUE,
    Code.UNPROCESSABLE: INVALID_ARGUMENT_VALUE,
    Code.NOT_FOUND: NO_SUCH_SOP_INSTANCE,
    Code.WITHHELD: NO_SUCH_SOP_INSTANCE,
    Code.CONFLICT: PROCESSING_FAILURE,
    Code.UNAUTHENTICATED: NOT_AUTHORIZED,
    Code.REFUSED: NOT_AUTHORIZED,
    Code.UNSUPPORTED: NO_SUCH_ACTION_TYPE,
    Code.OUT_OF_RESOURCES: RESOURCE_LIMITATION,
    Code.TOO_MANY: RESOURCE_LIMITATION,
    Code.UNAVAILABLE: RESOURCE_LIMITATION,
    Code.CORRUPTED: PROCESSING_FAILURE,
    Code.CANCELLED: PROCESSING_FAILURE,
    Code.DEADLINE: RESOURCE_LIMITATION,
    Code.INTERNAL: PROCESSING_FAILURE,
}

STATUSES: Mapping[Service, Mapping[Code, int]] = {
    Service.STORE: _STORE,
    Service.FIND: _FIND,
    Service.MOVE: _RETRIEVE,
    Service.GET: _RETRIEVE,
    Service.ACTION: _ACTION,
}


def is_warning(status: int) -> bool:
    """Whether a storage SCP kept the object with a remark (PS3.7 C.3, PS3.4 B.2.3)."""
    return status & 0xF000 == 0xB000 or status in (0x0107, 0x0116)


def may_pass(status: int) -> bool:
    """Whether a storage SCP may take the object later: it is out of resources (PS3.4 B.2.3,
    PS3.7 C.5.18)."""
    return status & 0xFF00 == OUT_OF_RESOURCES or status == RESOURCE_LIMITATION


class StatusError(Unsupported):
    """What an information model has a status of its own for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Failure:
    """How a request that failed is answered."""

    status: int
    comment: str


def failure(service: Service, error: IsocenterError) -> Failure:
    """The answer to an error. The comment is the error's message (which holds no patient data),
    shortened to what an LO can hold."""
    own = error.status if isinstance(error, StatusError) else None
    return Failure(own or STATUSES[service][error.code], comment(error.message))


def comment(text: str) -> str:
    """A text as an Error Comment: printable ASCII without backslashes, at most 64 characters."""
    plain = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
    return plain if len(plain) <= MAX_COMMENT else plain[: MAX_COMMENT - 3] + "..."
