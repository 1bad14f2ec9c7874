"""Records of refusals: nobody waits for them, and a flood of them is a few."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime import audit_notices
from isocenter.runtime.audit_notices import Notices
from support.waiting import until

STRANGER = Source("DIMSE", "192.0.2.7", ae_title="NOBODY", called_ae_title="PACS", known=False)
WHAT, WHY = "association refused", "caller not in the AE directory"


class Log:
    """An audit log that can be away, or slow."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.away = False
        self.tried = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def record(self, action: AuditAction, source: Source, **fields: Any) -> None:
        self.tried += 1
        await self.gate.wait()
        if self.away:
            raise Unavailable("the log is away")
        self.records.append({"action": action, "source": source, **fields})


def notices(log: Log, seconds: float = 3600) -> Notices:
    return Notices(log, window_seconds=seconds)  # type: ignore[arg-type]


async def test_the_first_refusal_of_a_host_is_recorded_with_who_it_was_and_why() -> None:
    log = Log()
    noted = notices(log)
    noted.note(STRANGER, WHAT, WHY)
    await until(lambda: bool(log.records), 10)
    assert log.records == [
        {
            "action": AuditAction.NETWORK,
            "source": STRANGER,
            "outcome": AuditOutcome.FAILURE,
            "detail": WHAT,
            "error": WHY,
        }
    ]
    await noted.stop()
    assert len(log.records) == 1


async def test_a_flood_of_a_host_is_one_record_a_window_and_all_are_counted() -> None:
    log = Log()
    noted = notices(log)
    noted.note(STRANGER, WHAT, WHY)
    await until(lambda: bool(log.records), 10)
    for number in range(10_000):
        noted.note(Source("DIMSE", "192.0.2.7", f"AE{number}", "PACS", known=False), WHAT, WHY)
    noted.note(Source("DIMSE", "192.0.2.8", "OTHER", "PACS"), WHAT, "called AE title not ours")
    await until(lambda: len(log.records) == 2, 10)
    assert log.records[1]["source"].host == "192.0.2.8"
    await noted.stop()
    *_, flood = log.records
    assert len(log.records) == 3
    assert (flood["source"].host, flood["source"].ae_title) == ("192.0.2.7", "")
    assert flood["detail"] == "association refused, 10000 times"
    assert f"AE0 to PACS: {WHY}" in flood["error"]
    assert flood["error"].endswith("others (9992 times)")


async def test_windows_follow_each_other_as_long_as_somebody_is_refused() -> None:
    log = Log()
    noted = notices(log, 0.05)
    for number in (1, 2, 3):
        noted.note(STRANGER, WHAT, WHY)
        noted.note(STRANGER, WHAT, WHY)
        await until(lambda number=number: len(log.records) >= number, 10)  # type: ignore[misc]
    await noted.stop()
    counts = [1 if one["detail"] == WHAT else int(one["detail"].split()[2]) for one in log.records]
    assert sum(counts) == 6


async def test_hosts_beyond_a_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_notices, "_MAX_HOSTS", 3)
    log = Log()
    noted = notices(log)
    for number in range(100):
        noted.note(Source("DIMSE", f"192.0.2.{number}", "AE", "PACS"), WHAT, WHY)
    await noted.stop()
    hosts = [one["source"].host for one in log.records]
    assert hosts == ["192.0.2.0", "192.0.2.1", "192.0.2.2", ""]
    assert log.records[-1]["detail"] == "association refused, 97 times"


async def test_nobody_waits_and_nothing_is_lost_while_the_log_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_notices, "_AGAIN_SECONDS", 0.01)
    log = Log()
    log.away = True
    noted = notices(log)
    noted.note(STRANGER, WHAT, WHY)
    noted.note(STRANGER, WHAT, WHY)
    await until(lambda: log.tried > 2, 10)
    assert log.records == []
    log.away = False
    await until(lambda: bool(log.records), 10)
    assert [one["detail"] for one in log.records] == ["association refused, 2 times"]
    await noted.stop()


async def test_stopping_is_bounded_though_the_log_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_notices, "STOP_SECONDS", 0.05)
    log = Log()
    log.gate.clear()
    noted = notices(log)
    noted.note(STRANGER, WHAT, WHY)
    await until(lambda: log.tried == 1, 10)
    async with asyncio.timeout(5):
        await noted.stop()
    assert log.records == []
