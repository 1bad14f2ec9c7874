"""DICOM traffic by AE title: who sends, who fetches, how fast, and who is turned away."""

from __future__ import annotations

from model import Dashboard, Kind, Panel, Query, Row, Variable
from panels import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    failed_operations,
    failures,
    rates,
    slowest,
    spread,
)
from promql import NOT_OK, increase, or_zero

from isocenter.runtime.instruments import (
    ASSOCIATIONS,
    DIMSE_DURATION,
    RETRIEVE_BYTES,
    RETRIEVE_INSTANCES,
    STORE_BYTES,
    STORE_INSTANCES,
)

_AE = 'ae=~"$ae"'
_STORE, _FIND, _RETRIEVE = 'verb="C-STORE"', 'verb="C-FIND"', 'verb=~"C-MOVE|C-GET"'
_DIMSE = 'protocol="DIMSE"'
_REJECTED = 'outcome="rejected"'
_MOST = 15


def _most(title: str, description: str, unit: str, expression: str) -> Panel:
    query = Query(f"topk({_MOST}, {or_zero(expression)})", "{{ae}}")
    return Panel(title, description, unit, (query,), Kind.BARS, width=8)


TRAFFIC = Dashboard(
    "traffic",
    "DICOM traffic by AE",
    "Who sends, who fetches, how fast, and who is turned away. The AE title is the caller's, of "
    "what goes out the receiver's. A process tells 200 titles apart, further ones are `other`.",
    (
        Row(
            "Most, in the time that is shown",
            (
                _most(
                    "Sent",
                    "Instances that an AE sent, kept or not.",
                    COUNT,
                    increase(STORE_INSTANCES, _DIMSE, _AE, by=("ae",), window="$__range"),
                ),
                _most(
                    "Sent, bytes",
                    "Part 10 bytes that were kept.",
                    BYTES,
                    increase(STORE_BYTES, _DIMSE, _AE, by=("ae",), window="$__range"),
                ),
                _most(
                    "Turned away",
                    "Associations that were rejected.",
                    COUNT,
                    increase(ASSOCIATIONS, _REJECTED, _AE, by=("ae",), window="$__range"),
                ),
            ),
        ),
        Row(
            "In",
            (
                rates("Sent", "Instances in a second.", STORE_INSTANCES, _DIMSE, _AE, by=("ae",)),
                rates(
                    "Sent, bytes",
                    "Part 10 bytes that were kept.",
                    STORE_BYTES,
                    _DIMSE,
                    _AE,
                    by=("ae",),
                    unit=BYTES_PER_SECOND,
                ),
                spread("C-STORE", "Of all selected AEs.", DIMSE_DURATION, _STORE, _AE),
                slowest(
                    "C-STORE, p50", "By AE.", DIMSE_DURATION, _STORE, _AE, by=("ae",), part=0.5
                ),
                slowest("C-STORE, p95", "By AE.", DIMSE_DURATION, _STORE, _AE, by=("ae",)),
                slowest(
                    "C-STORE, p99", "By AE.", DIMSE_DURATION, _STORE, _AE, by=("ae",), part=0.99
                ),
            ),
        ),
        Row(
            "Out",
            (
                rates(
                    "Received",
                    "Instances in a second, by who received them.",
                    RETRIEVE_INSTANCES,
                    _DIMSE,
                    _AE,
                    by=("ae",),
                ),
                rates(
                    "Received, bytes",
                    "By who received them.",
                    RETRIEVE_BYTES,
                    _DIMSE,
                    _AE,
                    by=("ae",),
                    unit=BYTES_PER_SECOND,
                ),
                slowest("C-FIND, p95", "By AE.", DIMSE_DURATION, _FIND, _AE, by=("ae",)),
                slowest(
                    "C-MOVE and C-GET, p95",
                    "By AE; it grows with what is asked for.",
                    DIMSE_DURATION,
                    _RETRIEVE,
                    _AE,
                    by=("ae", "verb"),
                ),
            ),
        ),
        Row(
            "Problems",
            (
                failures(
                    "Associations rejected",
                    "By AE; those that the settings do not name as `unknown`.",
                    ASSOCIATIONS,
                    _REJECTED,
                    _AE,
                    by=("ae",),
                ),
                failures(
                    "Instances not kept",
                    "By AE, and what was wrong.",
                    STORE_INSTANCES,
                    _DIMSE,
                    NOT_OK,
                    _AE,
                    by=("ae", "outcome"),
                ),
                failed_operations(_AE, by=("ae", "verb", "status")),
                rates("Operations", "By AE and verb.", DIMSE_DURATION, _AE, by=("ae", "verb")),
            ),
        ),
    ),
    variables=(Variable("ae", f"{DIMSE_DURATION.in_prometheus}_count"),),
)
