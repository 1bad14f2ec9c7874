"""Sign-in by the identity provider: there and back again.

What belongs to a sign-in under way is kept by the browser alone, in a cookie for ten minutes: an
answer counts only in the browser that asked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, replace

import orjson

from isocenter.core.errors import (
    IsocenterError,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.oidc import Flow, Grant, IdentityProvider
from isocenter.runtime.audit_log import AuditLog
from isocenter.web import cookies
from isocenter.web.admission import NEXT, SIGN_IN
from isocenter.web.audit_common import base_url
from isocenter.web.exchange import Exchange
from isocenter.web.problems import Problem, as_problem
from isocenter.web.shell import View, headers_of
from isocenter.web.sign_in import SignInPages, browser_of, wanted_of

BEGIN = SIGN_IN + "/provider"
ANSWER = SIGN_IN + "/answer"

_FLOW_SECONDS = 600
_WHY: Mapping[type[IsocenterError], tuple[str, int]] = {  # nobody is in: what is said, the status
    Unavailable: ("signin.away", 503),
    Refused: ("signin.refused", 403),
    Unauthenticated: ("signin.stale", 403),
}


class ProviderPages:
    """The transactions."""

    def __init__(self, doors: Doors, audit_log: AuditLog, pages: SignInPages) -> None:
        self._doors = doors
        self._audit_log = audit_log
        self._pages = pages

    async def begin(self, exchange: Exchange, view: View) -> None:
        """Send the browser there."""
        flow = Flow.new()
        wanted = wanted_of(dict(view.query).get(NEXT, ""))
        try:
            address = await self._provider().address(flow, _answer_at(exchange))
        except Unavailable as error:
            problem = as_problem(error)
            await self._pages.form(exchange, view, wanted, why="signin.away", problem=problem)
            return
        kept = orjson.dumps({**asdict(flow), NEXT: wanted})
        value = base64.urlsafe_b64encode(kept).decode("ascii")
        headers = [(b"location", address.encode("ascii")), (b"cache-control", b"no-store")]
        await exchange.answer(303, [*headers, cookies.flow_kept(exchange, value, _FLOW_SECONDS)])

    async def answer(self, exchange: Exchange, view: View) -> None:
        """Begin a session of whoever the provider names."""
        wanted = ""
        try:
            flow, wanted = _flow_of(exchange)
            grant = await self._provider().grant(flow, dict(view.query), _answer_at(exchange))
            await self._is_nobody_here(grant)
        except IsocenterError as error:
            failed = AuditOutcome.FAILURE
            await self._audit_log.record(
                AuditAction.SIGN_IN, exchange.source, outcome=failed,
                detail="sign-in by the identity provider refused", error=str(error),
            )  # fmt: skip
            await self._refused(exchange, view, error, wanted)
            return
        by = replace(exchange.source, user=grant.person.name)
        await self._audit_log.record(
            AuditAction.SIGN_IN, by, detail="signed in by the identity provider"
        )
        if exchange.session is not None:
            await self._doors.sessions.end(exchange.session.id)
        secret = await self._doors.sessions.begin_federated(
            grant, by.host, browser_of(exchange), by
        )
        headers = [
            *headers_of(view),
            (b"location", f"{view.root}{wanted}".encode("ascii", "ignore")),
            cookies.kept(exchange, secret),
            cookies.flow_forgotten(exchange),
        ]
        await exchange.answer(303, headers)

    async def _refused(
        self, exchange: Exchange, view: View, error: IsocenterError, wanted: str
    ) -> None:
        """Nobody comes in, and what the browser keeps of the attempt is forgotten."""
        told = as_problem(error)
        why, status = _WHY.get(type(error), ("", told.status))
        headers = [*told.headers, cookies.flow_forgotten(exchange)]
        problem = Problem(status, told.detail, headers)
        if not why:
            raise problem from error
        await self._pages.form(exchange, view, wanted_of(wanted), why=why, problem=problem)

    def _provider(self) -> IdentityProvider:
        if self._doors.provider is None:
            raise NotFound("there is no identity provider here", fix="see [access.oidc]")
        return self._doors.provider

    async def _is_nobody_here(self, grant: Grant) -> None:
        """Nobody becomes, by a name, somebody who has an account here."""
        if self._doors.local_accounts and await self._doors.accounts.find(grant.person.name):
            raise Refused("an account here has the same name; its owner signs in with it")


def _answer_at(exchange: Exchange) -> str:
    return base_url(exchange) + ANSWER


def _flow_of(exchange: Exchange) -> tuple[Flow, str]:
    try:
        kept = orjson.loads(base64.urlsafe_b64decode(cookies.flow(exchange)))
        flow = Flow(str(kept["state"]), str(kept["nonce"]), str(kept["verifier"]))
        return flow, wanted_of(str(kept[NEXT]))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise Unauthenticated(
            "this is no answer to a sign-in of this browser", fix="sign in again"
        ) from error
