"""The table of routes, and the ASGI application that finds a request's row in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from isocenter.core.errors import Invalid
from isocenter.core.identity import is_uid
from isocenter.runtime import purposes
from isocenter.web.admission import Admission
from isocenter.web.exchange import DICOMWEB, ROUTE, Exchange, Handler, Receive, Send
from isocenter.web.problems import Problem, as_problem
from isocenter.web.settings import WebSettings

GET, HEAD = "GET", "HEAD"
OPTIONS = "OPTIONS"  # every route answers it

_UIDS = frozenset({"study", "series", "instance"})
_PURPOSE = purposes.FIELD.encode("ascii")
_REFUSALS = (401, 403)


@dataclass(frozen=True, slots=True)
class Route:
    """A path with placeholders, `{name}` for a segment or `{name...}` for the rest at the end.

    What answers GET answers HEAD (RFC 9110 9.3.2): `Exchange` keeps the content back.
    """

    template: str
    handlers: Mapping[str, Handler]
    errors: Callable[[Exchange], None] | None = None
    """Gives errors another form than problem documents, before it is known who asks."""

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


def _untold(exchange: Exchange, problem: Problem) -> None:
    del exchange, problem


class Application:
    """The ASGI application."""

    def __init__(
        self,
        routes: Sequence[Route],
        settings: WebSettings,
        admission: Admission,
        refused: Callable[[Exchange, Problem], None] = _untold,
    ) -> None:
        """`refused` is told who was answered with 401 or 403."""
        self.routes = routes
        self._settings = settings
        self._admission = admission
        self._refused = refused
        self._fixed = {route.template: route for route in routes if "{" not in route.template}
        self._others = [(route.pattern, route) for route in routes if "{" in route.template]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; every error becomes a problem document."""
        exchange = Exchange(scope, receive, send, self._settings)
        try:
            await self._answer(exchange)
        finally:
            if exchange.broken is not None and not exchange.whole:
                await exchange.broken()

    async def _answer(self, exchange: Exchange) -> None:
        try:
            handler = self._handler(exchange)
            exchange.purpose = _purpose(exchange)
            if await self._admission.admits(exchange):
                await handler(exchange)
        except Exception as error:  # noqa: BLE001 - the outermost place: nothing passes unanswered
            if (problem := as_problem(error)).status in _REFUSALS:
                self._refused(exchange, problem)
            await exchange.fail(error)

    def _handler(self, exchange: Exchange) -> Handler:
        path = exchange.scope["path"]
        route = self._fixed.get(path)
        if route is None:
            route = self._find(exchange, path)
        exchange.scope[ROUTE] = route.template
        if route.errors is not None:
            route.errors(exchange)
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


def _purpose(exchange: Exchange) -> str:
    """The header field Purpose-Of-Use. Raises `Invalid`."""
    field = exchange.header(_PURPOSE)
    try:
        return purposes.checked(field.encode("latin-1").decode("utf-8")) if field else ""
    except UnicodeDecodeError as error:
        raise Invalid("Purpose-Of-Use is no text in UTF-8") from error
