"""The pages of the roles that follow the log: indexing and audit."""

from __future__ import annotations

from model import Dashboard, Panel, Query, Row
from panels import COUNT, PER_SECOND, SECONDS, failures, lag, rates, slowest, spread
from promql import NOT_OK, or_zero, rate, shared

from isocenter.core.events import TOPIC_AUDIT
from isocenter.runtime.instruments import (
    ARCHIVE_INSTANCES,
    AUDIT_FORWARD_DOWN,
    AUDIT_FORWARD_FAILURES,
    AUDIT_FORWARDED,
    AUDIT_PUBLISH_FAILURES,
    AUDIT_RECORDS,
    FILL_ATTRIBUTES,
    FILL_OBJECTS,
    FILL_REMAINING,
    INDEX_DURATION,
    INDEXING_BATCH_DURATION,
    INDEXING_BATCH_SIZE,
    INDEXING_FINDABLE_DURATION,
    LOG_APPEND_DURATION,
    LOG_DEAD_LETTERS,
    LOG_LAG,
    LOG_RECORDS,
    LOG_SKIPPED,
)

_AUDIT_TOPIC = f'topic="{TOPIC_AUDIT}"'
_APPEND = 'operation="audit_append"'
_COLLECTOR = ("collector",)

INDEXING = Dashboard(
    "indexing",
    "Indexing",
    "How events become the search index.",
    (
        Row(
            "Work",
            (
                Panel(
                    "Events",
                    "Events that were made findable in a second.",
                    PER_SECOND,
                    (
                        Query(
                            rate(INDEXING_BATCH_SIZE, of="_sum"),
                            "events",
                        ),
                    ),
                ),
                spread("Events of a batch", "Larger under load.", INDEXING_BATCH_SIZE, unit=COUNT),
                lag(
                    "Lag",
                    "Events that are not committed. `sweeping` has one before it all the time.",
                    'group!~"audit.*"',
                ),
                Panel(
                    "Instances",
                    "That searches find; looked at every five minutes.",
                    COUNT,
                    (Query(shared(ARCHIVE_INSTANCES), "instances"),),
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread(
                    "Until findable",
                    "From the append of the event.",
                    INDEXING_FINDABLE_DURATION,
                ),
                spread("Batches", "From decoded to findable.", INDEXING_BATCH_DURATION),
                slowest(
                    "Calls of the search index, p95",
                    "By operation; searches are among them.",
                    INDEX_DURATION,
                    by=("operation",),
                ),
            ),
        ),
        Row(
            "Added attributes",
            (
                Panel(
                    "To be filled",
                    "Attributes that were added and by which searches may miss what was stored "
                    "before.",
                    COUNT,
                    (Query(or_zero(shared(FILL_ATTRIBUTES)), "attributes"),),
                ),
                Panel(
                    "Objects left",
                    "That are still to be looked at for them, about.",
                    COUNT,
                    (Query(or_zero(shared(FILL_REMAINING)), "objects"),),
                ),
                Panel(
                    "Objects",
                    "That are looked at for them in a second.",
                    PER_SECOND,
                    (Query(or_zero(rate(FILL_OBJECTS)), "objects"),),
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Batches that fail",
                    "They are tried again.",
                    INDEXING_BATCH_DURATION,
                    NOT_OK,
                    by=("outcome",),
                ),
                failures(
                    "Dead letters",
                    "Events that no consumer can use.",
                    LOG_DEAD_LETTERS,
                    by=("group", "topic"),
                ),
                failures(
                    "Passed over",
                    "Events of kinds that only a newer version knows.",
                    LOG_SKIPPED,
                    by=("group", "topic"),
                ),
            ),
        ),
    ),
)

AUDIT = Dashboard(
    "audit",
    "Audit",
    "The audit trail.",
    (
        Row(
            "Work",
            (
                rates("Records", "Kept, by what was done.", AUDIT_RECORDS, by=("action",)),
                rates(
                    "Outcomes",
                    "By how what was done ended (PS3.15 A.5.1).",
                    AUDIT_RECORDS,
                    by=("outcome",),
                ),
                lag("Lag", "Records that are not kept yet.", 'group="audit"'),
                rates(
                    "Records in the log",
                    "Records that roles appended. Stores have none of their own there: the event "
                    "of a store is its record.",
                    LOG_RECORDS,
                    _AUDIT_TOPIC,
                    by=("topic",),
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread("Keeping", "A batch of records.", INDEX_DURATION, _APPEND),
                spread("Appends", "To the log.", LOG_APPEND_DURATION, _AUDIT_TOPIC),
            ),
        ),
        Row(
            "Collectors",
            (
                Panel(
                    "Forwarded",
                    "Messages that have arrived at syslog collectors.",
                    PER_SECOND,
                    (Query(or_zero(rate(AUDIT_FORWARDED, by=_COLLECTOR)), "{{collector}}"),),
                ),
                Panel(
                    "Waiting",
                    "Records that are not confirmed by a collector yet; the log keeps them.",
                    COUNT,
                    (
                        Query(
                            or_zero(shared(LOG_LAG, 'group=~"audit-forward-.*"', by=("group",))),
                            "{{group}}",
                        ),
                    ),
                ),
                Panel(
                    "Not reachable",
                    "For how long a collector has not been taking messages.",
                    SECONDS,
                    (Query(or_zero(shared(AUDIT_FORWARD_DOWN, by=_COLLECTOR)), "{{collector}}"),),
                ),
                failures(
                    "Attempts that fail",
                    "To reach a collector, or to send to it; they are made again.",
                    AUDIT_FORWARD_FAILURES,
                    by=_COLLECTOR,
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Records that are not kept",
                    "Batches that failed; they are tried again.",
                    INDEX_DURATION,
                    _APPEND,
                    NOT_OK,
                    by=("outcome",),
                ),
                failures(
                    "Appends that fail",
                    "The records wait in the object store; no access goes without one.",
                    LOG_APPEND_DURATION,
                    _AUDIT_TOPIC,
                    NOT_OK,
                    by=("outcome",),
                ),
                failures(
                    "Publications that fail",
                    "Of the newest heads of the chains; they are made again at the next seal.",
                    AUDIT_PUBLISH_FAILURES,
                    by=("destination",),
                ),
            ),
        ),
    ),
)
