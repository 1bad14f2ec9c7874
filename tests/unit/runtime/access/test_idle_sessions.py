"""Sessions end when nobody uses them, however soon that is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import Policy
from isocenter.core.events import Source
from isocenter.runtime.access import sessions
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.sessions import Session
from isocenter.runtime.access.settings import AccessSettings
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings

BY = Source("test")


class Clock(datetime):
    """A time that tests set."""

    at = datetime(2026, 11, 26, 8, tzinfo=UTC)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
        return cls.at


@pytest.mark.parametrize("minutes", [0.1, 5, 60])
async def test_a_session_lasts_while_it_is_used_and_ends_when_it_is_not(
    monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    storage = StorageService(
        blobs=MemoryBlobs(), settings=StorageSettings(), guard=PolicyGuard(Policy)
    )
    settings = AccessSettings(session_idle_minutes=minutes, follow_seconds=0.001)
    doors = Doors.of(storage, settings)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    await doors.accounts.keep(Account(name="eva", roles=("viewer",), since=since), BY)
    clock = type("At", (Clock,), {})
    monkeypatch.setattr(sessions, "datetime", clock)
    begun = Session(person="eva", since=since, began_at=clock.at, used_at=clock.at)
    secret = await doors.sessions.begin(begun, BY)
    idle = timedelta(minutes=minutes)
    for _ in range(4):
        clock.at += idle * 0.8
        assert await doors.sessions.find(secret, BY) is not None
    clock.at += idle * 1.2
    assert await doors.sessions.find(secret, BY) is None
