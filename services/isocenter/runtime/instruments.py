"""What is measured, as data: every metric with its labels. `runtime.spans` has what is traced.

Names, units and labels are stable; `docs/telemetry.md` is made from these tables. Labels have few
values: no UID, no host, nothing of a patient (PS3.15 annex E counts UIDs among what identifies).
`ae` is the calling AE title of what comes in and the peer's of what goes out, empty for protocols
other than DIMSE; a process tells a bounded number of them apart (`Telemetry.ae`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
_UNITS_IN_NAMES = {"s": "_seconds", "By": "_bytes"}  # others, Prometheus' names do not have
_COUNTS = (0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000)


class Kind(Enum):
    """What a metric's value means."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    OBSERVED_COUNTER = "counter, read when exported"
    GAUGE = "gauge, read when exported"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics. Units are those of UCUM."""

    name: str
    kind: Kind
    unit: str
    what: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def in_prometheus(self) -> str:
        """Its name there, as OpenTelemetry converts names; of a histogram without `_bucket`,
        `_sum` and `_count`."""
        name = self.name.replace(".", "_")
        unit = _UNITS_IN_NAMES.get(self.unit, "")
        if unit and not name.endswith(unit):
            name += unit
        return name + "_total" * (self.kind in (Kind.COUNTER, Kind.OBSERVED_COUNTER))


def _seconds(name: str, what: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, "s", what, labels, _SECONDS)


def _counter(name: str, unit: str, what: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, what, labels)


def _of_archive(name: str, unit: str, what: str) -> Metric:
    return Metric(
        f"isocenter.archive.{name}",
        Kind.GAUGE,
        unit,
        f"{what}, as of the last five minutes; each indexing process tells the same",
    )


# --- processes -----------------------------------------------------------------------------------

PROCESS_READY = Metric(
    "isocenter.process.ready",
    Kind.GAUGE,
    "1",
    "1 while all roles of the process can do their work, else 0: its `/readyz` says why",
)

# --- what comes in -------------------------------------------------------------------------------

STORE_INSTANCES = _counter(
    "isocenter.store.instances", "{instance}", "Instances sent to us", "protocol", "ae", "outcome"
)
STORE_BYTES = _counter(
    "isocenter.store.bytes",
    "By",
    "Part 10 bytes of the instances that were kept",
    "protocol",
    "ae",
)
STORE_DURATION = _seconds(
    "isocenter.store.duration",
    "From the first byte of an instance to the answer",
    "protocol",
    "outcome",
)
STORE_STAGE_DURATION = _seconds(
    "isocenter.store.stage.duration",
    "The stages of a store: `receive`, `commit` to the object store, `announce` to the log",
    "stage",
)

# --- what goes out -------------------------------------------------------------------------------

RETRIEVE_INSTANCES = _counter(
    "isocenter.retrieve.instances", "{instance}", "Whole instances given out", "protocol", "ae"
)
RETRIEVE_BYTES = _counter(
    "isocenter.retrieve.bytes", "By", "Their Part 10 bytes, as they are kept", "protocol", "ae"
)
RETRIEVE_RETRIES = _counter(
    "isocenter.retrieve.retries",
    "{sub-operation}",
    "Sub-operations of C-MOVE that are tried again: the association was lost, or the destination "
    "was out of resources",
    "ae",
)
RETRIEVE_FAILURES = _counter(
    "isocenter.retrieve.failures",
    "{sub-operation}",
    "Sub-operations of C-MOVE and C-GET that failed for good",
    "ae",
)
MOVES_WAITING = Metric(
    "isocenter.moves.waiting",
    Kind.GAUGE,
    "{request}",
    "C-MOVEs that wait until fewer are under way to their destination",
    ("ae",),
)
MOVES_ACTIVE = Metric(
    "isocenter.moves.active", Kind.GAUGE, "{request}", "C-MOVEs under way to a destination", ("ae",)
)
CACHE_LOOKUPS = Metric(
    "isocenter.cache.lookups",
    Kind.OBSERVED_COUNTER,
    "{lookup}",
    "What was looked up in memory first: a `hit` was there. `entries` is storage's memory of "
    "metadata packs, `instances` the web role's of series that are being looked at",
    ("cache", "outcome"),
)

# --- the edges -----------------------------------------------------------------------------------

ASSOCIATIONS_OPEN = Metric(
    "isocenter.associations.open", Kind.GAUGE, "{association}", "Associations in use"
)
ASSOCIATIONS = _counter(
    "isocenter.associations",
    "{association}",
    "Association requests: `accepted` or `rejected`; `ae` is `unknown` for those that the settings "
    "do not name",
    "ae",
    "outcome",
)
DIMSE_DURATION = _seconds(
    "isocenter.dimse.duration",
    "DIMSE operations from the command to the final response; the status is its class in "
    "PS3.7 annex C, `aborted` where none was sent",
    "verb",
    "ae",
    "status",
)
HTTP_DURATION = _seconds(
    "isocenter.http.duration",
    "HTTP requests from the head to the end of the answer; the route is its template",
    "method",
    "route",
    "status",
)
RPC_SERVER_DURATION = _seconds(
    "isocenter.rpc.server.duration", "gRPC calls that were served", "method", "code"
)
RPC_CLIENT_DURATION = _seconds(
    "isocenter.rpc.client.duration",
    "gRPC calls that were made; `CANCELLED` also where the caller needed no more of an answer",
    "method",
    "code",
)

LIMITS_REFUSED = _counter(
    "isocenter.limits.refused",
    "{request}",
    "What was refused to somebody who had enough of it: requests (and calls of gRPC), too many a "
    "second or at once, of known callers or of an address; connections of an address; attempts to "
    "sign in; associations",
    "limit",
)

# --- the log -------------------------------------------------------------------------------------

LOG_RECORDS = _counter(
    "isocenter.log.records", "{record}", "Records that are durable in the log", "topic"
)
LOG_APPEND_DURATION = _seconds(
    "isocenter.log.append.duration", "Appends until they are durable, or failed", "topic", "outcome"
)
LOG_LAG = Metric(
    "isocenter.log.lag",
    Kind.GAUGE,
    "{record}",
    "Records that a group of consumers has not committed; each of its processes tells the same",
    ("group", "topic"),
)
LOG_DEAD_LETTERS = _counter(
    "isocenter.log.dead_letters",
    "{record}",
    "Records that no consumer can use, and that went to the topic's dead letters",
    "group",
    "topic",
)

LOG_SKIPPED = _counter(
    "isocenter.log.skipped",
    "{record}",
    "Records of a kind that only a newer version knows, which were passed over",
    "group",
    "topic",
)
OUTBOX_KEPT = _counter(
    "isocenter.outbox.kept",
    "{record}",
    "Records that went to the outbox, as the log did not take them",
    "topic",
)
OUTBOX_RELAYED = _counter(
    "isocenter.outbox.relayed", "{record}", "Records that came from the outbox to the log", "topic"
)
SWEEP_OBJECTS = _counter(
    "isocenter.sweep.objects",
    "{object}",
    "Objects that were compared with the index: `indexed`, `announced` (orphans), `waiting` "
    "for their event, or `unreadable`",
    "outcome",
)

# --- indexing and searching ----------------------------------------------------------------------

INDEXING_BATCH_SIZE = Metric(
    "isocenter.indexing.batch.size", Kind.HISTOGRAM, "{event}", "Events of a batch", (), _COUNTS
)
INDEXING_BATCH_DURATION = _seconds(
    "isocenter.indexing.batch.duration", "Batches from decoded to findable", "outcome"
)
INDEXING_FINDABLE_DURATION = _seconds(
    "isocenter.indexing.findable.duration", "Instances from the append of their event to findable"
)
SEARCH_DURATION = _seconds(
    "isocenter.search.duration",
    "Searches; the time in which their answers were awaited",
    "level",
    "outcome",
)
SEARCH_ANSWERS = Metric(
    "isocenter.search.answers",
    Kind.HISTOGRAM,
    "{answer}",
    "Answers that a search gave",
    ("level",),
    _COUNTS,
)
INDEX_DURATION = _seconds(
    "isocenter.index.duration", "Calls of the search index", "operation", "outcome"
)

FILL_OBJECTS = _counter(
    "isocenter.fill.objects",
    "{object}",
    "Objects that were looked at for attributes that were added to the settings",
)
FILL_ATTRIBUTES = Metric(
    "isocenter.fill.attributes",
    Kind.GAUGE,
    "{attribute}",
    "Attributes that were added and by which searches do not find everything yet; each process of "
    "indexing tells the same",
)
FILL_REMAINING = Metric(
    "isocenter.fill.remaining",
    Kind.GAUGE,
    "{object}",
    "Objects that are still to be looked at for them, about",
)

ARCHIVE_STUDIES = _of_archive("studies", "{study}", "Studies that searches find")
ARCHIVE_INSTANCES = _of_archive("instances", "{instance}", "Instances that searches find")
ARCHIVE_BYTES = _of_archive(
    "bytes",
    "By",
    "Part 10 bytes of all versions kept",
)

# --- objects and pixels --------------------------------------------------------------------------

BLOBS_DURATION = _seconds(
    "isocenter.blobs.duration",
    "Calls of the object store; of a read the time in which its bytes were awaited",
    "operation",
    "outcome",
)
BLOBS_BYTES = _counter(
    "isocenter.blobs.bytes",
    "By",
    "Bytes `read` from and `written` to the object store",
    "direction",
)
TRANSCODING_DURATION = _seconds(
    "isocenter.transcoding.duration",
    "`decode`, `render` and `data_set`, by the transfer syntax that they come from",
    "operation",
    "transfer_syntax",
    "outcome",
)

TRANSCODING_ACTIVE = Metric(
    "isocenter.transcoding.active",
    Kind.GAUGE,
    "{operation}",
    "Work of transcoding under way, or waiting for a processor",
)
DISK_SIZE = Metric(
    "isocenter.disk.size", Kind.GAUGE, "By", "Size of the file system of the data directory"
)
DISK_FREE = Metric("isocenter.disk.free", Kind.GAUGE, "By", "What is free of it for us")

# --- the audit trail -----------------------------------------------------------------------------

AUDIT_RECORDS = _counter(
    "isocenter.audit.records",
    "{record}",
    "Records kept in the audit trail; outcomes are `success`, `minor-failure` and `failure`",
    "action",
    "outcome",
)
AUDIT_FORWARDED = _counter(
    "isocenter.audit.forwarded",
    "{message}",
    "Messages that have arrived at a syslog collector; those that are sent again are counted again",
    "collector",
)
AUDIT_FORWARD_FAILURES = _counter(
    "isocenter.audit.forward.failures",
    "{attempt}",
    "Attempts to reach a syslog collector, or to send to it, that failed; what waits is the lag of "
    "the group `audit-forward-` and its name",
    "collector",
)
AUDIT_FORWARD_DOWN = Metric(
    "isocenter.audit.forward.down",
    Kind.GAUGE,
    "s",
    "For how long a syslog collector has not been taking messages; 0 while it does",
    ("collector",),
)
AUDIT_PUBLISH_FAILURES = _counter(
    "isocenter.audit.publish.failures",
    "{attempt}",
    "Publications of the newest heads of the chains that failed: to a `file`, or as `stamp` of a "
    "time stamping authority",
    "destination",
)

# --- access --------------------------------------------------------------------------------------

ACCESS_POLICY_REFUSED = Metric(
    "isocenter.access.policy.refused",
    Kind.GAUGE,
    "1",
    "1 while the file of the policy cannot be used, and the policy stays as it was; else 0",
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
