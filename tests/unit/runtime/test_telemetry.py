"""The facade of telemetry: what spans, headers and measurements become, and that off is nothing."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from contextlib import aclosing

import pytest

from isocenter.core.errors import NotFound, Unavailable
from isocenter.runtime.instruments import (
    BLOBS_DURATION,
    CACHE_LOOKUPS,
    LOG_LAG,
    METRICS,
    SEARCH_DURATION,
    STORE_INSTANCES,
    STORE_STAGE_DURATION,
)
from isocenter.runtime.logs import configure
from isocenter.runtime.telemetry import (
    MAX_AE_TITLES,
    NO_SPAN,
    OFF,
    Lookups,
    Operation,
    Stages,
    is_sampled,
)
from support.telemetry import Recorder

REMOTE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
}


def test_off_keeps_nothing_and_makes_nothing() -> None:
    span = OFF.span("C-STORE", parent=REMOTE)
    assert span is NO_SPAN is OFF.child("bus.append")
    with span as entered, span.active():
        assert entered is NO_SPAN
        assert OFF.headers() == OFF.log_fields() == {}
    assert span.traceparent == ""


def test_off_imports_nothing_of_opentelemetry_into_a_process_with_every_role(tmp_path) -> None:
    program = """
import asyncio, pathlib, sys
from isocenter.app import ROLES, Process
from isocenter.settings import load

async def main():
    env = Process(load(data=pathlib.Path(sys.argv[1])), list(ROLES))
    await env.build()
    await env.close()

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_spans_are_below_the_one_they_are_made_in() -> None:
    recorder = Recorder()
    with recorder.telemetry.span("outer", {"size": 3}, role="server"):
        with recorder.telemetry.span("middle"):
            recorder.telemetry.child("inner").end()
        recorder.telemetry.child("later").end()
    assert recorder.names == ["inner", "middle", "later", "outer"]
    assert recorder.parent("inner") == "middle"
    assert recorder.parent("middle") == recorder.parent("later") == "outer"
    assert recorder.span("outer").parent is None
    assert dict(recorder.span("outer").attributes or {}) == {"size": 3}


def test_a_trace_goes_on_from_what_was_carried_and_is_carried_on() -> None:
    recorder = Recorder()
    with recorder.telemetry.span("here", parent=REMOTE) as span:
        carried = recorder.telemetry.headers()
    assert carried["traceparent"] == span.traceparent
    assert carried["traceparent"].split("-")[1] == REMOTE["traceparent"].split("-")[1]
    assert carried["tracestate"] == "vendor=1"
    with recorder.telemetry.span("there", parent=carried):
        pass
    assert recorder.parent("there") == "here"
    assert recorder.telemetry.headers() == {}


@pytest.mark.parametrize("parent", [{}, {"traceparent": "nonsense"}, {"traceparent": ""}])
def test_what_carries_no_trace_begins_one_even_within_another(parent) -> None:
    recorder = Recorder()
    with recorder.telemetry.span("outer"), recorder.telemetry.span("other", parent=parent):
        pass
    assert recorder.span("other").parent is None


def test_a_child_begins_no_trace() -> None:
    recorder = Recorder()
    assert recorder.telemetry.child("storage.put") is NO_SPAN
    assert recorder.spans == ()


def test_a_trace_that_its_caller_does_not_record_is_carried_on_and_not_recorded() -> None:
    recorder = Recorder()
    unsampled = REMOTE["traceparent"][:-1] + "0"
    with recorder.telemetry.span("here", parent={"traceparent": unsampled}):
        assert recorder.telemetry.child("below") is NO_SPAN
        carried = recorder.telemetry.headers()["traceparent"]
    assert carried.split("-")[1] == unsampled.split("-")[1]
    assert not is_sampled(carried)
    assert recorder.spans == ()


def test_the_sampled_part_is_of_the_traces_that_begin_here() -> None:
    recorder = Recorder(sample=0)
    with recorder.telemetry.span("ours"):
        pass
    with recorder.telemetry.span("theirs", parent=REMOTE):
        pass
    assert recorder.names == ["theirs"]


@pytest.mark.parametrize(
    ("traceparent", "sampled"), [("", False), ("x", False), (REMOTE["traceparent"], True)]
)
def test_a_traceparent_tells_whether_it_is_recorded(traceparent: str, sampled: bool) -> None:
    assert is_sampled(traceparent) is sampled


@pytest.mark.parametrize(
    ("error", "kind", "failed"),
    [
        (Unavailable("patient Doe^Jane is down"), "unavailable", True),
        (ValueError("Doe^Jane"), "internal", True),
        (NotFound("nothing under 1.2.3"), "not-found", False),
        (asyncio.CancelledError(), "cancelled", False),
    ],
)
def test_of_an_error_its_kind_is_kept_and_never_its_text(error, kind, failed) -> None:
    recorder = Recorder()
    with pytest.raises(type(error)), recorder.telemetry.span("work"):
        raise error
    span = recorder.span("work")
    assert dict(span.attributes or {}) == {"error.type": kind}
    assert span.status.is_ok is not failed
    assert not span.events
    assert not span.status.description


def test_links_lead_to_other_traces_and_nonsense_is_no_link() -> None:
    recorder = Recorder()
    recorder.telemetry.span("batch", links=[REMOTE["traceparent"], "", "nonsense"]).end()
    (link,) = recorder.span("batch").links
    assert f"{link.context.trace_id:032x}" == REMOTE["traceparent"].split("-")[1]


async def _numbers(count: int, closed: list[bool], seen: list[str], recorder: Recorder):
    try:
        for number in range(count):
            seen.append(recorder.telemetry.headers().get("traceparent", ""))
            yield number
    finally:
        closed.append(True)


async def test_a_generator_works_below_its_span_and_its_consumer_does_not() -> None:
    recorder, closed, seen = Recorder(), [], []
    with recorder.telemetry.span("outer") as outer:
        span = recorder.telemetry.child("search")
        operation = Operation(recorder.telemetry, SEARCH_DURATION, {"level": "STUDY"}, span)
        async with aclosing(operation.through(_numbers(2, closed, seen, recorder))) as items:
            async for _ in items:
                assert recorder.telemetry.headers()["traceparent"] == outer.traceparent
    assert seen == [span.traceparent] * 2
    assert recorder.parent("search") == "outer"
    assert recorder.values(SEARCH_DURATION) == {("STUDY", "ok"): 1}


async def test_a_generator_that_is_left_early_is_closed_and_measured() -> None:
    recorder, closed, seen = Recorder(), [], []
    operation = Operation(recorder.telemetry, SEARCH_DURATION, {"level": "STUDY"})
    async with aclosing(operation.through(_numbers(9, closed, seen, recorder))) as items:
        assert await anext(items) == 0
    assert closed == [True]
    assert recorder.values(SEARCH_DURATION) == {("STUDY", "ok"): 1}


async def test_a_generator_that_is_ended_in_another_task_leaves_no_span_behind(caplog) -> None:
    recorder = Recorder()

    async def numbers():
        with recorder.telemetry.span("within"):
            yield 1

    items = numbers()
    await asyncio.create_task(anext(items))
    await asyncio.create_task(items.aclose())
    assert recorder.names == ["within"]
    assert recorder.telemetry.headers() == {}
    assert not caplog.records


def test_an_operation_is_measured_by_its_outcome() -> None:
    recorder = Recorder()
    with Operation(recorder.telemetry, BLOBS_DURATION, {"operation": "get"}):
        pass
    with (
        pytest.raises(NotFound),
        Operation(recorder.telemetry, BLOBS_DURATION, {"operation": "get"}),
    ):
        raise NotFound("nothing is kept under 1.2.3")
    assert recorder.values(BLOBS_DURATION) == {("get", "ok"): 1, ("get", "not-found"): 1}


def test_stages_follow_one_another() -> None:
    recorder = Recorder()
    stages = Stages(recorder.telemetry, STORE_STAGE_DURATION, "receive")
    stages.enter("commit")
    stages.end()
    assert recorder.values(STORE_STAGE_DURATION) == {("receive",): 1, ("commit",): 1}
    Stages(OFF, STORE_STAGE_DURATION, "receive").end()


def test_counters_add_up_and_what_is_observed_is_read_when_it_is_asked_for() -> None:
    recorder = Recorder()
    labels = {"protocol": "DIMSE", "ae": "CT1", "outcome": "ok"}
    recorder.telemetry.count(STORE_INSTANCES, 2, labels)
    recorder.telemetry.count(STORE_INSTANCES, 3, labels)
    lag = [1.0]
    recorder.telemetry.observe(LOG_LAG, lambda: [(lag[0], {"group": "g", "topic": "t"})])
    assert recorder.values(STORE_INSTANCES) == {("DIMSE", "CT1", "ok"): 5}
    lag[0] = 7
    assert recorder.values(LOG_LAG) == {("g", "t"): 7}


def test_what_several_tell_of_one_metric_is_all_told_and_adds_up_under_the_same_labels() -> None:
    recorder = Recorder()
    for group, lag in (("g", 1), ("h", 2), ("h", 3)):
        told = (lag, {"group": group, "topic": "t"})
        recorder.telemetry.observe(LOG_LAG, lambda told=told: [told])
    assert recorder.values(LOG_LAG) == {("g", "t"): 1, ("h", "t"): 5}


def test_ae_titles_are_told_apart_up_to_a_bound() -> None:
    telemetry = Recorder().telemetry
    titles = [f"AE{number}" for number in range(MAX_AE_TITLES)]
    assert [telemetry.ae(title) for title in titles] == titles
    assert telemetry.ae("ONE-TOO-MANY") == "other"
    assert [telemetry.ae(title) for title in titles] == titles
    assert telemetry.ae("") == ""


def test_lookups_are_hits_or_misses() -> None:
    recorder = Recorder()
    for cache in ("a", "b"):
        lookups = Lookups()
        lookups.tell(recorder.telemetry, cache)
        for hit in (True, False, True):
            lookups.note(hit=hit)
    assert recorder.values(CACHE_LOOKUPS) == {
        (cache, outcome): times for cache in "ab" for outcome, times in (("hit", 2), ("miss", 1))
    }


def test_the_table_has_every_metric_once_with_a_name_of_ours() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("isocenter.") for name in names)


def test_entries_of_the_log_name_their_span_in_both_forms() -> None:
    recorder = Recorder()
    log = logging.getLogger("isocenter.web")
    text, entries = io.StringIO(), io.StringIO()
    with recorder.telemetry.span("GET /") as span:
        _, trace_id, span_id, _ = span.traceparent.split("-")
        configure("info", "text", "web", text, where=recorder.telemetry.log_fields)
        log.info("within", extra={"size": 1})
        configure("info", "json", "web", entries, where=recorder.telemetry.log_fields)
        log.info("within")
    log.info("outside")
    assert f"within (size=1 trace_id={trace_id} span_id={span_id})" in text.getvalue()
    within, outside = (json.loads(line) for line in entries.getvalue().splitlines())
    assert (within["trace_id"], within["span_id"]) == (trace_id, span_id)
    assert "trace_id" not in outside
