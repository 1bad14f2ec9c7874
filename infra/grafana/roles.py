"""The pages of the roles that serve others: ingest, storage, query, transcoding."""

from __future__ import annotations

from model import Dashboard, Panel, Query, Row
from panels import (
    BYTES_PER_SECOND,
    COUNT,
    PER_SECOND,
    failures,
    hits,
    rates,
    slowest,
    spread,
)
from promql import FAULTS, NOT_OK, or_zero, rate, total

from isocenter.runtime.instruments import (
    BLOBS_BYTES,
    BLOBS_DURATION,
    INDEX_DURATION,
    LOG_APPEND_DURATION,
    LOG_RECORDS,
    OUTBOX_KEPT,
    OUTBOX_RELAYED,
    SEARCH_ANSWERS,
    SEARCH_DURATION,
    STORE_BYTES,
    STORE_DURATION,
    STORE_INSTANCES,
    STORE_STAGE_DURATION,
    SWEEP_OBJECTS,
    TRANSCODING_ACTIVE,
    TRANSCODING_DURATION,
)

INGEST = Dashboard(
    "ingest",
    "Ingest",
    "Admission of instances, and their announcement.",
    (
        Row(
            "Work",
            (
                rates(
                    "Instances",
                    "Instances sent to us, by how it ended: `ok`, or what was wrong.",
                    STORE_INSTANCES,
                    by=("outcome",),
                ),
                rates(
                    "Bytes",
                    "Part 10 bytes of those that were kept.",
                    STORE_BYTES,
                    by=("protocol",),
                    unit=BYTES_PER_SECOND,
                ),
                rates(
                    "Records in the log",
                    "Records that are durable, by topic.",
                    LOG_RECORDS,
                    by=("topic",),
                ),
                Panel(
                    "Outbox",
                    "Records that wait in the object store as the log does not take them, and "
                    "those that came from there to the log.",
                    PER_SECOND,
                    (
                        Query(or_zero(rate(OUTBOX_KEPT)), "kept"),
                        Query(or_zero(rate(OUTBOX_RELAYED)), "relayed"),
                    ),
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread("Store", "From the first byte to the answer.", STORE_DURATION),
                slowest(
                    "Stages, p95",
                    "`receive` is the sender's pace, `commit` the object store, `announce` the "
                    "log.",
                    STORE_STAGE_DURATION,
                    by=("stage",),
                ),
                slowest(
                    "Appends, p95",
                    "Until records are durable in the log.",
                    LOG_APPEND_DURATION,
                    by=("topic",),
                ),
                slowest(
                    "Store, p95 by protocol",
                    "From the first byte to the answer.",
                    STORE_DURATION,
                    by=("protocol",),
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Not kept",
                    "By what was wrong.",
                    STORE_INSTANCES,
                    NOT_OK,
                    by=("protocol", "outcome"),
                ),
                failures(
                    "Appends that fail",
                    "Records that the log did not take; `cancelled` after waiting for it in vain.",
                    LOG_APPEND_DURATION,
                    NOT_OK,
                    by=("topic", "outcome"),
                ),
            ),
        ),
    ),
)

STORAGE = Dashboard(
    "storage",
    "Storage",
    "Custody of objects: the object store as we see it, and the sweep.",
    (
        Row(
            "Work",
            (
                rates(
                    "Calls of the object store",
                    "By operation.",
                    BLOBS_DURATION,
                    by=("operation",),
                ),
                rates(
                    "Bytes",
                    "`read` from and `written` to the object store.",
                    BLOBS_BYTES,
                    by=("direction",),
                    unit=BYTES_PER_SECOND,
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread(
                    "Writes",
                    "A small object (`put`) or a large one (`commit`) until it is durable.",
                    BLOBS_DURATION,
                    'operation=~"put|commit"',
                ),
                spread(
                    "Reads",
                    "The time in which the bytes were awaited.",
                    BLOBS_DURATION,
                    'operation=~"get|stream|checked"',
                ),
                slowest("All, p95", "By operation.", BLOBS_DURATION, by=("operation",)),
                hits(
                    "Metadata packs in memory",
                    "Part of the look-ups of metadata packs that were answered from memory.",
                    "entries",
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Errors",
                    "Calls that failed because of the object store. `corrupted`: what was read is "
                    "not what was kept.",
                    BLOBS_DURATION,
                    FAULTS,
                    by=("operation", "outcome"),
                ),
                failures(
                    "Sweep",
                    "Objects that were compared with the index. `announced` were orphans, "
                    "`unreadable` ones need a look.",
                    SWEEP_OBJECTS,
                    by=("outcome",),
                ),
            ),
        ),
    ),
)

QUERY = Dashboard(
    "query",
    "Query",
    "Searches by C-FIND, QIDO-RS and gRPC.",
    (
        Row(
            "Work",
            (
                rates("Searches", "By level.", SEARCH_DURATION, by=("level",)),
                rates(
                    "Calls of the search index",
                    "By operation; indexing's calls are among them.",
                    INDEX_DURATION,
                    by=("operation",),
                ),
                slowest(
                    "Answers, p95",
                    "Answers that a search gave.",
                    SEARCH_ANSWERS,
                    by=("level",),
                    unit=COUNT,
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread(
                    "Searches", "The time in which their answers were awaited.", SEARCH_DURATION
                ),
                slowest("Searches, p95", "By level.", SEARCH_DURATION, by=("level",)),
                spread(
                    "The index's part of it", "Its searches.", INDEX_DURATION, 'operation="search"'
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Searches that fail",
                    "By what was wrong: `invalid` and `unsupported` are the caller's.",
                    SEARCH_DURATION,
                    NOT_OK,
                    by=("level", "outcome"),
                ),
                failures(
                    "Search index errors",
                    "Calls that failed because of the search index.",
                    INDEX_DURATION,
                    FAULTS,
                    by=("operation", "outcome"),
                ),
            ),
        ),
    ),
)

TRANSCODING = Dashboard(
    "transcoding",
    "Transcoding",
    "Pixels decoded, drawn, or turned into another transfer syntax.",
    (
        Row(
            "Work",
            (
                rates("Operations", "By operation.", TRANSCODING_DURATION, by=("operation",)),
                Panel(
                    "Under way",
                    "Work that is done or waits for a processor. Above the threads of all copies "
                    "it waits: add copies.",
                    COUNT,
                    (Query(total(TRANSCODING_ACTIVE), "active"),),
                ),
                rates(
                    "Transfer syntaxes",
                    "What they come from.",
                    TRANSCODING_DURATION,
                    by=("transfer_syntax",),
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread("All", "Waiting for a processor is in it.", TRANSCODING_DURATION),
                slowest("All, p95", "By operation.", TRANSCODING_DURATION, by=("operation",)),
                slowest(
                    "Transfer syntaxes, p95",
                    "What they come from.",
                    TRANSCODING_DURATION,
                    by=("transfer_syntax",),
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Failures",
                    "By what they come from, and what was wrong.",
                    TRANSCODING_DURATION,
                    NOT_OK,
                    by=("transfer_syntax", "outcome"),
                ),
            ),
        ),
    ),
)
