"""HTTP requests, with traces and metrics; the client's trace goes on if it names one."""

from __future__ import annotations

from collections.abc import MutableMapping
from time import perf_counter
from typing import Any

from isocenter.runtime.instruments import HTTP_DURATION
from isocenter.runtime.telemetry import TRACEPARENT, TRACESTATE, Telemetry
from isocenter.web.exchange import ROUTE, ASGIApp, Message, Receive, Send
from isocenter.web.health import PROBES

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "other"
_NONE = "none"  # no route of ours
_ABORTED = "aborted"
_CARRIED = (TRACEPARENT.encode(), TRACESTATE.encode())


class TracedApplication:
    """The application within a span of each request."""

    def __init__(self, application: ASGIApp, telemetry: Telemetry) -> None:
        self._application = application
        self._telemetry = telemetry

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] in PROBES:
            await self._application(scope, receive, send)
            return
        statuses: list[int] = []

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        carried = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _CARRIED
        }
        began = perf_counter()
        with self._telemetry.span(
            method, {"http.request.method": method}, role="server", parent=carried
        ) as span:
            try:
                await self._application(scope, receive, noting)
            finally:
                route = scope.get(ROUTE, _NONE)
                if route != _NONE:
                    span.rename(f"{method} {route}")
                    span.set({"http.route": route})
                for status in statuses:
                    span.set({"http.response.status_code": status})
                    if status >= 500:
                        span.fail(str(status))
                labels = {
                    "method": method,
                    "route": route,
                    "status": str(statuses[0]) if statuses else _ABORTED,
                }
                self._telemetry.record(HTTP_DURATION, perf_counter() - began, labels)
