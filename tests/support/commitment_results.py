"""What a client of pynetdicom is told about its requests for storage commitment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt


@dataclass
class Results:
    """Takes the reports; `handlers` are what pynetdicom is given."""

    status: int = 0
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    _come: Event = field(default_factory=Event)

    @property
    def handlers(self) -> list[tuple[Any, Callable[[evt.Event], Any]]]:
        return [(evt.EVT_N_EVENT_REPORT, self._take)]

    def wait(self, seconds: float = 60) -> None:
        """Until one more report has come."""
        assert self._come.wait(seconds), "no result came"
        self._come.clear()

    def _take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.request.EventTypeID, event.event_information))
        self._come.set()
        return self.status, None

    def told(self) -> tuple[int, list[str], dict[str, int]]:
        """The type of the last report, what is committed and what failed."""
        kind, data_set = self.reports[-1]
        kept = [one.ReferencedSOPInstanceUID for one in data_set.get("ReferencedSOPSequence", [])]
        failed = {
            one.ReferencedSOPInstanceUID: one.FailureReason
            for one in data_set.get("FailedSOPSequence", [])
        }
        return kind, kept, failed
