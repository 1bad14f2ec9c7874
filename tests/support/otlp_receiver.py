"""A collector for tests: takes OTLP over gRPC on the official protobufs, and keeps all of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2


@dataclass(frozen=True)
class Span:
    """One span that arrived."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]  # ids of spans
    attributes: dict[str, Any]
    roles: tuple[str, ...]  # of the process it came from


@dataclass
class Receiver:
    """What has arrived."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # labels by name
    resources: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        """What `telemetry.endpoint` is set to."""
        return f"http://127.0.0.1:{self.port}"

    def trace_of(self, name: str) -> list[Span]:
        """All spans of the one trace that has a span of this name; none while there is not one."""
        with self.lock:
            traces = {span.trace for span in self.spans if span.name == name}
            return [span for span in self.spans if {span.trace} == traces]


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {one.key: _value(one.value) for one in attributes}


def _value(value: common_pb2.AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(one) for one in value.array_value.values)
    return getattr(value, kind) if kind else None


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 (gRPC's name)
        receiver = self._receiver
        with receiver.lock:
            receiver.requests.append(request.SerializeToString())
            for resource in request.resource_spans:
                described = values(resource.resource.attributes)
                receiver.resources.append(described)
                receiver.spans += [
                    Span(
                        span.name,
                        span.kind,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        tuple(link.span_id.hex() for link in span.links),
                        values(span.attributes),
                        described.get("isocenter.roles", ()),
                    )
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802 (gRPC's name)
        receiver = self._receiver
        with receiver.lock:
            receiver.requests.append(request.SerializeToString())
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        points = getattr(metric, metric.WhichOneof("data")).data_points
                        known = receiver.metrics.setdefault(metric.name, [])
                        known += [values(point.attributes) for point in points]
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A collector on a port of loopback, a free one if none is named."""
    receiver = Receiver()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(receiver), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(receiver), server)
    receiver.port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield receiver
    finally:
        server.stop(grace=None).wait()
