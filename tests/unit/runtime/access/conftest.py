"""What tests of the use cases of access share."""

from __future__ import annotations

import pytest

from support.access_rig import Access, Clock


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
