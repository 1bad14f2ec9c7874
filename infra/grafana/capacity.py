"""How much there is, how fast it grows, and when the disk is full."""

from __future__ import annotations

from model import Dashboard, Panel, Query, Row
from overview import FREE_PART
from panels import BYTES, COUNT, INSTANCES, PART, SIZE, STUDIES, number
from promql import increase, select, shared

from isocenter.runtime.instruments import (
    ARCHIVE_BYTES,
    ARCHIVE_INSTANCES,
    ARCHIVE_STUDIES,
    DISK_FREE,
    DISK_SIZE,
    STORE_BYTES,
    STORE_INSTANCES,
    Metric,
)

_DAY = 86_400
_AHEAD = {"in 30 days": 30, "in 90 days": 90, "in a year": 365}
_TREND = "7d"  # a week has its own rhythm
_NEVER = 3650  # days; what grows more slowly is no concern

_PLACE = ("namespace", "site", "pod", "instance")


def _a_day(metric: Metric) -> str:
    return shared(metric, of=f"deriv({{}}[1d]) * {_DAY}")


def _growth(title: str, description: str, unit: str, *metrics: tuple[Metric, str]) -> Panel:
    queries = tuple(Query(_a_day(metric), name) for metric, name in metrics)
    return Panel(title, description, unit, queries, signed=True)


def _forecast(title: str, metric: Metric, unit: str) -> Panel:
    queries = [Query(shared(metric), "now")]
    queries += [
        Query(shared(metric, of=f"predict_linear({{}}[{_TREND}], {days * _DAY})"), name)
        for name, days in _AHEAD.items()
    ]
    return Panel(title, "As the last seven days go on.", unit, tuple(queries), signed=True)


def _of_disk(expression: str) -> str:
    """The processes of a machine tell the same of their disk."""
    return f"max by ({', '.join(_PLACE)}) ({expression})"


_SHRINKS = f"clamp_min(-deriv({select(DISK_FREE)}[{_TREND}]), 1e-9)"

CAPACITY = Dashboard(
    "capacity",
    "Capacity",
    "How much there is, how fast it grows, and when the disk is full.",
    (
        Row(
            "Now",
            (
                STUDIES,
                INSTANCES,
                SIZE,
                number(
                    "An instance",
                    "Bytes of one on average.",
                    BYTES,
                    f"{shared(ARCHIVE_BYTES)} / ({shared(ARCHIVE_INSTANCES)} > 0)",
                ),
                number(
                    "Disk free",
                    "Part of the disk with the data directory that is free, of the fullest one. "
                    "Only where parts are embedded.",
                    PART,
                    FREE_PART,
                    orange=0.2,
                    red=0.1,
                ),
                number(
                    "Days until full",
                    "Of the disk that is full first, as the last seven days go on; at most ten "
                    "years.",
                    COUNT,
                    f"clamp_max(min({select(DISK_FREE)} / {_SHRINKS}) / {_DAY}, {_NEVER})",
                    orange=90,
                    red=14,
                ),
            ),
        ),
        Row(
            "Growth",
            (
                _growth(
                    "A day, bytes",
                    "How fast the archive grows, from the last 24 hours.",
                    BYTES,
                    (ARCHIVE_BYTES, "bytes a day"),
                ),
                _growth(
                    "A day",
                    "How fast the archive grows, from the last 24 hours.",
                    COUNT,
                    (ARCHIVE_STUDIES, "studies a day"),
                    (ARCHIVE_INSTANCES, "instances a day"),
                ),
                Panel(
                    "Taken in within a day, bytes",
                    "Bytes that were kept in the 24 hours before, by protocol. What was sent twice "
                    "counts twice here.",
                    BYTES,
                    (Query(increase(STORE_BYTES, by=("protocol",), window="1d"), "{{protocol}}"),),
                ),
                Panel(
                    "Taken in within a day",
                    "Instances in the 24 hours before, by protocol.",
                    COUNT,
                    (
                        Query(
                            increase(
                                STORE_INSTANCES, 'outcome="ok"', by=("protocol",), window="1d"
                            ),
                            "{{protocol}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Forecast",
            (
                _forecast("Archive, bytes", ARCHIVE_BYTES, BYTES),
                _forecast("Archive, instances", ARCHIVE_INSTANCES, COUNT),
            ),
        ),
        Row(
            "Disks with embedded data",
            (
                Panel(
                    "Free",
                    "Of each machine. Stores are refused while less than `storage.reserve_bytes` "
                    "is free.",
                    BYTES,
                    (Query(_of_disk(select(DISK_FREE)), "{{pod}} {{instance}}"),),
                ),
                Panel(
                    "Used",
                    "Part of each disk.",
                    PART,
                    (
                        Query(
                            f"1 - {_of_disk(f'{select(DISK_FREE)} / {select(DISK_SIZE)}')}",
                            "{{pod}} {{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Free in four days",
                    "As the last 24 hours go on; below 0 it is full before.",
                    BYTES,
                    (
                        Query(
                            _of_disk(f"predict_linear({select(DISK_FREE)}[1d], {4 * _DAY})"),
                            "{{pod}} {{instance}}",
                        ),
                    ),
                    signed=True,
                ),
            ),
        ),
    ),
    since="now-30d",
)
