"""Telemetry that a test can look into."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from isocenter.runtime.instruments import METRICS, Metric
from isocenter.runtime.telemetry_otel import OtelTelemetry

_LABELS = {metric.name: set(metric.labels) for metric in METRICS}
_UNITS = {metric.name: metric.unit for metric in METRICS}


class Recorder:
    """Keeps every span that has ended, and every measurement."""

    def __init__(self, sample: float = 1.0) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        tracers = TracerProvider(sampler=ParentBasedTraceIdRatio(sample), shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        meters = MeterProvider([self._metrics], shutdown_on_exit=False)
        self.telemetry = OtelTelemetry(tracers, meters)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Those that have ended, in the order of their ends."""
        return self._spans.get_finished_spans()

    @property
    def names(self) -> list[str]:
        """Of these spans."""
        return [span.name for span in self.spans]

    def span(self, name: str) -> ReadableSpan:
        """The one span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def parent(self, name: str) -> str:
        """The name of the span above the one of this name; empty for none or a remote one."""
        above = self.span(name).parent
        names = {span.context.span_id: span.name for span in self.spans}
        return names.get(above.span_id, "") if above else ""

    def values(self, metric: Metric) -> dict[tuple[str, ...], Any]:
        """A metric by the values of its labels; of a histogram how many values it has. Fails for
        labels or a unit that the table does not have."""
        found: dict[tuple[str, ...], Any] = {}
        data = self._metrics.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for one in scope.metrics:
                    assert one.unit == _UNITS[one.name]
                    for point in one.data.data_points:
                        assert set(point.attributes) == _LABELS[one.name], one.name
                        if one.name == metric.name:
                            labels = tuple(str(point.attributes[name]) for name in metric.labels)
                            count = getattr(point, "count", None)
                            found[labels] = point.value if count is None else count
        return found
