"""Events of kinds that only a newer version knows."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from isocenter.core.errors import Invalid
from isocenter.core.events import StudyChanged
from isocenter.core.ports import Delivery
from isocenter.runtime.event_codec import encode
from isocenter.runtime.event_reader import EventReader
from isocenter.runtime.instruments import LOG_SKIPPED
from support.telemetry import Recorder


def delivery(kind: str, data: bytes = b"") -> Delivery:
    return Delivery("isocenter.studies", 0, 7, "k", kind, data, {}, datetime.now(UTC))


def test_newer_kinds_are_passed_over_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    events = EventReader("settling", recorder.telemetry)
    with caplog.at_level(logging.WARNING):
        for kind in ("isocenter.v1.StudyFolded", "isocenter.v1.StudyMoved") * 3:
            assert events.read(delivery(kind, b"secret")) is None
    assert recorder.values(LOG_SKIPPED) == {("settling", "isocenter.studies"): 6}
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_what_is_known_is_read_and_what_must_be_understood_is_refused() -> None:
    recorder = Recorder()
    events = EventReader("settling", recorder.telemetry)
    changed = StudyChanged("main", "1.2", 1, 1)
    record = encode(changed)
    assert events.read(delivery(record.type, record.data)) == changed
    with pytest.raises(Invalid):
        events.read(delivery("isocenter.v2.StudyFolded"))
    assert recorder.values(LOG_SKIPPED) == {}
