"""Telemetry that goes to a collector by OTLP over gRPC, in batches, from threads of its own, and
metrics that Prometheus reads (`exposition`).

A collector that is down or slow costs nothing but what it does not get: queues are bounded, and
what does not fit is dropped. The log says once that nothing arrives, and once that it does again;
the libraries, which would say it of every attempt, are not heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry, generate_latest

from isocenter.runtime.telemetry import Outlets, Telemetry
from isocenter.runtime.telemetry_otel import OtelTelemetry

logger = logging.getLogger(__name__)

_SPAN_QUEUE = 4096
_SPAN_BATCH = 512
_SPAN_MILLISECONDS = 1000
_METRIC_MILLISECONDS = 10_000
_TIMEOUT_SECONDS = 5.0  # of one export, with its repetitions
_CLOSE_SECONDS = 3.0
_LINKS = 1000  # of a batch to its events' traces


class _Reach:
    """Tells when the collector does not take a signal, and when it does again."""

    def __init__(self, endpoint: str, signal: str) -> None:
        self._fields = {"signal": signal, "endpoint": endpoint, "setting": "telemetry.endpoint"}
        self._lost = False

    def note(self, *, arrived: bool) -> None:
        """Of every export."""
        if arrived is not self._lost:
            return
        self._lost = not arrived
        if arrived:
            logger.info("telemetry arrives again", extra=self._fields)
        else:
            logger.warning("telemetry does not arrive and is dropped", extra=self._fields)


class _Spans(OTLPSpanExporter):
    """Tells its failures once."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint=endpoint, timeout=_TIMEOUT_SECONDS)
        self._reach = _Reach(endpoint, "traces")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = super().export(spans)
        self._reach.note(arrived=result is SpanExportResult.SUCCESS)
        return result


class _Metrics(OTLPMetricExporter):
    """Tells its failures once."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint=endpoint, timeout=_TIMEOUT_SECONDS)
        self._reach = _Reach(endpoint, "metrics")

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # noqa: ANN401 - the library's signature
    ) -> MetricExportResult:
        """Send the present values."""
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._reach.note(arrived=result is MetricExportResult.SUCCESS)
        return result


def open_telemetry(outlets: Outlets, resource: Mapping[str, Any]) -> Telemetry:
    """Begin to export and to be scraped. Traces of others are recorded as they were begun."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    described = Resource.create({**resource, **outlets.labels})
    readers: list[MetricReader] = []
    tracers: TracerProvider | None = None
    exporters: list[_Spans | _Metrics] = []
    if outlets.endpoint:
        spans, metrics = _Spans(outlets.endpoint), _Metrics(outlets.endpoint)
        exporters += [spans, metrics]
        tracers = _tracers(spans, outlets.sample, described)
        readers.append(
            PeriodicExportingMetricReader(metrics, export_interval_millis=_METRIC_MILLISECONDS)
        )
    registry = CollectorRegistry(auto_describe=False)
    if outlets.scraped:
        readers.append(
            PrometheusMetricReader(
                disable_target_info=True,
                scope_info_enabled=False,
                resource_attribute_filter=outlets.labels.__contains__,
                registry=registry,
            )
        )
    meters = MeterProvider(readers, resource=described, shutdown_on_exit=False)

    async def close() -> None:
        ends = [provider.shutdown for provider in (tracers, meters) if provider is not None]
        both = asyncio.gather(*(asyncio.to_thread(end) for end in ends))
        done, _ = await asyncio.wait([both], timeout=_CLOSE_SECONDS)
        if not done:
            for exporter in exporters:  # what is being sent is given up
                await asyncio.to_thread(exporter.shutdown)
        await both

    return OtelTelemetry(
        tracers or NoOpTracerProvider(), meters, close, lambda: generate_latest(registry)
    )


def _tracers(spans: _Spans, sample: float, described: Resource) -> TracerProvider:
    tracers = TracerProvider(
        sampler=ParentBasedTraceIdRatio(sample),
        resource=described,
        span_limits=SpanLimits(max_links=_LINKS),
        shutdown_on_exit=False,
    )
    tracers.add_span_processor(
        BatchSpanProcessor(
            spans,
            max_queue_size=_SPAN_QUEUE,
            schedule_delay_millis=_SPAN_MILLISECONDS,
            max_export_batch_size=_SPAN_BATCH,
        )
    )
    return tracers
