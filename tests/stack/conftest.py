"""What the tests on real servers share."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def name() -> str:
    """A name that nothing on the servers has yet."""
    return f"t{uuid.uuid4().hex[:12]}"
