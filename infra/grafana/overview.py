"""The page to begin with: whether all is well, and if not, where to look next."""

from __future__ import annotations

from model import Dashboard, Panel, Query, Row
from panels import (
    BYTES_PER_SECOND,
    COUNT,
    FINDABLE_P95,
    INSTANCES,
    PART,
    SIZE,
    STORE_P95,
    STUDIES,
    failures,
    lag,
    number,
    rates,
    slowest,
    spread,
)
from promql import FAULTS, increase, or_zero, rate, select, share, total

from isocenter.runtime.instruments import (
    ASSOCIATIONS,
    ASSOCIATIONS_OPEN,
    BLOBS_DURATION,
    DIMSE_DURATION,
    DISK_FREE,
    DISK_SIZE,
    HTTP_DURATION,
    INDEX_DURATION,
    INDEXING_FINDABLE_DURATION,
    LOG_DEAD_LETTERS,
    LOG_LAG,
    PROCESS_READY,
    RETRIEVE_BYTES,
    RETRIEVE_INSTANCES,
    SEARCH_DURATION,
    STORE_BYTES,
    STORE_DURATION,
    STORE_INSTANCES,
)

FREE_PART = f"min({select(DISK_FREE)} / {select(DISK_SIZE)})"

_NOW = Row(
    "Now",
    (
        number(
            "Not ready",
            "Processes that cannot do their work now. The `/readyz` of each says why, and so does "
            "`isocenter top`.",
            COUNT,
            f"sum({select(PROCESS_READY)} == bool 0)",
            orange=1,
            red=2,
        ),
        number(
            "Stores that fail",
            "Part of the instances that we could not keep although there is nothing wrong with "
            "them. Their senders send them again.",
            PART,
            share(rate(STORE_INSTANCES, FAULTS), rate(STORE_INSTANCES)),
            orange=0.001,
            red=0.05,
        ),
        STORE_P95,
        FINDABLE_P95,
        number(
            "Largest lag",
            "Events that the group of consumers which is furthest behind has before it.",
            COUNT,
            f"max({select(LOG_LAG)})",
            orange=1000,
            red=10_000,
        ),
        number(
            "Dead letters, 1 h",
            "Events that no consumer could use in the last hour. `isocenter dead list` shows those "
            "that wait for a decision.",
            COUNT,
            or_zero(increase(LOG_DEAD_LETTERS, window="1h")),
            orange=1,
            red=100,
        ),
        number(
            "Associations",
            "DICOM associations that are open.",
            COUNT,
            total(ASSOCIATIONS_OPEN),
        ),
        STUDIES,
        INSTANCES,
        SIZE,
        number(
            "Disk free",
            "Part of the disk with the data directory that is free, of the fullest one. Only where "
            "parts are embedded.",
            PART,
            FREE_PART,
            orange=0.2,
            red=0.1,
        ),
        number(
            "Ready",
            "Processes that can do their work now.",
            COUNT,
            total(PROCESS_READY),
        ),
    ),
)
_WORK = Row(
    "What comes in and goes out",
    (
        rates(
            "Stored",
            "Instances sent to us in a second, kept or not.",
            STORE_INSTANCES,
            by=("protocol",),
        ),
        rates(
            "Stored, bytes",
            "Part 10 bytes of the instances that were kept.",
            STORE_BYTES,
            by=("protocol",),
            unit=BYTES_PER_SECOND,
        ),
        rates("Given out", "Whole instances given out.", RETRIEVE_INSTANCES, by=("protocol",)),
        rates(
            "Given out, bytes",
            "Their Part 10 bytes, as they are kept.",
            RETRIEVE_BYTES,
            by=("protocol",),
            unit=BYTES_PER_SECOND,
        ),
        rates("Searches", "C-FIND and QIDO-RS alike.", SEARCH_DURATION, by=("level",)),
        rates(
            "HTTP requests",
            "By the class of their status.",
            HTTP_DURATION,
            by=("status",),
        ),
    ),
)
_TIMES = Row(
    "How long it takes",
    (
        spread(
            "Store",
            "From the first byte of an instance to the answer; a slow line to the sender is in it.",
            STORE_DURATION,
            'outcome="ok"',
        ),
        spread(
            "Until a store is findable",
            "From the append of its event to the search index having it.",
            INDEXING_FINDABLE_DURATION,
        ),
        slowest(
            "Searches, p95",
            "The time in which their answers were awaited.",
            SEARCH_DURATION,
            by=("level",),
        ),
        slowest(
            "DIMSE operations, p95",
            "From the command to the final response.",
            DIMSE_DURATION,
            by=("verb",),
        ),
    ),
)
_PROBLEMS = Row(
    "What goes wrong",
    (
        failures(
            "Stores that are not kept",
            "By what was wrong. `unavailable` and `out-of-resources` are ours, `invalid`, "
            "`mismatch`, `unprocessable` and `refused` the sender's.",
            STORE_INSTANCES,
            'outcome!="ok"',
            by=("outcome",),
        ),
        failures(
            "Associations rejected",
            "By AE title, those that the settings do not name as `unknown`.",
            ASSOCIATIONS,
            'outcome="rejected"',
            by=("ae",),
        ),
        failures(
            "DIMSE operations that fail",
            "Answered with a failure, or not at all.",
            DIMSE_DURATION,
            'status=~"failure|aborted"',
            by=("verb", "status"),
        ),
        failures(
            "HTTP errors of ours",
            "Answered with a status from 500 on.",
            HTTP_DURATION,
            'status=~"5.."',
            by=("status",),
        ),
        failures(
            "Object store errors",
            "Calls that failed because of the object store.",
            BLOBS_DURATION,
            FAULTS,
            by=("operation", "outcome"),
        ),
        failures(
            "Search index errors",
            "Calls that failed because of the search index.",
            INDEX_DURATION,
            FAULTS,
            by=("operation", "outcome"),
        ),
    ),
)
_BEHIND = Row(
    "Behind the scenes",
    (
        lag(
            "Lag",
            "Events that each group of consumers has not committed. `sweeping` always has one.",
        ),
        Panel(
            "Ready",
            "1 while all roles of a process can do their work.",
            COUNT,
            (Query(select(PROCESS_READY), "{{pod}} {{process}} {{instance}}"),),
        ),
    ),
)

OVERVIEW = Dashboard(
    "overview",
    "Overview",
    "Whether all is well, and if not, where to look next.",
    (_NOW, _WORK, _TIMES, _PROBLEMS, _BEHIND),
)
