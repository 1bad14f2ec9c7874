"""What tests of the web role share."""

from __future__ import annotations

import pytest

from support.access_rig import cheap_passwords


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap_passwords(monkeypatch)
