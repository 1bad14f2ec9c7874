"""What indexing tells of its batches, in their own trace and in those of their events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.errors import Unavailable
from isocenter.core.matching import Level, Search
from isocenter.indexing.consuming import Indexer
from isocenter.indexing.sweeping import Sweeper
from isocenter.runtime.instruments import (
    INDEXING_BATCH_DURATION,
    INDEXING_BATCH_SIZE,
    INDEXING_FINDABLE_DURATION,
    SWEEP_OBJECTS,
)
from isocenter.runtime.traced_bus import TracedBus
from isocenter.runtime.traced_index import TracedIndex
from support.archive import SETTINGS, Archive
from support.datasets import ct_image
from support.telemetry import Recorder

STUDIES = Search(Level.STUDY)


class TracedArchive(Archive):
    """An archive whose indexer is measured."""

    def __init__(self, index: SqliteIndex, recorder: Recorder) -> None:
        super().__init__(index)
        self.recorder = recorder
        self.telemetry = recorder.telemetry
        self.index = TracedIndex(index, recorder.telemetry)
        self.bus = TracedBus(self.bus, recorder.telemetry)  # type: ignore[assignment]

    def indexer(self, settings=SETTINGS) -> Indexer:
        return Indexer(
            bus=self.bus, index=self.index, storage=self.storage,
            audit_log=self.audit, settings=settings, telemetry=self.telemetry,
            fill=self.filling(),
        )  # type: ignore[arg-type]  # fmt: skip

    async def trace_of_the_study(self) -> str:
        (match,) = [match async for batch in self.index.search(STUDIES) for match in batch]
        trace: str = match.trace
        return trace


@pytest.fixture
async def archive(index: SqliteIndex) -> AsyncIterator[TracedArchive]:
    made = TracedArchive(index, Recorder())
    yield made
    await made.bus.close()


async def test_each_event_is_a_step_of_its_own_trace_and_the_batch_links_to_all(archive) -> None:
    recorder = archive.recorder
    for number in range(2):
        with archive.telemetry.span("C-STORE"):
            await archive.store(ct_image(16, 16, study="1.2", series="1.3", number=number))
    await archive.index_all()
    stores = [span for span in recorder.spans if span.name == "C-STORE"]
    events = [span for span in recorder.spans if span.name == "indexing.event"]
    appends = [span for span in recorder.spans if span.name == "bus.append"][:2]
    batch = recorder.span("indexing.batch")
    assert {span.context.trace_id for span in events} == {span.context.trace_id for span in stores}
    above = {span.parent.span_id for span in events if span.parent}
    assert above == {span.context.span_id for span in appends}
    assert {link.context.span_id for link in batch.links} == above
    assert batch.parent is None
    assert recorder.parent("index.upsert") == "indexing.batch"


async def test_the_study_names_the_step_that_made_its_newest_instance_findable(archive) -> None:
    for number in range(2):
        with archive.telemetry.span("C-STORE"):
            await archive.store(ct_image(16, 16, study="1.2", series="1.3", number=number))
        await archive.index_all()
    last = [span for span in archive.recorder.spans if span.name == "indexing.event"][-1].context
    trace = await archive.trace_of_the_study()
    assert trace.split("-")[1:3] == [f"{last.trace_id:032x}", f"{last.span_id:016x}"]


async def test_events_without_a_trace_or_of_one_that_is_not_recorded_leave_none(archive) -> None:
    await archive.store(ct_image(16, 16, study="1.2", series="1.3"))
    unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    with archive.telemetry.span("C-STORE", parent={"traceparent": unsampled}):
        await archive.store(ct_image(16, 16, study="1.2", series="1.3"))
    await archive.index_all()
    assert "indexing.event" not in archive.recorder.names
    assert await archive.trace_of_the_study() == ""


async def test_batches_and_the_time_until_findable_are_measured(archive) -> None:
    await archive.store(ct_image(16, 16))
    await archive.index_all()
    values = archive.recorder.values
    assert values(INDEXING_BATCH_SIZE) == {(): 1}
    assert values(INDEXING_BATCH_DURATION) == {("ok",): 1}
    assert values(INDEXING_FINDABLE_DURATION) == {(): 1}


async def test_a_sweep_counts_what_it_finds(archive) -> None:
    await archive.store(ct_image(16, 16))
    await archive.index_all()
    await archive.orphan(ct_image(16, 16))
    sweeper = Sweeper(
        bus=archive.bus,
        index=archive.index,
        storage=archive.storage,
        settings=SETTINGS.model_copy(update={"orphan_seconds": 0}),
        telemetry=archive.telemetry,
    )
    async with aclosing(sweeper.below("objects/")) as parts:
        assert [part.announced async for part in parts] == [1]
    assert archive.recorder.values(SWEEP_OBJECTS) == {
        ("indexed",): 1,
        ("announced",): 1,
        ("waiting",): 0,
        ("unreadable",): 0,
    }


async def test_a_try_that_fails_is_told_by_its_outcome(archive, monkeypatch) -> None:
    upsert = archive.index.upsert
    failures = [Unavailable("the index does not answer")]

    async def failing(entries):
        if failures:
            raise failures.pop()
        return await upsert(entries)

    monkeypatch.setattr(archive.index, "upsert", failing)
    await archive.store(ct_image(16, 16))
    await archive.index_all()
    assert archive.recorder.values(INDEXING_BATCH_DURATION) == {("ok",): 1, ("unavailable",): 1}
    assert archive.recorder.values(INDEXING_FINDABLE_DURATION) == {(): 1}
