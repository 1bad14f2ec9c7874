"""Finds out who asks, and lets in whoever may: before any handler sees a request.

Programs show a token in the Authorization header field (RFC 6750 2.1), browsers the cookie of their
session. What a browser is made to send by a page of another site is not done in anybody's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from isocenter.core.access import NOBODY, Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.errors import Refused, Unauthenticated
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.addresses import names_this_machine
from isocenter.runtime.fair_use import FairUse
from isocenter.web import cookies
from isocenter.web.exchange import ROUTE, Exchange
from isocenter.web.health import PROBES
from isocenter.web.operation import Door, Operation
from isocenter.web.problems import Problem

SIGN_IN = "/sign-in"
NEXT = "next"  # the parameter with the address that somebody wanted

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER = "bearer "

Operations = Mapping[str, Mapping[str, Operation]]


@dataclass(frozen=True, slots=True)
class Admission:
    """The doorkeeper."""

    doors: Doors
    guard: Guard
    fair_use: FairUse
    operations: Operations

    def comes(self, exchange: Exchange) -> None:
        """A request arrives, to whatever it may be. Raises `TooMany`."""
        if exchange.scope["path"] not in PROBES:
            exchange.visit = self.fair_use.visit()
            shown = exchange.header(b"authorization") or cookies.session(exchange)
            exchange.visit.come(exchange.host, shown)

    async def admits(self, exchange: Exchange) -> bool:
        """Whether the handler may answer; if not, this has answered. Raises `Unauthenticated`,
        `Refused`, `TooMany`, and the 403 `Problem` of `from_here`."""
        if exchange.visit is not None:
            await self._identify(exchange, exchange.visit.shown)
            exchange.visit.of(exchange.caller)
        needs = self._needs(exchange)
        if needs is Door.OPEN:
            return True
        if exchange.caller is NOBODY:
            if _is_page(exchange):
                await _to_sign_in(exchange)
                return False
            raise Unauthenticated("it is not known who asks", fix="sign in, or send a token")
        if isinstance(needs, Right):
            self.guard.require(exchange.caller, needs)
        return True

    def _needs(self, exchange: Exchange) -> Right | Door:
        """What the table says. Raises `Refused` where it says nothing; but which methods there are
        may be asked by anybody."""
        method = exchange.scope["method"]
        operation = self.operations.get(exchange.scope[ROUTE], {}).get(method)
        needs = operation.needs if operation else None
        if needs is None and method == "OPTIONS":
            return Door.OPEN
        if needs is None:
            raise Refused("it is not said who may do this")
        return needs

    async def _identify(self, exchange: Exchange, shown: str) -> None:
        if exchange.header(b"authorization"):
            if shown[: len(_BEARER)].lower() != _BEARER:
                raise Unauthenticated("only tokens are taken here", fix="send Bearer and a token")
            exchange.caller = await self.doors.by_bearer(shown[len(_BEARER) :].strip())
            return
        if shown:
            exchange.session = self.doors.held_session(shown)
            if exchange.session is None:
                exchange.session = await self.doors.by_session(shown, exchange.source)
        if exchange.session is not None:
            exchange.caller = exchange.session.caller
        else:
            exchange.caller = self._by_address(exchange)
        if exchange.scope["method"] not in SAFE:
            from_here(exchange)

    def _by_address(self, exchange: Exchange) -> Caller:
        """Of who shows nothing. A name that is not this machine's may be one that a page of another
        site had its name server say (DNS rebinding)."""
        if not _is_of_this_machine(exchange.header(b"host")):
            return NOBODY
        return self.doors.by_address(exchange.source.host)


def from_here(exchange: Exchange) -> None:
    """Raises the 403 `Problem` for a request that a page of another site makes a browser send.

    Browsers say where a request comes from: Sec-Fetch-Site (Fetch Metadata), or else Origin (Fetch
    3.2), which every POST has. Programs say neither, and have no cookies that could be abused.
    """
    site = exchange.header(b"sec-fetch-site")
    if site:
        foreign = site not in ("same-origin", "none")
    else:
        origin = exchange.header(b"origin")
        foreign = bool(origin) and origin != "{0.scheme}://{0.netloc}".format(
            urlsplit(exchange.root)
        )
    if foreign:
        raise Problem(403, "this is asked for by a page of another site; open our own page")


def _is_page(exchange: Exchange) -> bool:
    """Whether a browser opens this as a page."""
    if exchange.scope["method"] not in ("GET", "HEAD"):
        return False
    mode = exchange.header(b"sec-fetch-mode")
    return mode == "navigate" or (not mode and "text/html" in exchange.header(b"accept"))


async def _to_sign_in(exchange: Exchange) -> None:
    path, query = exchange.scope["path"], exchange.scope["query_string"].decode("latin-1")
    wanted = quote(path + (f"?{query}" if query else ""), safe="")
    root = urlsplit(exchange.root).path.removesuffix("/dicomweb")
    location = f"{root}{SIGN_IN}?{NEXT}={wanted}".encode("ascii")
    await exchange.answer(303, [(b"location", location), (b"cache-control", b"no-store")])


def _is_of_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return names_this_machine(name)
