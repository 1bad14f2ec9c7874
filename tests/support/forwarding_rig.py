"""A forwarder that hurries, and what its tests wait for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from isocenter.audit.forwarding import GROUPS, Forwarder
from isocenter.audit.keys import KeyFolder
from isocenter.audit.settings import Collector
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.event_codec import encode
from support.collectors import SyslogCollector

SOURCE = Source("DIMSE", host="10.0.0.7", ae_title="CT1")
GROUP = f"{GROUPS}siem"
NO_KEYS = KeyFolder(Path("nowhere"), makes=False)


def event(identifier: str, action=AuditAction.QUERY, outcome=AuditOutcome.SUCCESS) -> AuditEvent:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return AuditEvent(action, outcome, SOURCE, at, identifier, detail="C-FIND STUDY PatientID")


async def append(bus, first: int, end: int) -> None:
    await bus.append(TOPIC_AUDIT, [encode(event(str(number))) for number in range(first, end)])


def forwarder(bus, collector: SyslogCollector, telemetry=None, keys=NO_KEYS, **more) -> Forwarder:
    one = Collector(name="siem", url=collector.url, **more)
    return Forwarder(
        bus=bus,
        collector=one,
        keys=keys,
        site="here",
        **({"telemetry": telemetry} if telemetry else {}),
    )


@asynccontextmanager
async def running(part):
    await part.start()
    try:
        yield part
    finally:
        await part.stop()


async def arrived(collector: SyslogCollector, enough: int) -> None:
    await asyncio.to_thread(collector.wait, enough)


async def nothing_waits(bus, topic: str = TOPIC_AUDIT, group: str = GROUP) -> None:
    async with asyncio.timeout(30):
        while await bus.lag(group, topic):
            await asyncio.sleep(0.005)


def in_order(ids: list[str]) -> list[str]:
    """Each where it came first."""
    return list(dict.fromkeys(ids))


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]
