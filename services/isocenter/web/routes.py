"""The table of routes, and the ASGI application that finds a request's row in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from isocenter.core.errors import Invalid
from isocenter.core.identity import is_uid
from isocenter.web.exchange import DICOMWEB, ROUTE, Exchange, Handler, Receive, Send
from isocenter.web.problems import Problem
from isocenter.web.settings import WebSettings

GET, HEAD = "GET", "HEAD"
OPTIONS = "OPTIONS"  # every route answers it

_UIDS = frozenset({"study", "series", "instance"})


@dataclass(frozen=True, slots=True)
class Route:
    """A path with placeholders, `{name}` for a segment or `{name...}` for the rest at the end.

    What answers GET answers HEAD (RFC 9110 9.3.2): `Exchange` keeps the content back.
    """

    template: str
    handlers: Mapping[str, Handler]

    @property
    def pattern(self) -> re.Pattern[str]:
        """An expression that matches the path."""
        text = re.sub(r"\{(\w+)\.\.\.\}", r"(?P<\1>.*)", self.template)
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text), re.DOTALL)

    @property
    def methods(self) -> frozenset[str]:
        """What is answered, OPTIONS only where it has a handler."""
        return frozenset([*self.handlers, *([HEAD] if GET in self.handlers else [])])

    @property
    def allow(self) -> str:
        """The Allow header field."""
        return ", ".join(sorted({*self.methods, OPTIONS}))

    async def options(self, exchange: Exchange) -> None:
        """What may be done with the resource (RFC 9110 9.3.7)."""
        await exchange.without_content(204, [(b"allow", self.allow.encode("ascii"))])


def dicomweb(paths: Mapping[str, Mapping[str, Handler]]) -> Sequence[Route]:
    """Routes below the DICOMweb root."""
    return [Route(DICOMWEB + path, methods) for path, methods in paths.items()]


class Application:
    """The ASGI application."""

    def __init__(self, routes: Sequence[Route], settings: WebSettings) -> None:
        self.routes = routes
        self._settings = settings
        self._fixed = {route.template: route for route in routes if "{" not in route.template}
        self._others = [(route.pattern, route) for route in routes if "{" in route.template]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; every error becomes a problem document."""
        exchange = Exchange(scope, receive, send, self._settings)
        try:
            handler = self._handler(exchange)
            await handler(exchange)
        except Exception as error:  # noqa: BLE001 - the outermost place: nothing passes unanswered
            await exchange.fail(error)

    def _handler(self, exchange: Exchange) -> Handler:
        path = exchange.scope["path"]
        route = self._fixed.get(path)
        if route is None:
            route = self._find(exchange, path)
        exchange.scope[ROUTE] = route.template
        method = exchange.scope["method"]
        handler = route.handlers.get(GET if method == HEAD else method)
        if handler is None and method == OPTIONS:
            return route.options
        if handler is None:
            allow = (b"allow", route.allow.encode("ascii"))
            raise Problem(405, f"this resource answers to {route.allow}", [allow])
        return handler

    def _find(self, exchange: Exchange, path: str) -> Route:
        for pattern, route in self._others:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            exchange.path = found.groupdict()
            for name in _UIDS & exchange.path.keys():
                if not is_uid(exchange.path[name]):
                    raise Invalid(f"the {name} in the address is no UID", fix="see PS3.5 9.1")
            return route
        raise Problem(404, "there is no such resource; DICOMweb is below /dicomweb")
