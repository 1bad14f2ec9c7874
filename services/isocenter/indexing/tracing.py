"""Batches of events, with traces and metrics.

A batch belongs to as many traces as it has events: its own span links to all of them, and in each
of them a span of the event shows when it became findable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from isocenter.core.ports import Delivery
from isocenter.runtime.instruments import (
    INDEXING_BATCH_DURATION,
    INDEXING_BATCH_SIZE,
    INDEXING_FINDABLE_DURATION,
)
from isocenter.runtime.telemetry import TRACEPARENT, Operation, Span, Telemetry, is_sampled
from isocenter.v1 import events_pb2

_STORED = events_pb2.InstanceStored.DESCRIPTOR.full_name

Traces = Mapping[int, str]  # traceparent by the place of an event in its batch


class BatchTracing:
    """Measures batches while they are applied."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    @contextmanager
    def applying(self, batch: Sequence[Delivery]) -> Iterator[Traces]:
        """Within this context the batch is made findable; which span does so for each event."""
        telemetry = self._telemetry
        if not telemetry.on or not batch:
            yield {}
            return
        links = {trace: None for one in batch if (trace := one.headers.get(TRACEPARENT))}
        span = telemetry.span(
            "indexing.batch",
            {"messaging.batch.message_count": len(batch)},
            role="consumer",
            parent={},
            links=tuple(links),
        )
        with ExitStack() as stack:
            events = {
                place: stack.enter_context(self._event(one))
                for place, one in enumerate(batch)
                if is_sampled(one.headers.get(TRACEPARENT, ""))
            }
            # Entered last, so that what is done for all of them is below the batch.
            with Operation(telemetry, INDEXING_BATCH_DURATION, {}, span):
                yield {place: event.traceparent for place, event in events.items()}
        self._measure(batch)

    def _event(self, one: Delivery) -> Span:
        attributes = {"cloudevents.event_type": one.type}
        return self._telemetry.span(
            "indexing.event", attributes, role="consumer", parent=one.headers
        )

    def _measure(self, batch: Sequence[Delivery]) -> None:
        now = datetime.now(UTC)
        self._telemetry.record(INDEXING_BATCH_SIZE, len(batch))
        for one in batch:
            if one.type == _STORED:
                seconds = (now - one.appended_at).total_seconds()
                self._telemetry.record(INDEXING_FINDABLE_DURATION, max(seconds, 0.0))
