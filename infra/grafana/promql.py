"""Queries in PromQL, made from the table of metrics, so that no name is written twice.

Every one is limited to the namespaces and sites that a dashboard's variables select: metrics that
have no such label are selected by `All`.
"""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.core.errors import Code
from isocenter.runtime.instruments import Kind, Metric

WINDOW = "$__rate_interval"  # Grafana's: at least four scrapes

_SELECTED = ('namespace=~"$namespace"', 'site=~"$site"')
_INSTALLATION = ("namespace", "site")
_OURS = (Code.CORRUPTED, Code.DEADLINE, Code.INTERNAL, Code.OUT_OF_RESOURCES, Code.UNAVAILABLE)

FAULTS = f'outcome=~"{"|".join(code.value for code in _OURS)}"'  # ours, not the caller's
NOT_OK = 'outcome!="ok"'


def select(metric: Metric, *matchers: str, suffix: str = "") -> str:
    """Its samples."""
    return f"{metric.in_prometheus}{suffix}{{{','.join((*_SELECTED, *matchers))}}}"


def rate(metric: Metric, *matchers: str, by: Sequence[str] = (), of: str = "_count") -> str:
    """What is counted in a second; of a histogram, how many values, or their sum (`of`)."""
    suffix = of if metric.kind is Kind.HISTOGRAM else ""
    return _sum(f"rate({select(metric, *matchers, suffix=suffix)}[{WINDOW}])", by)


def increase(metric: Metric, *matchers: str, by: Sequence[str] = (), window: str) -> str:
    """What a counter has counted in a window."""
    return _sum(f"increase({select(metric, *matchers)}[{window}])", by)


def quantile(part: float, metric: Metric, *matchers: str, by: Sequence[str] = ()) -> str:
    """Below which this part of a histogram's values lies."""
    buckets = f"rate({select(metric, *matchers, suffix='_bucket')}[{WINDOW}])"
    return f"histogram_quantile({part}, {_sum(buckets, ('le', *by))})"


def total(metric: Metric, *matchers: str, by: Sequence[str] = ()) -> str:
    """A gauge of which each process tells its own part."""
    return _sum(select(metric, *matchers), by)


def shared(metric: Metric, *matchers: str, by: Sequence[str] = (), of: str = "{}") -> str:
    """A gauge of which each process of an installation tells the same; `of` is made of it first."""
    kept = ", ".join((*_INSTALLATION, *by))
    return _sum(f"max by ({kept}) ({of.format(select(metric, *matchers))})", by)


def or_zero(expression: str) -> str:
    """0 where there is nothing: what never went wrong was never counted."""
    return f"{expression} or on() vector(0)"


def share(part: str, whole: str) -> str:
    """Which part of the whole it is; 0 where there is none of it."""
    return or_zero(f"(({or_zero(part)}) / ({whole} > 0))")


def _sum(expression: str, by: Sequence[str]) -> str:
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"
