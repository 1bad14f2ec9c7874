"""A TCP proxy for tests of HTTP clients: tells the requests, and cuts answers after some bytes."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE = 64 * 1024
_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.1\r\n")


class CuttingProxy:
    """Forwards connections from `address` to a target while its context is open."""

    def __init__(self, target: str, tls: ssl.SSLContext | None = None) -> None:
        """`target` is `host:port`; with `tls`, clients come encrypted."""
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._tls = tls
        self._lock = threading.Lock()
        self._after = self._left = self._times = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []
        """Method and path of each HTTP request that came through."""

    def cut(self, after: int, times: int = 1) -> None:
        """So often, close the connection on which so many bytes of answers have passed."""
        with self._lock:
            self._after = self._left = after
            self._times = times

    @property
    def cuts_left(self) -> int:
        """How often it is still going to cut."""
        return self._times

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _shut(self._listener)  # wakes `accept`
        self._listener.close()
        with self._lock:
            remaining = list(self._open)
        for one in remaining:
            _shut(one)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(self._target)
        except OSError:
            near.close()
            return
        with self._lock:
            self._open |= {near, far}
        answers = threading.Thread(target=self._answer, args=(far, near), daemon=True)
        answers.start()
        self._ask(near, far)
        answers.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _ask(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while piece := near.recv(_PIECE):
                found = _REQUEST.findall(piece)
                self.requests += [f"{method.decode()} {path.decode()}" for method, path in found]
                far.sendall(piece)
        _shut(far)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while piece := far.recv(_PIECE):
                passed = self._allowed(len(piece))
                near.sendall(piece[:passed])
                if passed < len(piece):
                    break
        _shut(near)
        _shut(far)

    def _allowed(self, size: int) -> int:
        with self._lock:
            if not self._times:
                return size
            passed = min(size, self._left)
            self._left -= passed
            if passed < size:
                self._times -= 1
                self._left = self._after
            return passed


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
