"""The records of the audit trail as they stand in the log, whoever serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isocenter.adapters.bus.log import LogBus
from isocenter.audit.records import record_of
from isocenter.core.errors import IsocenterError
from isocenter.core.events import TOPIC_AUDIT, TOPIC_INSTANCES, AuditEvent
from isocenter.core.ports import Delivery
from isocenter.runtime.event_codec import decode
from support.harness import wait_until


@dataclass(frozen=True)
class Record:
    """A record, and the topic that it stands on: that of an object is the object's own event."""

    topic: str
    event: AuditEvent

    @property
    def is_event(self) -> bool:
        """Whether it is the event of an object, stored or deleted."""
        return self.topic == TOPIC_INSTANCES


Whose = Callable[[AuditEvent], bool]


class Recorded:
    """Reads the log of a data directory."""

    def __init__(self, data: Path) -> None:
        self._log = data / "log"

    def all(self) -> list[Record]:
        """Every record."""
        return asyncio.run(self._read())

    def of(self, whose: Whose) -> list[Record]:
        """Those of somebody."""
        return [one for one in self.all() if whose(one.event)]

    def some_of(self, whose: Whose, what: str) -> list[Record]:
        """The same, once there are any."""
        found: list[Record] = wait_until(lambda: self.of(whose), 20, f"recorded: {what}")
        return found

    async def _read(self) -> list[Record]:
        bus = await LogBus.open(self._log)
        try:
            found = [
                (topic, record)
                for topic in (TOPIC_AUDIT, TOPIC_INSTANCES)
                async for delivery in bus.replay(topic)
                if (record := _record_of(delivery)) is not None
            ]
        finally:
            await bus.close()
        return [Record(*one) for one in found]


def _record_of(delivery: Delivery) -> AuditEvent | None:
    try:
        return record_of(delivery, decode(delivery), "")
    except IsocenterError:
        if delivery.topic == TOPIC_AUDIT:
            raise
        return None  # a letter for the dead
