"""What monitors tell at one moment, and what happened between two: the numbers of `isocenter top`.

Quantiles are worked out from the buckets of histograms as Prometheus does it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from isocenter.runtime.instruments import Metric

Group = tuple[str, ...]  # the values of some labels
Key = tuple[str, str, frozenset[tuple[str, str]]]  # address, name, labels


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one moment."""

    at: float
    samples: Mapping[Key, float]
    problems: Mapping[str, str]  # address -> why what is there is not ready

    @classmethod
    def of(cls, texts: Mapping[str, str], problems: Mapping[str, str]) -> Scrape:
        """From expositions, and what is wrong, by address."""
        from prometheus_client.parser import text_string_to_metric_families

        samples: dict[Key, float] = {}
        for address, text in texts.items():
            for family in text_string_to_metric_families(text):
                for one in family.samples:
                    samples[address, one.name, frozenset(one.labels.items())] = one.value
        return cls(monotonic(), samples, problems)

    def select(self, name: str) -> Iterator[tuple[Key, Mapping[str, str], float]]:
        """The samples of a name, with their labels."""
        for key, value in self.samples.items():
            if key[1] == name:
                yield key, dict(key[2]), value

    def sums(self, metric: Metric, *by: str) -> Mapping[Group, float]:
        """Present values, added up by these labels."""
        found: dict[Group, float] = defaultdict(float)
        for _, labels, value in self.select(metric.in_prometheus):
            found[_group(labels, by)] += value
        return found

    def largest(self, metric: Metric, *by: str) -> Mapping[Group, float]:
        """Present values of what several processes tell alike."""
        found: dict[Group, float] = {}
        for _, labels, value in self.select(metric.in_prometheus):
            group = _group(labels, by)
            found[group] = max(value, found.get(group, value))
        return found


@dataclass(frozen=True, slots=True)
class Interval:
    """Two scrapes, one after the other."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(self.after.at - self.before.at, 1e-3)

    def rates(self, metric: Metric, *by: str) -> Mapping[Group, float]:
        """A counter's, or of how many values a histogram has, in a second."""
        name = metric.in_prometheus + ("_count" if metric.buckets else "")
        found: dict[Group, float] = defaultdict(float)
        for group, increase in self._increases(name, by):
            found[group] += increase / self.seconds
        return found

    def quantiles(self, quantile: float, metric: Metric, *by: str) -> Mapping[Group, float]:
        """Of the values that were recorded between; groups without any are left out."""
        buckets: dict[Group, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        for group, increase in self._increases(f"{metric.in_prometheus}_bucket", ("le", *by)):
            buckets[group[1:]][float(group[0])] += increase
        return {
            group: value
            for group, of_group in buckets.items()
            if not math.isnan(value := _quantile(quantile, of_group))
        }

    def _increases(self, name: str, by: Group) -> Iterator[tuple[Group, float]]:
        for key, labels, value in self.after.select(name):
            former = self.before.samples.get(key, 0.0)
            # A counter that has fallen began anew, with its process.
            yield _group(labels, by), value - former if value >= former else value


def _group(labels: Mapping[str, str], by: Group) -> Group:
    return tuple(labels.get(name, "") for name in by)


def _quantile(quantile: float, buckets: Mapping[float, float]) -> float:
    """Within a bucket, values count as spread evenly; those above the last bound as that bound."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]]
    if not total:
        return math.nan
    rank = quantile * total
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return lower
