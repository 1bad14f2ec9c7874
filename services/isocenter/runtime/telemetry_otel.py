"""`runtime.telemetry` on the OpenTelemetry API, for whatever providers it is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from isocenter.core.errors import Code
from isocenter.runtime.instruments import METRICS, Kind, Metric
from isocenter.runtime.telemetry import (
    MAX_AE_TITLES,
    NO_SPAN,
    OK,
    OTHER,
    TRACEPARENT,
    Active,
    Attributes,
    Carrier,
    Labels,
    Observations,
    Span,
    SpanRole,
    Telemetry,
    outcome_of,
)

SCOPE = "isocenter"

_ROLES: Mapping[SpanRole, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}
# What a caller did wrong, or withdrew, is no failure of the step.
_NO_FAILURE = frozenset(
    code.value
    for code in (
        Code.INVALID, Code.MISMATCH, Code.UNPROCESSABLE, Code.NOT_FOUND, Code.WITHHELD,
        Code.CONFLICT, Code.UNAUTHENTICATED, Code.REFUSED, Code.UNSUPPORTED, Code.CANCELLED,
    )
)  # fmt: skip
_W3C = TraceContextTextMapPropagator()


class _Active(Active):
    """Makes a context the current one, and the former one again."""

    __slots__ = ("_before", "_context")

    def __init__(self, context: contexts.Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._before = contexts.get_current()
        contexts.attach(self._context)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not by the token: a generator that nobody ends is ended in another task's context, to
        # which the token does not belong, and where this does no harm.
        contexts.attach(self._before)


class _Span(Span):
    """A span of OpenTelemetry."""

    __slots__ = ("_activation", "_context", "_span")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._context = trace.set_span_in_context(span)

    @property
    def traceparent(self) -> str:
        """What others continue this trace with."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self._context)
        return carrier.get(TRACEPARENT, "")

    def set(self, attributes: Attributes) -> None:
        """Further attributes."""
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """What is known only later."""
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        """It failed, in one word."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)

    def active(self) -> Active:
        """Makes it the current span without ending it."""
        return _Active(self._context)

    def end(self, error: BaseException | None = None) -> None:
        """It is over. Of an error only its kind is kept: its text may name instances."""
        outcome = outcome_of(error)
        if outcome in _NO_FAILURE:
            self._span.set_attribute("error.type", outcome)
        elif outcome != OK:
            self.fail(outcome)
        self._span.end()

    def __enter__(self) -> Self:
        self._activation = self.active()
        self._activation.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._activation.__exit__(kind, error, trace)
        self.end(error)


class OtelTelemetry(Telemetry):
    """Telemetry of one process."""

    on = True

    def __init__(
        self,
        tracers: trace.TracerProvider,
        meters: metrics.MeterProvider,
        close: Callable[[], Awaitable[None]] | None = None,
        exposition: Callable[[], bytes] | None = None,
    ) -> None:
        self._tracer = tracers.get_tracer(SCOPE)
        self._meter = meters.get_meter(SCOPE)
        self._close = close
        self._exposition = exposition
        self._ae_titles: set[str] = set()
        self._observed: dict[str, list[Callable[[], Observations]]] = {}
        self._instruments: dict[str, Any] = {
            metric.name: self._instrument(metric)
            for metric in METRICS
            if metric.kind in (Kind.COUNTER, Kind.HISTOGRAM)
        }

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        role: SpanRole = "internal",
        parent: Carrier | None = None,
        links: Sequence[str] = (),
    ) -> Span:
        """A span below the current one, or below what `parent` carries."""
        context = None if parent is None else _W3C.extract(parent, contexts.Context())
        return _Span(
            self._tracer.start_span(
                name,
                context,
                kind=_ROLES[role],
                attributes=attributes,
                links=[trace.Link(linked) for link in links if (linked := _span_context(link))],
            )
        )

    def child(
        self, name: str, attributes: Attributes | None = None, *, role: SpanRole = "internal"
    ) -> Span:
        """A span below the current one; no span where nothing is being traced."""
        if not trace.get_current_span().is_recording():
            return NO_SPAN
        return self.span(name, attributes, role=role)

    def headers(self) -> Carrier:
        """The current span as a `parent` elsewhere."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier

    def log_fields(self) -> Mapping[str, str]:
        """Which span an entry of the log belongs to."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }

    def ae(self, title: str) -> str:
        """The label for an AE title."""
        if title and title not in self._ae_titles:
            if len(self._ae_titles) >= MAX_AE_TITLES:
                return OTHER
            self._ae_titles.add(title)
        return title

    def count(self, metric: Metric, value: float, labels: Labels | None = None) -> None:
        """Add to a counter."""
        self._instruments[metric.name].add(value, labels)

    def record(self, metric: Metric, value: float, labels: Labels | None = None) -> None:
        """One value of a histogram."""
        self._instruments[metric.name].record(value, labels)

    def observe(self, metric: Metric, values: Callable[[], Observations]) -> None:
        """What a metric is read from whenever it is exported. OpenTelemetry would drop what a
        second instrument of the same name tells, so there is one."""
        if metric.name in self._observed:
            self._observed[metric.name].append(values)
            return
        told = self._observed[metric.name] = [values]

        def read(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            found: defaultdict[frozenset[tuple[str, str]], float] = defaultdict(float)
            for one in told:
                for value, labels in one():
                    found[frozenset(labels.items())] += value
            return [metrics.Observation(value, dict(labels)) for labels, value in found.items()]

        make = {
            Kind.GAUGE: self._meter.create_observable_gauge,
            Kind.OBSERVED_COUNTER: self._meter.create_observable_counter,
        }[metric.kind]
        make(metric.name, [read], metric.unit, metric.what)

    def exposition(self) -> bytes:
        """All metrics as Prometheus reads them."""
        return b"" if self._exposition is None else self._exposition()

    async def close(self) -> None:
        """Send what is still to be sent."""
        if self._close is not None:
            await self._close()

    def _instrument(self, metric: Metric) -> metrics.Counter | metrics.Histogram:
        if metric.kind is Kind.COUNTER:
            return self._meter.create_counter(metric.name, metric.unit, metric.what)
        return self._meter.create_histogram(
            metric.name,
            metric.unit,
            metric.what,
            explicit_bucket_boundaries_advisory=metric.buckets,
        )


def _span_context(traceparent: str) -> trace.SpanContext | None:
    context = _W3C.extract({TRACEPARENT: traceparent}, contexts.Context())
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None
