"""How often tests kill, and how long servers stay away: some in each run of all tests, all that is
promised with `make kills`."""

from __future__ import annotations

import os


def kills(usual: int, promised: int) -> int:
    """The number for this run."""
    return promised if os.environ.get("KILLS") == "all" else usual
