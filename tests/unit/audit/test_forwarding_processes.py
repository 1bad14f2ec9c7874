"""Processes that forward are killed in the middle of it, on the real embedded log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isocenter.adapters.bus.log import LogBus
from isocenter.adapters.bus.log_file import LogFile
from isocenter.audit.forwarding import GROUPS
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.event_codec import encode
from support import forward_process
from support.collectors import collecting
from support.processes import python

PROGRAM = Path(forward_process.__file__)
RECORDS = 4000
KILLS = 5


def record(number: int):
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return encode(
        AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, Source("DIMSE"), at, str(number))
    )


@pytest.mark.slow
async def test_whoever_is_killed_has_committed_nothing_that_the_collector_has_not(tmp_path):
    bus = await LogBus.open(tmp_path)
    await bus.append(TOPIC_AUDIT, [record(number) for number in range(RECORDS)])
    file = LogFile.open(tmp_path)
    with collecting() as collector:
        for kill in range(1, KILLS + 1):
            async with python(PROGRAM, str(tmp_path), collector.url) as process:
                await asyncio.to_thread(collector.wait, RECORDS * kill // (KILLS + 1))
                process.kill()
                await process.wait()
            committed = file.committed(f"{GROUPS}siem", TOPIC_AUDIT)
            assert set(map(str, range(committed - 1))) <= set(collector.ids)
        async with python(PROGRAM, str(tmp_path), collector.url):
            await asyncio.to_thread(collector.wait, RECORDS)
            async with asyncio.timeout(30):
                while await bus.lag(f"{GROUPS}siem", TOPIC_AUDIT):
                    await asyncio.sleep(0.01)
    assert list(dict.fromkeys(collector.ids)) == [str(number) for number in range(RECORDS)]
    file.close()
    await bus.close()
