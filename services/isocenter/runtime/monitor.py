"""The monitor of a process: an HTTP port of its own for probes and for Prometheus.

`GET /livez` answers while the process lives, `GET /readyz` says whether it can do its work and, if
not, why, and `GET /metrics` shows its metrics in Prometheus' text format. It starts before the
roles and stops after them. One short request a connection: those who ask come every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from isocenter.core.errors import Unavailable
from isocenter.runtime.health import ALIVE, Health, readiness
from isocenter.runtime.role import Role

logger = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE = "application/json"

_REQUEST_SECONDS = 5.0
_MAX_HEAD = 8192
_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers with."""

    status: int
    kind: str
    body: bytes


Page = Callable[[], Awaitable[Answer]]


class Monitor(Role):
    """Serves pages on a TCP port, or on a socket file for a supervisor."""

    name = "monitor"

    def __init__(
        self, pages: Mapping[str, Page], health: Health, *, host: str = "", port: int = 0,
        socket: Path | None = None,
    ) -> None:  # fmt: skip
        """`port` 0 lets the system choose; see `port` after `start`."""
        self._pages = pages
        self._health = health
        self._host = host
        self.port = port
        self._socket = socket
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises `Unavailable` if the port is taken."""
        if self._socket is not None:
            self._server = await asyncio.start_unix_server(
                self._serve, self._socket, limit=_MAX_HEAD
            )
            return
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self.port, limit=_MAX_HEAD
            )
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {self._host}:{self.port} for monitoring: {error.strerror}",
                fix="free the port or set another one in `monitor.port`",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def drain(self) -> None:
        """Not ready from now on; still there for whoever asks."""
        self._health.drain()

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                method, path = await _request(reader)
            answer = await self._answer(method, path)
            writer.write(_head(answer) + (b"" if method == "HEAD" else answer.body))
            async with asyncio.timeout(_REQUEST_SECONDS):
                await writer.drain()

    async def _answer(self, method: str, path: str) -> Answer:
        page = self._pages.get(path)
        if not method:
            return _plain(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
        if page is None:
            return _plain(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}")
        if method not in _METHODS:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "pages are read with GET")
        try:
            return await page()
        except Exception:  # a page that fails must not end what it watches
            logger.exception("a page of the monitor failed", extra={"path": path})
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; the log says why")


def pages_of(health: Health, exposition: Callable[[], bytes]) -> Mapping[str, Page]:
    """The pages of one process. `exposition` takes its time, in a thread."""

    async def readyz() -> Answer:
        problems = health.problems()
        return ready([f"{role}: {one}" for role, found in problems.items() for one in found])

    async def metrics() -> Answer:
        return Answer(HTTPStatus.OK, METRICS_TYPE, await asyncio.to_thread(exposition))

    return {"/livez": livez, "/readyz": readyz, "/metrics": metrics}


async def livez() -> Answer:
    """This answers, so the process lives."""
    return Answer(HTTPStatus.OK, JSON_TYPE, ALIVE)


def ready(problems: Sequence[str]) -> Answer:
    """Ready, or not and why."""
    status, body = readiness(problems)
    return Answer(status, JSON_TYPE, body)


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and path; empty if it is no request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.LimitOverrunError, asyncio.IncompleteReadError):
        return "", ""
    parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/"):
        return "", ""
    return parts[0], parts[1].partition("?")[0]


def _plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())


def _head(answer: Answer) -> bytes:
    return (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        f"Content-Type: {answer.kind}\r\nContent-Length: {len(answer.body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode()
