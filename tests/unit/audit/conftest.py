"""Forwarding that does not wait."""

from __future__ import annotations

import pytest

from isocenter.audit import forwarding, syslog


@pytest.fixture
def hurried(monkeypatch):
    """Forwarding makes short pauses: what is tested is not how long they are."""
    monkeypatch.setattr(forwarding, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(forwarding, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(forwarding, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(forwarding, "_CONFIRM_SECONDS", 0.05)
    monkeypatch.setattr(forwarding, "_STOP_SECONDS", 0.5)


@pytest.fixture
def impatient(monkeypatch):
    """Forwarding gives a collector that hangs little time."""
    monkeypatch.setattr(syslog, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(syslog, "_END_SECONDS", 0.2)
