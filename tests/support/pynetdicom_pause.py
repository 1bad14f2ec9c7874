"""pynetdicom's association, paused for certain while it sends.

Its own thread says that it is paused right before it waits. If it is told to pause in that moment,
it still goes round once and may take the answer away from whoever asked, who then waits in vain.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pynetdicom.association import Association


class _Checkpoint(threading.Event):
    """Knows whether somebody is waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._cond:  # type: ignore[attr-defined]
            self.waiting = True
            # Set and cleared again before this thread was awake means that it goes on waiting.
            self._cond.wait_for(lambda: self._flag, timeout)  # type: ignore[attr-defined]
            self.waiting = False
            return bool(self._flag)  # type: ignore[attr-defined]


def make_certain(patch: pytest.MonkeyPatch) -> None:
    """From now on an association is paused when its thread waits, and only then."""
    original = Association.__init__

    def init(self: Association, *arguments: Any, **more: Any) -> None:
        original(self, *arguments, **more)
        self._reactor_checkpoint = _Checkpoint()
        self._reactor_checkpoint.set()

    patch.setattr(Association, "__init__", init)

    def paused(self: Association) -> bool:
        return self._reactor_checkpoint.waiting or self._kill

    def told(self: Association, value: bool) -> None:
        """What its thread says of itself is what is not relied on."""

    patch.setattr(Association, "_is_paused", property(paused, told), raising=False)
