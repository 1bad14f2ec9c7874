"""How `isocenter top` shows what happened between two looks at the monitors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group as Rows
from rich.console import RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from isocenter.cli.top_samples import Interval, Scrape
from isocenter.runtime.instruments import (
    ARCHIVE_BYTES,
    ARCHIVE_INSTANCES,
    ARCHIVE_STUDIES,
    ASSOCIATIONS,
    ASSOCIATIONS_OPEN,
    DIMSE_DURATION,
    DISK_FREE,
    DISK_SIZE,
    LOG_DEAD_LETTERS,
    LOG_LAG,
    PROCESS_READY,
    RETRIEVE_BYTES,
    RETRIEVE_INSTANCES,
    SEARCH_DURATION,
    STORE_BYTES,
    STORE_DURATION,
    STORE_INSTANCES,
    TRANSCODING_ACTIVE,
    Metric,
)
from isocenter.runtime.instruments import INDEXING_FINDABLE_DURATION as FINDABLE

_FAILURES = ("failure", "aborted")  # of the classes of DIMSE's statuses
_NONE = "-"
_ROWS = 10  # of AE titles


def view(interval: Interval) -> RenderableType:
    """Everything, as it fits a terminal."""
    tables = [one(interval) for one in (_stores, _given_out, _dimse, _searches)]
    return Rows(*_not_ready(interval), _state(interval), *tables)


# --- single numbers ------------------------------------------------------------------------------


def _state(interval: Interval) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, text in _lines(interval):
        grid.add_row(Text(name, style="bold"), text)
    return grid


def _lines(interval: Interval) -> Iterator[tuple[str, str]]:
    now = interval.after
    ready = [value for _, _, value in now.select(PROCESS_READY.in_prometheus)]
    yield "processes", f"{sum(ready):.0f} of {len(ready)} ready"
    requests = interval.rates(ASSOCIATIONS, "outcome")
    accepted, rejected = (_rate(requests.get((one,), 0)) for one in ("accepted", "rejected"))
    opened = f"{_only(now.sums(ASSOCIATIONS_OPEN)):.0f} open"
    yield "associations", f"{opened}, {accepted}/s accepted, {rejected}/s rejected"
    for name, metric in (("p95 of stores", STORE_DURATION), ("p95 to findable", FINDABLE)):
        yield name, _duration(interval.quantiles(0.95, metric).get(()))
    for (group, topic), lag in sorted(now.largest(LOG_LAG, "group", "topic").items()):
        yield f"lag of {group}", f"{lag:.0f} ({topic})"
    dead = _only(now.sums(LOG_DEAD_LETTERS))
    told = "" if not dead else "; `isocenter dead list` shows them"
    yield "dead letters", f"{dead:.0f} since the processes started{told}"
    yield "transcoding", f"{_only(now.sums(TRANSCODING_ACTIVE)):.0f} under way or waiting"
    yield from _held(now)


def _held(now: Scrape) -> Iterator[tuple[str, str]]:
    studies, instances, kept = (
        now.largest(one).get(()) for one in (ARCHIVE_STUDIES, ARCHIVE_INSTANCES, ARCHIVE_BYTES)
    )
    if studies is not None and instances is not None:
        size = "" if kept is None else f", {decimal(int(kept))}"
        found = f"{studies:,.0f} studies, {instances:,.0f} instances{size}"
        yield "archive", f"{found}; at most 5 min old"
    size_of_disk, free = (now.largest(one).get(()) for one in (DISK_SIZE, DISK_FREE))
    if size_of_disk and free is not None:
        sizes = f"{decimal(int(free))} of {decimal(int(size_of_disk))}"
        yield "disk", f"{sizes} free ({free / size_of_disk:.0%})"


def _only(values: Mapping[tuple[str, ...], float]) -> float:
    return values.get((), 0.0)


# --- tables --------------------------------------------------------------------------------------


def _stores(interval: Interval) -> Table:
    table = _table("Stored", "from", "instances/s", "MB/s", "refused/s")
    outcomes = interval.rates(STORE_INSTANCES, "protocol", "ae", "outcome")
    refused: dict[tuple[str, ...], float] = {}
    kept: dict[tuple[str, ...], float] = {}
    for (protocol, ae, outcome), rate in outcomes.items():
        side = kept if outcome == "ok" else refused
        side[protocol, ae] = side.get((protocol, ae), 0) + rate
    sizes = interval.rates(STORE_BYTES, "protocol", "ae")
    for who in _busiest({who: kept.get(who, 0) + refused.get(who, 0) for who in kept | refused}):
        rates = _rate(kept.get(who, 0)), _rate(sizes.get(who, 0) / 1e6), _rate(refused.get(who, 0))
        table.add_row(_who(who), *rates)
    return _or_nothing(table)


def _given_out(interval: Interval) -> Table:
    table = _table("Given out", "to", "instances/s", "MB/s", "")
    rates = interval.rates(RETRIEVE_INSTANCES, "protocol", "ae")
    sizes = interval.rates(RETRIEVE_BYTES, "protocol", "ae")
    for who in _busiest(rates):
        table.add_row(_who(who), _rate(rates[who]), _rate(sizes.get(who, 0) / 1e6), "")
    return _or_nothing(table)


def _dimse(interval: Interval) -> Table:
    table = _table("DIMSE", "verb", "per s", "p50", "p95", "failed/s")
    failures = interval.rates(DIMSE_DURATION, "verb", "status")
    for verb, rate, p50, p95 in _timed(interval, DIMSE_DURATION, "verb"):
        failed = sum(failures.get((verb, status), 0) for status in _FAILURES)
        table.add_row(verb, _rate(rate), p50, p95, _rate(failed))
    return _or_nothing(table)


def _searches(interval: Interval) -> Table:
    table = _table("Searches", "level", "per s", "p50", "p95")
    for level, rate, p50, p95 in _timed(interval, SEARCH_DURATION, "level"):
        table.add_row(level, _rate(rate), p50, p95)
    return _or_nothing(table)


def _timed(interval: Interval, metric: Metric, by: str) -> Iterator[tuple[str, float, str, str]]:
    """Value of the label, rate, p50 and p95, of those of which there were any."""
    halves, most = (interval.quantiles(quantile, metric, by) for quantile in (0.5, 0.95))
    for group, rate in sorted(interval.rates(metric, by).items()):
        if rate:
            yield group[0], rate, _duration(halves.get(group)), _duration(most.get(group))


def _not_ready(interval: Interval) -> Iterator[RenderableType]:
    for address, problem in interval.after.problems.items():
        yield Text(f"not ready: {address}: {problem}", style="bold red")


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left", title_style="bold cyan")
    table.title = f"\n{title}"
    table.add_column(first, min_width=20)
    for column in columns:
        table.add_column(column, justify="right", min_width=11)
    return table


def _or_nothing(table: Table) -> Table:
    if not table.row_count:
        table.add_row(*[_NONE] * len(table.columns))
    return table


def _busiest(rates: Mapping[tuple[str, ...], float]) -> Sequence[tuple[str, ...]]:
    """Those of which there was anything, and the most of it."""
    some = [who for who, rate in rates.items() if rate]
    return sorted(some, key=lambda who: (-rates[who], who))[:_ROWS]


def _who(who: tuple[str, ...]) -> str:
    protocol, ae = who
    return ae or protocol


# --- numbers -------------------------------------------------------------------------------------


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _NONE
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
