"""Panels that several dashboards have."""

from __future__ import annotations

from collections.abc import Sequence

from model import Kind, Panel, Query
from promql import or_zero, quantile, rate, share, shared

from isocenter.runtime.instruments import (
    ARCHIVE_BYTES,
    ARCHIVE_INSTANCES,
    ARCHIVE_STUDIES,
    CACHE_LOOKUPS,
    DIMSE_DURATION,
    INDEXING_FINDABLE_DURATION,
    LOG_LAG,
    STORE_DURATION,
    Metric,
)

SECONDS, PER_SECOND, BYTES_PER_SECOND = "s", "cps", "Bps"
BYTES, COUNT, PART = "decbytes", "short", "percentunit"

NUMBER_WIDTH = 4


def number(
    title: str,
    description: str,
    unit: str,
    expression: str,
    *,
    orange: float | None = None,
    red: float | None = None,
    signed: bool = False,
) -> Panel:
    """One value, as it is now."""
    query = Query(expression, title)
    return Panel(
        title,
        description,
        unit,
        (query,),
        Kind.NUMBER,
        NUMBER_WIDTH,
        orange=orange,
        red=red,
        signed=signed,
    )


def rates(
    title: str,
    description: str,
    metric: Metric,
    *matchers: str,
    by: Sequence[str],
    unit: str = PER_SECOND,
    width: int = 12,
) -> Panel:
    """How many there are in a second."""
    query = Query(rate(metric, *matchers, by=by), _legend(by))
    return Panel(title, description, unit, (query,), width=width)


def failures(
    title: str,
    description: str,
    metric: Metric,
    *matchers: str,
    by: Sequence[str],
    width: int = 12,
) -> Panel:
    """How many fail in a second; 0 where nothing ever has."""
    query = Query(or_zero(rate(metric, *matchers, by=by)), _legend(by))
    return Panel(title, description, PER_SECOND, (query,), width=width)


def failed_operations(*matchers: str, by: Sequence[str]) -> Panel:
    """DIMSE operations without success."""
    return failures(
        "Operations that fail",
        "Answered with a failure, or not at all. Of C-MOVE and C-GET a `warning` says that some "
        "instances did not arrive.",
        DIMSE_DURATION,
        'status=~"failure|aborted|warning"',
        *matchers,
        by=by,
    )


def spread(
    title: str, description: str, metric: Metric, *matchers: str, unit: str = SECONDS
) -> Panel:
    """Median, p95 and p99 of all of it."""
    queries = tuple(
        Query(quantile(part, metric, *matchers), name)
        for part, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    )
    return Panel(title, description, unit, queries)


def slowest(
    title: str,
    description: str,
    metric: Metric,
    *matchers: str,
    by: Sequence[str],
    part: float = 0.95,
    unit: str = SECONDS,
    width: int = 12,
) -> Panel:
    """One quantile, side by side for each value of labels."""
    query = Query(quantile(part, metric, *matchers, by=by), _legend(by))
    return Panel(title, description, unit, (query,), width=width)


def lag(title: str, description: str, *matchers: str) -> Panel:
    """What groups of consumers still have before them."""
    by = ("group", "topic")
    return Panel(
        title, description, COUNT, (Query(shared(LOG_LAG, *matchers, by=by), _legend(by)),)
    )


def hits(title: str, description: str, cache: str) -> Panel:
    """Which part of the look-ups a cache answers."""
    of_cache = f'cache="{cache}"'
    hit, all_of_them = (rate(CACHE_LOOKUPS, of_cache, *more) for more in (('outcome="hit"',), ()))
    return Panel(title, description, PART, (Query(share(hit, all_of_them), "hits"),))


STORE_P95 = number(
    "Store, p95",
    "95 of 100 instances are answered within this time from their first byte on, the sender's own "
    "pace included.",
    SECONDS,
    quantile(0.95, STORE_DURATION, 'outcome="ok"'),
    orange=2,
    red=10,
)
FINDABLE_P95 = number(
    "Findable, p95",
    "95 of 100 instances are findable within this time after their event was appended to the log.",
    SECONDS,
    quantile(0.95, INDEXING_FINDABLE_DURATION),
    orange=2,
    red=5,
)
STUDIES = number("Studies", "Studies that searches find.", COUNT, shared(ARCHIVE_STUDIES))
INSTANCES = number("Instances", "Instances that searches find.", COUNT, shared(ARCHIVE_INSTANCES))
SIZE = number(
    "Size",
    "Part 10 bytes of all versions kept.",
    BYTES,
    shared(ARCHIVE_BYTES),
)


def _legend(by: Sequence[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)
