"""pynetdicom's association, paused for certain while it sends, and released when it has answered.

Its own thread says that it is paused right before it waits. If it is told to pause in that moment,
it still goes round once and may take the answer away from whoever asked, who then waits in vain.

An N-EVENT-REPORT is served in one more thread. If the association is released before that has
answered, the answer is an event that the state machine does not know, and both sides hang.
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
    """From now on an association is paused when its thread waits, and only then; it is released
    when no report is being served, and serves none afterwards."""
    original, serve, release = (
        Association.__init__, Association._serve_request, Association.release,
    )  # fmt: skip

    def init(self: Association, *arguments: Any, **more: Any) -> None:
        original(self, *arguments, **more)
        self._reactor_checkpoint = _Checkpoint()
        self._reactor_checkpoint.set()
        self._reporting = threading.RLock()

    patch.setattr(Association, "__init__", init)

    def served(self: Association, *arguments: Any) -> None:
        if threading.current_thread() is self:
            serve(self, *arguments)
            return
        with self._reporting:
            serve(self, *arguments)

    patch.setattr(Association, "_serve_request", served)

    def released(self: Association) -> None:
        with self._reporting:
            release(self)

    patch.setattr(Association, "release", released)

    def paused(self: Association) -> bool:
        return self._reactor_checkpoint.waiting or self._kill

    def told(self: Association, value: bool) -> None:
        """What its thread says of itself is what is not relied on."""

    patch.setattr(Association, "_is_paused", property(paused, told), raising=False)
