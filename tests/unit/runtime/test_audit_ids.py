"""Names of audit records: legal everywhere, and the way back to the record."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from isocenter.core.errors import NotFound
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_ids import PATTERN, name_of, named, window_of
from support.memory_trail import MemoryTrail

AT = datetime(2026, 11, 26, 17, 3, 4, 123456, tzinfo=UTC)
EVENT = AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, Source("DIMSE"), AT, "host/web-1")


@pytest.mark.parametrize("record", ["host/web-1", "", "ü\ud800/" * 900, "a b", "../..", "0" * 64])
@pytest.mark.parametrize(
    "at", [AT, datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_names_are_ids_of_fhir_and_segments_of_paths(record: str, at: datetime) -> None:
    name = name_of(replace(EVENT, id=record, at=at))
    assert re.fullmatch(PATTERN, name)
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", name)


def test_a_name_is_that_of_one_record() -> None:
    others = [
        replace(EVENT, id="host/web-2"),
        replace(EVENT, at=AT + timedelta(microseconds=1)),
    ]
    assert len({name_of(one) for one in (EVENT, *others)}) == 3
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert name_of(replace(EVENT, at=elsewhere)) == name_of(EVENT)


def test_the_window_of_a_name_holds_times_that_an_index_cut_to_milliseconds() -> None:
    since, until = window_of(name_of(EVENT))
    assert since <= AT.replace(microsecond=123000) <= AT < until


async def test_a_record_is_found_by_its_name_among_many_of_the_same_time() -> None:
    trail = MemoryTrail()
    events = [replace(EVENT, id=f"host/web-{number}") for number in range(1203)]
    trail.keep(*events, replace(EVENT, id="later", at=AT + timedelta(seconds=1)))
    for event in (events[0], events[600], events[-1]):
        assert (await named(trail, name_of(event))).event == event


@pytest.mark.parametrize(
    "name",
    ["", "x", "../x", name_of(EVENT)[:-1], name_of(EVENT) + "0", name_of(EVENT).upper(),
     "20261326T170304123456Z-" + "0" * 32, "00000101T000000000000Z-" + "0" * 32,
     "00010101T000000000000Z-" + "0" * 32, "20261126T170304123456Z-" + "0" * 32],
)  # fmt: skip
async def test_other_names_are_of_no_record(name: str) -> None:
    trail = MemoryTrail()
    trail.keep(EVENT)
    with pytest.raises(NotFound):
        await named(trail, name)
