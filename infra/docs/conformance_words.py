"""What docs/conformance.md says of each status, rejection, abort and key, in the standard's words
or ours. The numbers are the code's."""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.errors import Code
from isocenter.dimse import contexts
from isocenter.dimse.pdu import AbortReason, AbortSource
from isocenter.gateway import statuses
from isocenter.gateway.identifiers import INSTANCE_UID, PATIENT_ID, SERIES_UID, STUDY_UID
from isocenter.gateway.statuses import Service

REASONS = {
    Code.INVALID: "malformed request or UIDs",
    Code.MISMATCH: "the data set contradicts the command or the address",
    Code.UNPROCESSABLE: "unreadable data set",
    Code.NOT_FOUND: "not there",
    Code.WITHHELD: "not there",
    Code.CONFLICT: "another object is kept under this SOP Instance UID (policy `reject`)",
    Code.UNAUTHENTICATED: "who signed in is not let in any more",
    Code.REFUSED: "not allowed",
    Code.UNSUPPORTED: "SOP class, action or transfer syntax not supported",
    Code.OUT_OF_RESOURCES: "disk reserve or another limit reached",
    Code.UNAVAILABLE: "something this depends on is down",
    Code.CORRUPTED: "the kept object is damaged",
    Code.CANCELLED: "cancelled",
    Code.DEADLINE: "too slow",
    Code.INTERNAL: "an error of ours",
}

# What is asked for is found by a search; only HTTP and gRPC count requests.
_BY_SEARCH = frozenset(
    {
        Code.CONFLICT, Code.CORRUPTED, Code.NOT_FOUND, Code.WITHHELD, Code.UNSUPPORTED,
        Code.TOO_MANY,
    }
)  # fmt: skip

# What cannot go wrong in a service.
NEVER: Mapping[Service, frozenset[Code]] = {
    Service.STORE: frozenset({Code.NOT_FOUND, Code.WITHHELD, Code.CANCELLED, Code.TOO_MANY}),
    Service.FIND: _BY_SEARCH,
    Service.MOVE: _BY_SEARCH,
    Service.GET: _BY_SEARCH,
    Service.ACTION: frozenset(
        {
            Code.CONFLICT,
            Code.CORRUPTED,
            Code.CANCELLED,
            Code.UNAUTHENTICATED,
            Code.WITHHELD,
            Code.TOO_MANY,
        }
    ),
}

# What the standard calls them: PS3.7 annex C, PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5, C.4.3.1.4.
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

_Row = tuple[int, str, str]
_DONE: _Row = (statuses.SUCCESS, "success", "all sub-operations were completed")
_SUB_OPERATIONS: tuple[_Row, ...] = (
    _DONE,
    (statuses.PENDING, "pending", "sub-operations are going on; with their counts"),
    (
        statuses.SUB_OPERATIONS_FAILED,
        "warning",
        "some sub-operations failed, or ended with a warning",
    ),
    (statuses.CANCELLED, "cancelled", "C-CANCEL came before the last sub-operation"),
    (
        statuses.CANNOT_PERFORM_SUB_OPERATIONS,
        "out of resources: unable to perform sub-operations",
        "every sub-operation failed",
    ),
    (
        statuses.NO_SUCH_FRAMES,
        "none of the frames requested were found",
        "level FRAME: the instance has none of them",
    ),
    (
        statuses.NO_FRAMES_OF_THIS_CLASS,
        "unable to create new object for this SOP class",
        "level FRAME: the instance is no multi-frame image",
    ),
    (
        statuses.UNABLE_TO_EXTRACT_FRAMES,
        "unable to extract frames",
        "level FRAME: videos, and frames that mean nothing without the others",
    ),
    (
        statuses.FRAMES_HAVE_NO_TIMES,
        "time-based request for an instance that is not",
        "level FRAME: a Time Range, where nothing says when frames were taken",
    ),
    (
        statuses.INVALID_FRAME_REQUEST,
        "invalid request",
        "level FRAME without one SOP Instance UID and one frame range key, or a key that is none",
    ),
)
# The statuses that are no error's.
BESIDE_ERRORS: Mapping[Service, tuple[_Row, ...]] = {
    Service.STORE: (
        (statuses.SUCCESS, "success", "the object and the event that announces it are durable"),
        (
            statuses.COERCION_OF_DATA_ELEMENTS,
            "coercion of data elements",
            "so they are, with corrections; Offending Element (0000,0901) lists the attributes",
        ),
    ),
    Service.FIND: (
        (statuses.SUCCESS, "success", "all matches were sent"),
        (statuses.PENDING, "pending", "a match; every key is supported"),
        (
            statuses.PENDING_WITH_UNSUPPORTED_KEYS,
            "pending",
            "a match; some optional keys are not supported, or are being filled",
        ),
        (statuses.CANCELLED, "cancelled", "C-CANCEL came before the last match"),
    ),
    Service.MOVE: (
        *_SUB_OPERATIONS,
        (
            statuses.MOVE_DESTINATION_UNKNOWN,
            "move destination unknown",
            "no host and port are known for the destination",
        ),
    ),
    Service.GET: _SUB_OPERATIONS,
    Service.ACTION: ((statuses.SUCCESS, "success", "the request is durable"),),
}

# PS3.8 table 9-21; why the gateway rejects.
REJECTIONS: Mapping[str, contexts.Rejected] = {
    "the caller is not known, comes from another address or shows another certificate": (
        contexts.CALLING_AE_TITLE_NOT_RECOGNIZED
    ),
    "the AE directory has not been read yet": contexts.TEMPORARY_CONGESTION,
    "it cannot be found out now whether a user identity is true": contexts.TEMPORARY_CONGESTION,
    "the called AE title is none of ours": contexts.CALLED_AE_TITLE_NOT_RECOGNIZED,
    "a user identity of a kind that is not taken, or that is not true": (
        contexts.USER_IDENTITY_REFUSED
    ),
    "the application context is another": contexts.APPLICATION_CONTEXT_NOT_SUPPORTED,
    "the protocol version is another": contexts.PROTOCOL_VERSION_NOT_SUPPORTED,
    "the process or the caller has as many associations as it may, or the process is stopping": (
        contexts.LOCAL_LIMIT_EXCEEDED
    ),
    "an error of ours": contexts.NO_REASON_GIVEN,
}
RESULTS = {1: "rejected-permanent", 2: "rejected-transient"}
SOURCES = {
    1: "DICOM UL service-user",
    2: "DICOM UL service-provider (ACSE)",
    3: "DICOM UL service-provider (presentation)",
}

# PS3.8 table 9-26; why the gateway aborts.
ABORTS = (
    (AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, "a timer ran out, or it is stopped"),
    (AbortSource.SERVICE_PROVIDER, AbortReason.UNRECOGNIZED_PDU, "a PDU of no type"),
    (AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU, "a PDU that has no place here"),
    (
        AbortSource.SERVICE_PROVIDER,
        AbortReason.UNEXPECTED_PDU_PARAMETER,
        "a PDV that has no place here: of a context that was not accepted, or of another message",
    ),
    (
        AbortSource.SERVICE_PROVIDER,
        AbortReason.INVALID_PDU_PARAMETER_VALUE,
        "a length or a value that cannot be",
    ),
)

UNIQUE_KEYS = frozenset({PATIENT_ID, STUDY_UID, SERIES_UID, INSTANCE_UID})
REQUIRED_KEYS = frozenset(  # PS3.4 tables C.6-1 to C.6-5
    {
        "PatientName", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "Modality",
        "SeriesNumber", "InstanceNumber",
    }
)  # fmt: skip
