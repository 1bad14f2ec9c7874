"""The start and the stop of a process in the audit trail."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from isocenter import __version__
from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime import process_records
from isocenter.runtime.process_records import ProcessRecords


class Log:
    """An audit log that can be away, or never answer."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.tried = asyncio.Event()

    async def record(self, action: AuditAction, source: Source, **fields: Any) -> None:
        self.tried.set()
        await self.gate.wait()
        if self.away:
            raise Unavailable("the log is away")
        self.records.append({"action": action, "source": source, **fields})

    async def open(self) -> Any:
        return self

    @property
    def actions(self) -> list[AuditAction]:
        return [one["action"] for one in self.records]


async def test_a_process_records_its_start_and_its_stop() -> None:
    log = Log()
    records = ProcessRecords(log.open, ["gateway", "web"])
    before = datetime.now(UTC)
    records.started()
    await log.tried.wait()
    await records.stopped()
    assert log.actions == [AuditAction.START, AuditAction.STOP]
    start, stop = log.records
    assert start["detail"] == stop["detail"] == f"gateway web, version {__version__}"
    assert start["source"].protocol == "process"
    assert start["source"].host
    assert before <= start["at"] <= datetime.now(UTC)
    assert (stop["outcome"], stop["error"]) == (AuditOutcome.SUCCESS, "")


async def test_why_a_process_ended_by_itself_is_told() -> None:
    log = Log()
    records = ProcessRecords(log.open, ["web"])
    records.started()
    await records.stopped("a role failed to stop")
    *_, stop = log.records
    assert (stop["outcome"], stop["error"]) == (AuditOutcome.FAILURE, "a role failed to stop")


async def test_a_process_that_never_started_records_nothing() -> None:
    log = Log()
    await ProcessRecords(log.open, ["web"]).stopped("the port is taken")
    assert log.records == []


async def test_the_start_is_tried_again_until_it_is_durable_and_told_with_its_time() -> None:
    log = Log()
    log.away = True
    records = ProcessRecords(log.open, ["web"])
    records.started()  # which does not wait
    await log.tried.wait()
    assert log.records == []
    recovered = datetime.now(UTC)
    log.away = False
    async with asyncio.timeout(10):
        while not log.records:
            await asyncio.sleep(0.01)
    (start,) = log.records
    assert start["at"] <= recovered
    await records.stopped()
    assert log.actions == [AuditAction.START, AuditAction.STOP]


async def test_what_is_not_durable_when_it_stops_is_tried_once_more_in_order() -> None:
    log = Log()
    log.away = True
    records = ProcessRecords(log.open, ["web"])
    records.started()
    await log.tried.wait()
    await asyncio.sleep(0)
    log.away = False
    await records.stopped()
    assert log.actions == [AuditAction.START, AuditAction.STOP]
    assert len({one.get("event_id", "") for one in log.records}) == 2


async def test_stopping_is_bounded_though_the_log_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_records, "STOP_SECONDS", 0.1)
    log = Log()
    log.gate.clear()
    records = ProcessRecords(log.open, ["web"])
    records.started()
    began = time.monotonic()
    await records.stopped()
    assert time.monotonic() - began < 2
    assert log.records == []
    log.gate.set()
    await asyncio.sleep(0)
    assert log.records == [], "nothing of it goes on"


async def test_a_log_that_cannot_be_opened_does_not_keep_a_process_from_ending() -> None:
    async def opened() -> Any:
        raise Unavailable("no broker answers")

    records = ProcessRecords(opened, ["web"])
    records.started()
    await asyncio.sleep(0)
    await records.stopped()
