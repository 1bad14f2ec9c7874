"""Service APIs of this process, with traces and metrics."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from time import perf_counter

from isocenter.core.access import Caller
from isocenter.core.apis import (
    Announcement,
    Ingest,
    PixelFormat,
    Query,
    Rendering,
    Stored,
    Transcoding,
)
from isocenter.core.matching import Level, Search
from isocenter.core.ports import Buffer, Match
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES
from isocenter.runtime.instruments import (
    RETRIEVE_BYTES,
    RETRIEVE_INSTANCES,
    SEARCH_ANSWERS,
    SEARCH_DURATION,
    STORE_BYTES,
    STORE_DURATION,
    STORE_INSTANCES,
    TRANSCODING_ACTIVE,
    TRANSCODING_DURATION,
)
from isocenter.runtime.telemetry import (
    OK,
    OTHER,
    TRACEPARENT,
    Operation,
    Span,
    Telemetry,
    is_sampled,
    outcome_of,
)

_PROTOCOLS = frozenset({"DIMSE", "DICOMweb", "gRPC", "CLI"})
_REMEMBERED = 10_000  # traces that were told to be findable


class TracedIngest:
    """An `Ingest` around another one."""

    def __init__(self, ingest: Ingest, telemetry: Telemetry) -> None:
        self._ingest = ingest
        self._telemetry = telemetry
        self.delete = ingest.delete
        self.deletions = ingest.deletions
        self.restore = ingest.restore

    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        """See `Ingest`."""
        telemetry, source = self._telemetry, announcement.source
        protocol = source.protocol if source.protocol in _PROTOCOLS else OTHER
        ae = telemetry.ae(source.ae_title) if protocol == "DIMSE" else ""
        attributes = {
            "isocenter.protocol": protocol,
            "dicom.calling_ae_title": source.ae_title,
            "dicom.transfer_syntax": announcement.transfer_syntax,
        }
        began = perf_counter()
        outcome = OK
        try:
            with telemetry.span("ingest.store", attributes) as span:
                stored = await self._ingest.store(announcement, data_set)
                span.set({"isocenter.size": stored.size, "dicom.sop_class": stored.sop_class})
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            labels = {"protocol": protocol, "outcome": outcome}
            telemetry.count(STORE_INSTANCES, 1, {**labels, "ae": ae})
            telemetry.record(STORE_DURATION, perf_counter() - began, labels)
        telemetry.count(STORE_BYTES, stored.size, {"protocol": protocol, "ae": ae})
        return stored


class GivenOut:
    """Counts instances that went out whole. The edges do: whoever reads an object from storage need
    not be about to give it out."""

    def __init__(self, telemetry: Telemetry, protocol: str) -> None:
        self._telemetry = telemetry
        self._protocol = protocol

    def count(self, size: int, ae_title: str = "") -> None:
        """One more, that is kept with so many bytes."""
        labels = {"protocol": self._protocol, "ae": self._telemetry.ae(ae_title)}
        self._telemetry.count(RETRIEVE_INSTANCES, 1, labels)
        self._telemetry.count(RETRIEVE_BYTES, size, labels)


class TracedQuery:
    """A `Query` around another one. It tells, in the trace of what was stored, when the first
    answer of this process showed the study."""

    def __init__(self, query: Query, telemetry: Telemetry) -> None:
        self._query = query
        self._telemetry = telemetry
        self._told: OrderedDict[str, None] = OrderedDict()
        self.count = query.count
        self.unfilled = query.unfilled

    async def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        """See `Query`."""
        level = {"level": search.level.value}
        span = self._telemetry.child("query.search", {"isocenter.level": search.level.value})
        searching = Operation(self._telemetry, SEARCH_DURATION, level, span)
        answers = 0
        try:
            found = self._query.search(caller, search)
            async with aclosing(searching.through(found)) as batches:
                async for batch in batches:
                    answers += len(batch)
                    span.set({"isocenter.answers": answers})
                    if search.level is Level.STUDY:
                        self._tell(batch, span)
                    yield batch
        finally:
            self._telemetry.record(SEARCH_ANSWERS, answers, level)

    def _tell(self, batch: Sequence[Match], searching: Span) -> None:
        for match in batch:
            trace = match.trace
            if not trace or trace in self._told or not is_sampled(trace):
                continue
            self._told[trace] = None
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            self._telemetry.span(
                "query.first_answer", parent={TRACEPARENT: trace}, links=[searching.traceparent]
            ).end()


class TracedTranscoding:
    """A `Transcoding` around another one."""

    def __init__(self, transcoding: Transcoding, telemetry: Telemetry) -> None:
        self._transcoding = transcoding
        self._telemetry = telemetry
        self._active = 0
        self.targets = transcoding.targets
        telemetry.observe(TRANSCODING_ACTIVE, lambda: [(self._active, {})])

    async def decode(self, frame: bytes, transfer_syntax: str, pixels: PixelFormat) -> bytes:
        """See `Transcoding`."""
        with self._at_work(), self._operation("decode", transfer_syntax):
            return await self._transcoding.decode(frame, transfer_syntax, pixels)

    async def data_set(
        self, data_set: AsyncIterable[Buffer], transfer_syntax: str, target: str
    ) -> AsyncIterator[bytes]:
        """See `Transcoding`."""
        turning = self._operation("data_set", transfer_syntax)
        turned = self._transcoding.data_set(data_set, transfer_syntax, target)
        with self._at_work():
            async with aclosing(turning.through(turned)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def render(
        self, frame: bytes, transfer_syntax: str, pixels: PixelFormat, how: Rendering
    ) -> bytes:
        """See `Transcoding`."""
        with self._at_work(), self._operation("render", transfer_syntax):
            return await self._transcoding.render(frame, transfer_syntax, pixels, how)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    def _operation(self, name: str, transfer_syntax: str) -> Operation:
        known = transfer_syntax if transfer_syntax in TRANSFER_SYNTAXES else OTHER
        attributes = {"dicom.transfer_syntax": transfer_syntax}
        span = self._telemetry.child(f"transcoding.{name}", attributes)
        labels = {"operation": name, "transfer_syntax": known}
        return Operation(self._telemetry, TRANSCODING_DURATION, labels, span)
