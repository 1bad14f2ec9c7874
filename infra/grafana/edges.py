"""The pages of the roles that clients meet: DIMSE and HTTP; and the calls between processes."""

from __future__ import annotations

from model import Dashboard, Panel, Query, Row
from panels import (
    BYTES_PER_SECOND,
    COUNT,
    failed_operations,
    failures,
    hits,
    rates,
    slowest,
    spread,
)
from promql import or_zero, total

from isocenter.runtime.instruments import (
    ACCESS_POLICY_REFUSED,
    ASSOCIATIONS,
    ASSOCIATIONS_OPEN,
    AUDIT_RECORDS,
    DIMSE_DURATION,
    HTTP_DURATION,
    LIMITS_REFUSED,
    MOVES_ACTIVE,
    MOVES_WAITING,
    RETRIEVE_BYTES,
    RETRIEVE_FAILURES,
    RETRIEVE_INSTANCES,
    RETRIEVE_RETRIES,
    RPC_CLIENT_DURATION,
    RPC_SERVER_DURATION,
    STORE_INSTANCES,
)

_DIMSE, _DICOMWEB = 'protocol="DIMSE"', 'protocol="DICOMweb"'
_BROKEN = 'code!~"OK|CANCELLED|NOT_FOUND"'
_FIND, _GET, _MOVE, _STORE = (f'verb="C-{name}"' for name in ("FIND", "GET", "MOVE", "STORE"))

GATEWAY = Dashboard(
    "gateway",
    "Gateway",
    "Associations and DIMSE operations.",
    (
        Row(
            "Work",
            (
                Panel(
                    "Associations open",
                    "In use now.",
                    COUNT,
                    (Query(total(ASSOCIATIONS_OPEN), "open"),),
                ),
                rates(
                    "Associations",
                    "Requests in a second, accepted or rejected.",
                    ASSOCIATIONS,
                    by=("outcome",),
                ),
                rates("Operations", "By verb.", DIMSE_DURATION, by=("verb",)),
                rates(
                    "Statuses",
                    "Final responses by class (PS3.7 annex C); `aborted` where there was none.",
                    DIMSE_DURATION,
                    by=("status",),
                ),
                rates(
                    "Given out",
                    "Whole instances by C-MOVE and C-GET.",
                    RETRIEVE_INSTANCES,
                    _DIMSE,
                    by=("ae",),
                ),
                rates(
                    "Given out, bytes",
                    "By C-MOVE and C-GET.",
                    RETRIEVE_BYTES,
                    _DIMSE,
                    by=("ae",),
                    unit=BYTES_PER_SECOND,
                ),
            ),
        ),
        Row(
            "C-MOVE destinations",
            (
                Panel(
                    "C-MOVEs waiting",
                    "Until fewer are under way to their destination, by destination.",
                    COUNT,
                    (Query(or_zero(total(MOVES_WAITING, by=("ae",))), "{{ae}}"),),
                ),
                Panel(
                    "C-MOVEs under way",
                    "By destination.",
                    COUNT,
                    (Query(or_zero(total(MOVES_ACTIVE, by=("ae",))), "{{ae}}"),),
                ),
                failures(
                    "Tried again",
                    "Sub-operations for which the association was lost, or the destination was out "
                    "of resources.",
                    RETRIEVE_RETRIES,
                    by=("ae",),
                ),
                failures(
                    "Not delivered",
                    "Sub-operations of C-MOVE and C-GET that failed for good, by receiver.",
                    RETRIEVE_FAILURES,
                    by=("ae",),
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread("C-STORE", "From the command to the response.", DIMSE_DURATION, _STORE),
                spread("C-FIND", "To the final response.", DIMSE_DURATION, _FIND),
                spread("C-MOVE", "To the final response.", DIMSE_DURATION, _MOVE),
                spread("C-GET", "To the final response.", DIMSE_DURATION, _GET),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Rejected",
                    "Associations by AE title; those that the settings do not name as `unknown`.",
                    ASSOCIATIONS,
                    'outcome="rejected"',
                    by=("ae",),
                ),
                failed_operations(by=("verb", "status")),
            ),
        ),
    ),
)

WEB = Dashboard(
    "web",
    "Web",
    "DICOMweb and the viewer.",
    (
        Row(
            "Work",
            (
                rates("Requests", "By method and status.", HTTP_DURATION, by=("method", "status")),
                rates("Routes", "Requests by route.", HTTP_DURATION, by=("route",)),
                rates(
                    "Stored",
                    "Instances by STOW-RS, by how it ended.",
                    STORE_INSTANCES,
                    _DICOMWEB,
                    by=("outcome",),
                ),
                rates(
                    "Given out",
                    "Whole instances by WADO-RS; frames and rendered images are not counted.",
                    RETRIEVE_INSTANCES,
                    _DICOMWEB,
                    by=("protocol",),
                ),
                rates(
                    "Given out, bytes",
                    "Of whole instances.",
                    RETRIEVE_BYTES,
                    _DICOMWEB,
                    by=("protocol",),
                    unit=BYTES_PER_SECOND,
                ),
                hits(
                    "Series in memory",
                    "Part of the look-ups of series that are being looked at that were answered "
                    "from memory.",
                    "instances",
                ),
            ),
        ),
        Row(
            "Time",
            (
                spread("Requests", "From the head to the end of the answer.", HTTP_DURATION),
                slowest("Routes, p95", "To the end of the answer.", HTTP_DURATION, by=("route",)),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Errors of ours",
                    "Statuses from 500 on.",
                    HTTP_DURATION,
                    'status=~"5.."',
                    by=("route", "status"),
                ),
                failures(
                    "Errors of clients",
                    "Statuses from 400 to 499, and clients that left before the answer.",
                    HTTP_DURATION,
                    'status=~"4..|aborted"',
                    by=("route", "status"),
                ),
            ),
        ),
        Row(
            "Access",
            (
                failures(
                    "Refused by limits",
                    "What callers asked for beyond what one may have, over HTTP, gRPC and DIMSE.",
                    LIMITS_REFUSED,
                    by=("limit",),
                ),
                failures(
                    "Sign-ins that fail",
                    "Of people and programs, as the audit trail has them.",
                    AUDIT_RECORDS,
                    'action="sign-in",outcome="failure"',
                    by=("outcome",),
                ),
                Panel(
                    "Policy refused",
                    "Processes for which the file of the policy cannot be used; they keep the "
                    "policy of before.",
                    COUNT,
                    (Query(or_zero(total(ACCESS_POLICY_REFUSED)), "processes"),),
                ),
            ),
        ),
    ),
)

CALLS = Dashboard(
    "calls",
    "Calls between processes",
    "gRPC between roles. Empty where all roles are in one process, as with `isocenter up`: they "
    "call each other directly.",
    (
        Row(
            "Work",
            (
                rates("Served", "Calls by method.", RPC_SERVER_DURATION, by=("method",)),
                rates("Made", "Calls by method.", RPC_CLIENT_DURATION, by=("method",)),
            ),
        ),
        Row(
            "Time",
            (
                spread("Served", "All calls.", RPC_SERVER_DURATION),
                spread("Made", "All calls.", RPC_CLIENT_DURATION),
                slowest("Served, p95", "By method.", RPC_SERVER_DURATION, by=("method",)),
                slowest("Made, p95", "By method.", RPC_CLIENT_DURATION, by=("method",)),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Served, with an error",
                    "By code; what a caller needed no more is not among them.",
                    RPC_SERVER_DURATION,
                    _BROKEN,
                    by=("method", "code"),
                ),
                failures(
                    "Made, with an error",
                    "By code. `UNAVAILABLE`: no copy of the role was reached.",
                    RPC_CLIENT_DURATION,
                    _BROKEN,
                    by=("method", "code"),
                ),
            ),
        ),
    ),
)
