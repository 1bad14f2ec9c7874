"""Expressions of PromQL, as far as tests ask what they select."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import grpc

from isocenter.core.errors import Code
from isocenter.core.events import TOPICS
from isocenter.dimse.messages import CommandField
from isocenter.runtime.instruments import METRICS, Kind, Metric
from isocenter.runtime.telemetry import OK

# What Prometheus adds of the target and of histograms, and what we add of the process.
OF_EVERY_SERIES = {
    "namespace", "pod", "job", "instance", "app_kubernetes_io_component", "site", "process",
}  # fmt: skip
BUCKET = "le"

# What the code can write into these labels; a metric's own description may name more, in backticks.
VALUES: Mapping[str, set[str]] = {
    "outcome": {OK, *(str(code.value) for code in Code)},
    "topic": set(TOPICS),
    "code": {code.name for code in grpc.StatusCode},
    "verb": {field.name.replace("_", "-") for field in CommandField},
    "stage": set(),
}

_NAME = re.compile(r"(?<![\w:])(isocenter_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Selected:
    """One selector of an expression."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]  # label, operator, value


def selected(expression: str) -> Iterator[Selected]:
    """What it selects of our metrics."""
    for name, matchers in _NAME.findall(expression):
        yield Selected(name, tuple(_MATCHER.findall(matchers)))


def grouped(expression: str) -> set[str]:
    """Labels that it sums and compares by."""
    return {
        label.strip()
        for labels in _GROUPING.findall(expression)
        for label in labels.split(",")
        if label.strip()
    }


def metric_of(name: str) -> Metric | None:
    """The metric that a series of this name is of."""
    for metric in METRICS:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        if name in {metric.in_prometheus + suffix for suffix in suffixes}:
            return metric
    return None


def mistakes(expression: str) -> list[str]:
    """Metrics, labels and values in it that there are not."""
    found: list[str] = []
    known = {*OF_EVERY_SERIES, BUCKET}
    for one in selected(expression):
        metric = metric_of(one.name)
        if metric is None:
            found.append(f"no metric {one.name}")
            continue
        known |= set(metric.labels)
        for label, operator, value in one.matchers:
            if label not in {*OF_EVERY_SERIES, *metric.labels}:
                found.append(f"{one.name} has no label {label}")
            elif label in VALUES and "*" not in value and "$" not in value:
                documented = set(re.findall(r"`([\w.-]+)`", metric.what))
                values = value.split("|") if "~" in operator else [value]
                wrong = set(values) - VALUES[label] - documented
                found += [f"{one.name}: {label} is never {value}" for value in sorted(wrong)]
    found += [f"nothing has the label {label}" for label in sorted(grouped(expression) - known)]
    return found
