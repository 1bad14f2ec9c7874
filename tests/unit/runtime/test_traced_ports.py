"""What ports and services tell of their work when they are measured from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from unittest.mock import Mock

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.access import SYSTEM, Caller, Policy
from isocenter.core.apis import Announcement, Ingest, Query, Transcoding
from isocenter.core.audit import AuditIndex, Entry, Place
from isocenter.core.errors import NotFound, Unavailable
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.core.matching import Level, Search
from isocenter.core.ports import (
    BlobStore,
    EventBus,
    Kept,
    Match,
    Record,
    StudyIndex,
)
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.instruments import (
    AUDIT_RECORDS,
    BLOBS_BYTES,
    BLOBS_DURATION,
    LOG_APPEND_DURATION,
    LOG_DEAD_LETTERS,
    LOG_LAG,
    LOG_RECORDS,
    OUTBOX_KEPT,
    OUTBOX_RELAYED,
    RETRIEVE_BYTES,
    RETRIEVE_INSTANCES,
    SEARCH_ANSWERS,
    SEARCH_DURATION,
    STORE_BYTES,
    STORE_INSTANCES,
    TRANSCODING_ACTIVE,
    TRANSCODING_DURATION,
)
from isocenter.runtime.outbox import Outbox, Relay
from isocenter.runtime.telemetry import OFF, is_sampled
from isocenter.runtime.traced import measured
from isocenter.runtime.traced_blobs import TracedBlobs
from isocenter.runtime.traced_bus import TracedBus
from isocenter.runtime.traced_index import TracedAuditIndex, TracedIndex
from isocenter.runtime.traced_services import (
    GivenOut,
    TracedIngest,
    TracedQuery,
    TracedTranscoding,
)
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.audit_index_oracle import OracleAuditIndex
from support.fake_services import AT, PIXELS, FakeIngest, FakeQuery, FakeTranscoding
from support.objects import chunks, digest
from support.telemetry import Recorder

TOPIC = "isocenter.instances"
KEY = "packs/main/1.2/1.3/0.pack"
OTHER_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DIMSE = Announcement(Source("DIMSE", "192.0.2.1", "CT1"), SYSTEM, "1.2.840.10008.1.2.1")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def record(**headers: str) -> Record:
    return Record("1.2", "isocenter.v1.Test", b"", headers)


async def headers_of(bus: MemoryBus) -> list[dict[str, str]]:
    return [dict(delivery.headers) async for delivery in bus.replay(TOPIC)]


def test_what_is_off_or_has_nothing_to_measure_is_not_wrapped(recorder) -> None:
    bus = MemoryBus()
    assert measured("bus", bus, OFF) is bus
    assert measured("audit", bus, recorder.telemetry) is bus
    assert isinstance(measured("bus", bus, recorder.telemetry), TracedBus)


# --- the log -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "wrapper"),
    [
        (EventBus, TracedBus), (BlobStore, TracedBlobs), (StudyIndex, TracedIndex),
        (AuditIndex, TracedAuditIndex), (Ingest, TracedIngest), (Query, TracedQuery),
        (Transcoding, TracedTranscoding),
    ],
)  # fmt: skip
def test_a_wrapper_offers_all_that_its_contract_has(contract, wrapper, recorder) -> None:
    promised = {name for name in vars(contract) if not name.startswith("_")}
    assert promised <= set(dir(wrapper(Mock(spec=contract), recorder.telemetry)))


async def test_records_carry_the_trace_of_their_append(recorder) -> None:
    bus = MemoryBus()
    with recorder.telemetry.span("C-STORE"):
        await TracedBus(bus, recorder.telemetry).append(TOPIC, [record(ce_id="1"), record()])
    assert recorder.parent("bus.append") == "C-STORE"
    context = recorder.span("bus.append").context
    first, second = await headers_of(bus)
    assert first == {"ce_id": "1", **second}
    assert is_sampled(second["traceparent"])
    assert f"00-{context.trace_id:032x}-{context.span_id:016x}" == second["traceparent"][:-3]
    assert recorder.values(LOG_RECORDS) == {(TOPIC,): 2}


async def test_without_a_trace_records_stay_as_they_are(recorder) -> None:
    bus = MemoryBus()
    await TracedBus(bus, recorder.telemetry).append(TOPIC, [record(ce_id="1")])
    assert await headers_of(bus) == [{"ce_id": "1"}]
    assert recorder.spans == ()


async def test_a_record_that_is_passed_on_later_stays_in_its_own_trace(recorder) -> None:
    bus = MemoryBus()
    with recorder.telemetry.span("relay"):
        await TracedBus(bus, recorder.telemetry).append(TOPIC, [record(traceparent=OTHER_TRACE)])
    assert await headers_of(bus) == [{"traceparent": OTHER_TRACE}]


async def test_an_append_that_fails_is_told_by_its_outcome_and_counts_no_record(recorder) -> None:
    inner = MemoryBus()
    await inner.close()
    with pytest.raises(Unavailable):
        await TracedBus(inner, recorder.telemetry).append(TOPIC, [record()])
    assert recorder.values(LOG_APPEND_DURATION) == {(TOPIC, "unavailable"): 1}
    assert recorder.values(LOG_RECORDS) == {}


async def test_the_lag_of_a_group_is_known_once_a_member_has_joined(recorder) -> None:
    inner = MemoryBus()
    bus = TracedBus(inner, recorder.telemetry)
    await bus.append(TOPIC, [record(), record(), record()])
    assert recorder.values(LOG_LAG) == {}
    await bus.consumer("indexing", [TOPIC])
    async with asyncio.timeout(5):
        while recorder.values(LOG_LAG) != {("indexing", TOPIC): 3}:
            await asyncio.sleep(0.01)
    await bus.close()


async def test_dead_letters_are_counted_for_their_group(recorder) -> None:
    bus = TracedBus(MemoryBus(), recorder.telemetry)
    await bus.append(TOPIC, [record()])
    consumer = await bus.consumer("indexing", [TOPIC])
    (delivery,) = await consumer.poll(1, 1)
    await consumer.dead_letter(delivery, "broken")
    await bus.close()
    assert recorder.values(LOG_DEAD_LETTERS) == {("indexing", TOPIC): 1}


class _DownBus(MemoryBus):
    """Takes nothing while it is down."""

    down = True

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        if self.down:
            raise Unavailable("the log does not answer")
        await super().append(topic, records)


async def test_an_event_that_waits_in_the_outbox_stays_in_its_trace_and_is_counted(
    recorder,
) -> None:
    inner, telemetry = _DownBus(), recorder.telemetry
    bus = TracedBus(inner, telemetry)
    storage = StorageService(
        blobs=MemoryBlobs(), settings=StorageSettings(reserve_bytes=0), guard=PolicyGuard(Policy)
    )

    async def opened() -> StorageService:
        return storage

    with telemetry.span("C-STORE") as span:
        await Outbox(bus, opened, telemetry=telemetry).append(TOPIC, record(ce_id="1"))
    assert recorder.values(OUTBOX_KEPT) == {(TOPIC,): 1}
    inner.down = False
    with telemetry.span("relay"):
        assert await Relay(bus, storage, telemetry=telemetry).relay() == 1
    assert await headers_of(inner) == [{"ce_id": "1", "traceparent": span.traceparent}]
    assert recorder.values(OUTBOX_RELAYED) == {(TOPIC,): 1}


# --- the object store ----------------------------------------------------------------------------


async def test_blobs_tell_what_was_done_how_it_ended_and_how_many_bytes_moved(recorder) -> None:
    blobs = TracedBlobs(MemoryBlobs(), recorder.telemetry)
    data = bytes(1000)
    with recorder.telemetry.span("request"):
        await blobs.put(KEY, [data], digest(data))
        async with await blobs.stage() as staged:
            await staged.write(data)
            await staged.commit(KEY, digest(data))
        await blobs.get(KEY, 0, 10)
        assert len([part async for part in blobs.checked(Kept(KEY, digest(data)))]) >= 1
        with pytest.raises(NotFound):
            await blobs.get("packs/absent")
    assert recorder.values(BLOBS_BYTES) == {("written",): 2000, ("read",): 1010}
    assert recorder.values(BLOBS_DURATION) == {
        ("put", "ok"): 1,
        ("stage", "ok"): 1,
        ("commit", "ok"): 1,
        ("get", "ok"): 1,
        ("get", "not-found"): 1,
        ("checked", "ok"): 1,
    }
    assert recorder.names == [
        "storage.put", "storage.commit", "storage.read", "storage.read", "storage.read", "request"
    ]  # fmt: skip
    assert KEY not in str([span.attributes for span in recorder.spans])


# --- services ------------------------------------------------------------------------------------


async def test_a_store_is_counted_by_protocol_and_outcome(recorder) -> None:
    fake = FakeIngest()
    ingest = TracedIngest(fake, recorder.telemetry)
    await ingest.store(DIMSE, chunks(bytes(100)))
    fake.error = Unavailable("the log does not answer")
    with pytest.raises(Unavailable):
        await ingest.store(DIMSE, chunks(bytes(100)))
    assert recorder.values(STORE_INSTANCES) == {
        ("DIMSE", "CT1", "ok"): 1,
        ("DIMSE", "CT1", "unavailable"): 1,
    }
    assert recorder.values(STORE_BYTES) == {("DIMSE", "CT1"): 100}
    stored, _ = recorder.spans
    assert stored.attributes is not None
    assert stored.attributes["isocenter.size"] == 100
    assert stored.attributes["dicom.calling_ae_title"] == "CT1"


class _Found(FakeQuery):
    """Finds studies of these traces."""

    def __init__(self, *traces: str) -> None:
        super().__init__()
        self.traces = traces

    async def search(self, caller: Caller, search: Search):
        del caller, search
        yield [Match({}, trace) for trace in self.traces]


async def _all(query: TracedQuery, level: Level) -> Sequence[Match]:
    return [match async for batch in query.search(SYSTEM, Search(level)) for match in batch]


async def test_the_first_answer_that_shows_a_study_is_told_once_in_the_trace_of_its_store(
    recorder,
) -> None:
    query = TracedQuery(_Found(OTHER_TRACE, ""), recorder.telemetry)
    for _ in range(2):
        with recorder.telemetry.span("GET"):
            await _all(query, Level.STUDY)
    told = recorder.span("query.first_answer")
    assert f"{told.context.trace_id:032x}" == OTHER_TRACE.split("-")[1]
    assert told.parent is not None
    assert f"{told.parent.span_id:016x}" == OTHER_TRACE.split("-")[2]
    searches = [span for span in recorder.spans if span.name == "query.search"]
    (link,) = told.links
    assert link.context.span_id == searches[0].context.span_id


@pytest.mark.parametrize(
    ("trace", "level"), [(OTHER_TRACE, Level.SERIES), (OTHER_TRACE[:-1] + "0", Level.STUDY)]
)
async def test_what_is_no_study_or_not_recorded_is_not_told(recorder, trace, level) -> None:
    await _all(TracedQuery(_Found(trace), recorder.telemetry), level)
    assert "query.first_answer" not in recorder.names


async def test_searches_are_measured_with_their_answers(recorder) -> None:
    fake = FakeQuery()
    query = TracedQuery(fake, recorder.telemetry)
    assert len(await _all(query, Level.STUDY)) == 3
    fake.error = Unavailable("the index does not answer")
    with pytest.raises(Unavailable):
        await _all(query, Level.SERIES)
    assert recorder.values(SEARCH_DURATION) == {("STUDY", "ok"): 1, ("SERIES", "unavailable"): 1}
    assert recorder.values(SEARCH_ANSWERS) == {("STUDY",): 1, ("SERIES",): 1}


async def test_transcodings_are_measured_by_where_they_come_from(recorder) -> None:
    transcoding = TracedTranscoding(FakeTranscoding(), recorder.telemetry)
    await transcoding.decode(b"12", "1.2.840.10008.1.2.4.90", PIXELS)
    turned = transcoding.data_set(chunks(b"12"), "1.2.3.4.5", "1.2.840.10008.1.2.1")
    assert b"".join([chunk async for chunk in turned]) == b"21"
    assert recorder.values(TRANSCODING_DURATION) == {
        ("decode", "1.2.840.10008.1.2.4.90", "ok"): 1,
        ("data_set", "other", "ok"): 1,
    }


async def test_transcodings_are_active_from_their_beginning_to_their_end(recorder) -> None:
    transcoding = TracedTranscoding(FakeTranscoding(), recorder.telemetry)
    assert recorder.values(TRANSCODING_ACTIVE) == {(): 0}
    turned = transcoding.data_set(chunks(b"1234", 2), "1.2.3.4.5", "1.2.840.10008.1.2.1")
    assert await anext(turned) == b"21"
    assert recorder.values(TRANSCODING_ACTIVE) == {(): 1}
    await turned.aclose()  # the receiver is gone
    assert recorder.values(TRANSCODING_ACTIVE) == {(): 0}


def test_what_goes_out_is_counted_for_whoever_gets_it(recorder) -> None:
    given_out = GivenOut(recorder.telemetry, "DIMSE")
    given_out.count(100, "STATION")
    given_out.count(50, "STATION")
    assert recorder.values(RETRIEVE_INSTANCES) == {("DIMSE", "STATION"): 2}
    assert recorder.values(RETRIEVE_BYTES) == {("DIMSE", "STATION"): 150}


async def test_audit_records_are_counted_when_they_are_kept(recorder) -> None:
    index = TracedAuditIndex(OracleAuditIndex(), recorder.telemetry)
    event = AuditEvent(AuditAction.STORE, AuditOutcome.SUCCESS, DIMSE.source, AT, "id")
    await index.append([Entry(event, Place("audit-0", 1)), Entry(event, Place("audit-0", 2))])
    assert recorder.values(AUDIT_RECORDS) == {("store", "success"): 2}
