"""What turns pages of records into a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from isocenter.core.audit import Entry


class Writer(Protocol):
    """Writes one file. It works without waiting for anything, so it is called in a thread."""

    def begin(self) -> bytes:
        """What stands in front of the records."""
        ...

    def add(self, entries: Sequence[Entry]) -> bytes:
        """The next records."""
        ...

    def end(self) -> bytes:
        """What stands behind them."""
        ...
