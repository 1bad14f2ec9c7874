"""Facts that the log carries: what happened to instances and studies, and the audit trail.

Plain records; `runtime.event_codec` turns them into CloudEvents with protobuf data and back.
Events never hold pixels. Fields are only ever added.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from isocenter.core.identity import InstanceName

TOPIC_INSTANCES = "isocenter.instances"
TOPIC_STUDIES = "isocenter.studies"
TOPIC_AUDIT = "isocenter.audit"
TOPIC_JOBS = "isocenter.jobs"
TOPICS = (TOPIC_INSTANCES, TOPIC_STUDIES, TOPIC_AUDIT, TOPIC_JOBS)
DEAD_SUFFIX = ".dead"

# A header longer than this is read from the object instead of being carried by the event.
MAX_INLINE_HEADER = 256 * 1024


class ConflictPolicy(Enum):
    """What to do with another object under the name of one that is kept already."""

    KEEP_FIRST = "keep-first"
    KEEP_LATEST = "keep-latest"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Source:
    """Who brought an object or asked for something, as far as the protocol tells."""

    protocol: str  # "DIMSE", "DICOMweb", "gRPC", "CLI"; "sweep": an orphan found by itself
    host: str = ""  # address of the peer, without the port
    ae_title: str = ""  # calling AE title
    called_ae_title: str = ""
    user: str = ""
    tls_subject: str = ""
    known: bool = True  # False: admitted from loopback without being in the settings
    purpose: str = ""  # why, as the caller says (IHE ITI TF-2 3.20.7.8 PurposeOfUse)

    @property
    def who(self) -> str:
        """For people: the user, else the AE title, else the address."""
        return self.user or self.ae_title or self.host

    @property
    def store_verb(self) -> str:
        """What a store is called in this protocol."""
        return {"DIMSE": "C-STORE", "DICOMweb": "STOW-RS"}.get(self.protocol, "store")


@dataclass(frozen=True, slots=True)
class InstanceStored:
    """An object is durable. Announced at least once for every acknowledged store, and the record
    of that store in the audit trail."""

    name: InstanceName
    sop_class: str
    transfer_syntax: str
    key: str  # of the object in the blob store
    digest: str  # SHA-256 of the Part 10 file, lower-case hexadecimal
    size: int  # of the Part 10 file, bytes
    data_set_offset: int  # of the data set in the Part 10 file, bytes
    header_length: int  # bytes of the data set before Pixel Data (all of it, if it has none)
    header: bytes | None  # these bytes; None when longer than MAX_INLINE_HEADER: read the object
    source: Source
    received_at: datetime  # UTC
    policy: ConflictPolicy = ConflictPolicy.KEEP_FIRST
    patient_id: str = ""  # as in the header, or as corrected; for the audit trail
    checksum: str = ""  # of the Part 10 file (`runtime.checksum`), empty where it is not known
    overlay: str = ""  # key of the corrections of its header (`core.overlays`), if there are any
    site: str = ""  # where it came from, if that is known


@dataclass(frozen=True, slots=True)
class InstanceConflict:
    """Another object arrived under the same name; both are kept, one is current."""

    name: InstanceName
    current_digest: str
    other_digest: str
    policy: ConflictPolicy
    source: Source


@dataclass(frozen=True, slots=True)
class InstanceRejected:
    """An object was refused by policy and not kept."""

    name: InstanceName
    digest: str
    reason: str
    source: Source


@dataclass(frozen=True, slots=True)
class InstanceDeleted:
    """A version of an instance was deleted."""

    name: InstanceName
    digest: str
    reason: str
    source: Source
    deletion: str = ""  # what it was deleted together with (`core.deletions`)


@dataclass(frozen=True, slots=True)
class StudyChanged:
    """The index now answers with this content of a study. Told at least once for each change, and
    at times again behind a newer one: exact is `StudyQuiet`."""

    partition: str
    study: str
    series_count: int
    instance_count: int


@dataclass(frozen=True, slots=True)
class StudyQuiet:
    """Nothing has been added to the study for the settled time."""

    partition: str
    study: str
    series_count: int
    instance_count: int


@dataclass(frozen=True, slots=True)
class SweepCheckpoint:
    """How far the sweep for orphans is; the newest one is where its next owner goes on."""

    key: str  # the last object key that was looked at
    started_at: datetime  # UTC
    done: bool


class LetterFate(Enum):
    """What was done with a dead letter."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetterResolved:
    """A dead letter is done with. It stands behind the letter in the same `.dead` topic."""

    partition: int  # of the letter in that topic
    offset: int
    fate: LetterFate
    by: Source
    at: datetime  # UTC
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SopReference:
    """A composite instance by the names that DICOM gives it alone."""

    sop_class: str
    instance: str


@dataclass(frozen=True, slots=True)
class CommitmentRequested:
    """Somebody asks us to take custody of objects (Storage Commitment, PS3.4 J.3.2). It stands
    until a `CommitmentEnded` of the same transaction and peer follows."""

    transaction: str  # Transaction UID
    source: Source  # whose AE title is told the result
    references: tuple[SopReference, ...]
    at: datetime  # UTC


class CommitmentFate(Enum):
    """How a request of commitment ended."""

    REPORTED = "reported"
    GIVEN_UP = "given-up"  # the peer could not be told within the time that the settings give


@dataclass(frozen=True, slots=True)
class CommitmentEnded:
    """Nothing further is done about a request of commitment."""

    transaction: str
    ae_title: str  # of the peer
    fate: CommitmentFate
    committed: int  # references that are kept
    failed: int
    at: datetime  # UTC
    reason: str = ""  # why it was given up


class AuditAction(Enum):
    """What was done; each maps to an event of PS3.15 A.5.3."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"
    EXPORT = "export"
    DELETE = "delete"
    CONFLICT = "conflict"
    START = "start"
    STOP = "stop"
    SECURITY = "security"
    IMPORT = "import"
    VERIFY = "verify"
    AUDIT = "audit"  # the trail itself was looked at, or its retention was changed
    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"
    NETWORK = "network"  # a peer connected, or was refused


class AuditOutcome(Enum):
    """How it ended (PS3.15 A.5.1 EventOutcomeIndicator 0, 4 and 8)."""

    SUCCESS = "success"
    MINOR_FAILURE = "minor-failure"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One record of the audit trail: who, from where, what, when, outcome."""

    action: AuditAction
    outcome: AuditOutcome
    source: Source
    at: datetime  # UTC
    id: str  # unique; the same record delivered twice is one record
    partition: str = ""
    patient_ids: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()  # at most a handful; `instance_count` counts all
    instance_count: int = 0
    detail: str = ""  # the verb and what it asked for: "C-FIND STUDY PatientID", "WADO-RS frames"
    destination: str = ""  # who receives, for an export
    error: str = ""
    query: str = ""  # what was searched for: the keys with their values
    digests: tuple[str, ...] = ()  # SHA-256 of versions of `instances`, where it is about versions
    process: str = ""  # that made the record
    site: str = ""
    trace: str = ""  # trace id of W3C trace context


Event = (
    InstanceStored
    | InstanceConflict
    | InstanceRejected
    | InstanceDeleted
    | StudyChanged
    | StudyQuiet
    | AuditEvent
    | SweepCheckpoint
    | DeadLetterResolved
    | CommitmentRequested
    | CommitmentEnded
)

# Fields of events that may hold what identifies a patient: never shown to operators.
PATIENT_FIELDS = frozenset({"header", "patient_id", "patient_ids", "query"})
