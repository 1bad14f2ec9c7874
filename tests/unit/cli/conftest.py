"""Verbs configure the logging of their process; here it is shared with other tests."""

from __future__ import annotations

import pytest

from support.audited import audit, isocenter
from support.logging_state import logging_as_before

__all__ = ["audit", "isocenter", "logging_as_before"]


@pytest.fixture(autouse=True)
def _as_before(logging_as_before: None) -> None:
    """For every test here."""
