"""Traces and metrics as the code sees them: a small facade, with nothing behind it when it is off.

`OFF` does nothing and imports nothing of OpenTelemetry. A process that is told where its collector
is (`telemetry.endpoint`) has `runtime.telemetry_otel` behind the same calls. The object comes
through `Env`, not from OpenTelemetry's global providers: which telemetry a part writes to is seen
where it is built, and two processes' worth of it can live in one test. What OpenTelemetry's own
context variables hold, the current span, is the only state that is not passed on by hand.

Ports and service APIs are measured from outside (`runtime.traced_*`), by wrappers that exist only
while telemetry is on.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Literal, Self, TypeVar

from isocenter import __version__
from isocenter.core.errors import Code, IsocenterError
from isocenter.runtime.instruments import CACHE_LOOKUPS, Metric

T = TypeVar("T")

Value = str | int | float | bool
Attributes = Mapping[str, Value]
Labels = Mapping[str, str]
Carrier = Mapping[str, str]  # may hold `traceparent` and `tracestate` (W3C Trace Context)
Observations = Iterable[tuple[float, Labels]]
SpanRole = Literal["internal", "server", "client", "producer", "consumer"]

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
_SAMPLED = 1  # trace-flags of W3C Trace Context

OK = "ok"
OTHER = "other"  # what callers may name at will is no label
MAX_AE_TITLES = 200  # that a process tells apart in its metrics


def is_sampled(traceparent: str) -> bool:
    """Whether what a traceparent names is recorded."""
    try:
        return bool(int(traceparent[-2:], 16) & _SAMPLED)
    except ValueError:  # none
        return False


def outcome_of(error: BaseException | None) -> str:
    """How something ended, in one word: never the error's own text."""
    if error is None or isinstance(error, GeneratorExit):
        return OK
    if isinstance(error, IsocenterError):
        return str(error.code.value)
    return str((Code.CANCELLED if isinstance(error, CancelledError) else Code.INTERNAL).value)


class Active:
    """Within this context, a span is the current one; off: nothing happens."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class Span:
    """One step of a trace, from now until the context is left, or `end`. This one is of no trace.

    Its attributes name counts, sizes, AE titles, SOP classes and transfer syntaxes; never a UID of
    a study, series or instance, nor the text of an error, which may name one.
    """

    __slots__ = ()

    @property
    def traceparent(self) -> str:
        """What others continue this trace with; empty if there is none."""
        return ""

    def set(self, attributes: Attributes) -> None:
        """Further attributes."""

    def rename(self, name: str) -> None:
        """What is known only later."""

    def fail(self, kind: str) -> None:
        """It failed, in one word."""

    def active(self) -> Active:
        """Makes it the current span without ending it."""
        return _INACTIVE

    def end(self, error: BaseException | None = None) -> None:
        """It is over."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class Telemetry:
    """Where spans and measurements go. This one keeps none."""

    on = False

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        role: SpanRole = "internal",
        parent: Carrier | None = None,
        links: Sequence[str] = (),
    ) -> Span:
        """A span below the current one, or below what `parent` carries; a trace begins where there
        is neither. `links` are traceparents of other traces that it has to do with."""
        del name, attributes, role, parent, links
        return NO_SPAN

    def child(
        self, name: str, attributes: Attributes | None = None, *, role: SpanRole = "internal"
    ) -> Span:
        """A span below the current one; no span where nothing is being traced."""
        del name, attributes, role
        return NO_SPAN

    def headers(self) -> Carrier:
        """The current span as a `parent` elsewhere; empty without one."""
        return {}

    def log_fields(self) -> Mapping[str, str]:
        """Which span an entry of the log belongs to: `trace_id` and `span_id`, or nothing."""
        return {}

    def ae(self, title: str) -> str:
        """The label for an AE title: itself, or `other` for what would be one too many."""
        return title

    def count(self, metric: Metric, value: float, labels: Labels | None = None) -> None:
        """Add to a counter."""

    def record(self, metric: Metric, value: float, labels: Labels | None = None) -> None:
        """One value of a histogram."""

    def observe(self, metric: Metric, values: Callable[[], Observations]) -> None:
        """What a metric is read from, in a thread of its own, whenever it is exported. What
        several tell under the same labels adds up."""

    def exposition(self) -> bytes:
        """All metrics as Prometheus reads them; takes its time."""
        return b""

    async def close(self) -> None:
        """Send what is still to be sent, in bounded time."""


NO_SPAN = Span()
OFF = Telemetry()
_INACTIVE = Active()


@dataclass(frozen=True, slots=True)
class Outlets:
    """Who gets what is measured: a collector if there is an endpoint, and whoever scrapes."""

    endpoint: str = ""
    sample: float = 1.0  # part of the traces that begin here and are recorded
    scraped: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)  # of every metric that is scraped


def telemetry_to(outlets: Outlets, instance: str, roles: Sequence[str]) -> Telemetry:
    """That of a process with these roles."""
    if not outlets.endpoint and not outlets.scraped:
        return OFF
    # OpenTelemetry takes long to import, and is not needed where nobody asks for it.
    from isocenter.runtime.telemetry_export import open_telemetry  # noqa: PLC0415

    resource = {
        "service.name": "isocenter",
        "service.version": __version__,
        "service.instance.id": instance,
        "isocenter.roles": tuple(roles),
    }
    return open_telemetry(outlets, resource)


class Operation:
    """A step that is timed, told by its outcome, and a span."""

    __slots__ = ("_began", "_labels", "_metric", "_telemetry", "span")

    def __init__(
        self, telemetry: Telemetry, metric: Metric, labels: Labels, span: Span = NO_SPAN
    ) -> None:
        self._telemetry = telemetry
        self._metric = metric
        self._labels = labels
        self._began = 0.0
        self.span = span

    def __enter__(self) -> Span:
        self._began = perf_counter()
        return self.span.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._record(perf_counter() - self._began, error)
        self.span.__exit__(kind, error, trace)

    async def through(self, items: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """The items, while the step lasts. Their consumer's time is not counted, and it does not
        see the span as the current one: a generator runs in its consumer's context."""
        spent = 0.0
        failure: BaseException | None = None
        try:
            while True:
                began = perf_counter()
                try:
                    with self.span.active():
                        item = await anext(items)
                except StopAsyncIteration:
                    return
                finally:
                    spent += perf_counter() - began
                yield item
        except BaseException as error:
            failure = error
            raise
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
            self._record(spent, failure)
            self.span.end(failure)

    def _record(self, seconds: float, error: BaseException | None) -> None:
        labels = {**self._labels, "outcome": outcome_of(error)}
        self._telemetry.record(self._metric, seconds, labels)


class Lookups:
    """How often a cache had what was looked up."""

    __slots__ = ("hits", "misses")

    def __init__(self) -> None:
        self.hits = self.misses = 0

    def note(self, *, hit: bool) -> None:
        """One more."""
        self.hits += hit
        self.misses += not hit

    def tell(self, telemetry: Telemetry, cache: str) -> None:
        """Show them, under this name."""
        telemetry.observe(
            CACHE_LOOKUPS,
            lambda: [
                (self.hits, {"cache": cache, "outcome": "hit"}),
                (self.misses, {"cache": cache, "outcome": "miss"}),
            ],
        )


class Stages:
    """Times the stages of one piece of work, one after another."""

    __slots__ = ("_began", "_metric", "_stage", "_telemetry")

    def __init__(self, telemetry: Telemetry, metric: Metric, first: str) -> None:
        self._telemetry = telemetry
        self._metric = metric
        self._stage = first
        self._began = perf_counter() if telemetry.on else 0.0

    def enter(self, stage: str) -> None:
        """The present stage is over, another one begins."""
        if self._telemetry.on:
            self.end()
            self._stage, self._began = stage, perf_counter()

    def end(self) -> None:
        """The last stage is over."""
        if self._telemetry.on:
            seconds = perf_counter() - self._began
            self._telemetry.record(self._metric, seconds, {"stage": self._stage})
