"""A network link that can be slow, stalled or cut: a TCP proxy to a port of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIECE = 64 * 1024
_LARGE = 4 * 1024  # bytes at once: data, not requests


class Link:
    """Forwards connections to `target`, as its state allows."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._delay = 0.0
        self._cut = False
        self._flows = threading.Event()
        self._flows.set()
        self._trap = False
        self._caught, self._held = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """`host:port` of this end."""
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Every piece of up to 64 KiB arrives so much later, in both directions."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Connections stay, but nothing comes through."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Connections break, and new ones are closed at once."""
        self._cut = True
        self.reset()
        try:
            yield
        finally:
            self._cut = False

    @contextmanager
    def one_held(self) -> Iterator[threading.Event]:
        """The connection on which the next large piece goes to the target stands still, all others
        flow. The event tells that it has been caught."""
        self._trap, self._held, caught = True, threading.Event(), self._caught
        caught.clear()
        try:
            yield caught
        finally:
            self._trap = False
            self._held.set()

    def reset(self) -> None:
        """Break the connections that there are; new ones come through."""
        with self._lock:
            broken, self._open = self._open, set()
        for one in broken:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """End the proxy."""
        self._cut = True
        self._flows.set()
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._cut:
                    raise ConnectionResetError
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(
                    target=self._copy, args=(source, sink, source is near), daemon=True
                ).start()

    def _copy(self, source: socket.socket, sink: socket.socket, forth: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                self._flows.wait()
                time.sleep(self._delay)
                if forth and self._trap and len(piece) >= _LARGE:
                    self._trap = False
                    self._caught.set()
                    self._held.wait()
                sink.sendall(piece)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
