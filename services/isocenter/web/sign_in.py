"""The pages by which people come in and go: sign-in, sign-out, and the one-time link."""

from __future__ import annotations

from dataclasses import replace

from isocenter.core.errors import Invalid, IsocenterError, NotFound, Refused, TooMany
from isocenter.core.events import AuditAction
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.passwords import LONGEST, SHORTEST
from isocenter.runtime.access.signing_in import SigningIn
from isocenter.runtime.audit_log import AuditLog
from isocenter.web import cookies
from isocenter.web.admission import NEXT, SIGN_IN
from isocenter.web.audit_common import base_url
from isocenter.web.exchange import Exchange
from isocenter.web.problems import Problem, as_problem
from isocenter.web.shell import Shell, View, headers_of
from isocenter.web.small_bodies import form

SIGN_OUT = "/sign-out"
INVITATION = "/invitation/{secret}"

_HOME = "/viewer/"
_NOT_WANTED = ("//", SIGN_IN, SIGN_OUT)  # the first names a host (RFC 3986 4.2)
_BROWSER = 200  # characters of what a browser calls itself


class SignInPages:
    """The transactions."""

    def __init__(self, doors: Doors, audit_log: AuditLog, shell: Shell) -> None:
        self._doors = doors
        self._audit_log = audit_log
        self._signing_in = SigningIn(doors, audit_log)
        self._shell = shell

    async def shown(self, exchange: Exchange, view: View) -> None:
        """The form."""
        was_here = cookies.session(exchange) and exchange.session is None
        why = "signin.over" if was_here else ""
        await self.form(exchange, view, wanted_of(dict(view.query).get(NEXT, "")), why=why)

    async def sign_in(self, exchange: Exchange, view: View) -> None:
        """Begin a session, and go on to the page that was wanted."""
        if not self._doors.local_accounts:
            raise Refused("people sign in by the identity provider here")
        given = dict(await form(exchange))
        wanted = wanted_of(given.get(NEXT, ""))
        name = given.get("name", "")
        try:
            secret = await self._signing_in.sign_in(
                name,
                given.get("password", ""),
                given.get("code", ""),
                browser_of(exchange),
                exchange.source,
            )
        except (Refused, TooMany) as error:
            many = isinstance(error, TooMany)
            why = "signin.too_many" if many else "signin.wrong"
            await self.form(exchange, view, wanted, name, why, as_problem(error))
            return
        await self._enter(exchange, view, secret, wanted)

    async def sign_out(self, exchange: Exchange, view: View) -> None:
        """End the session, and whatever this browser keeps of us. Whom the identity provider knows
        signs out there too, by a page: a form leads to no other site (CSP 3 6.4.2)."""
        await form(exchange)
        if exchange.session is not None:
            await self._signing_in.sign_out(exchange.session, exchange.source)
        headers = [cookies.forgotten(exchange), (b"clear-site-data", b'"cache", "storage"')]
        there = await self._farewell(exchange)
        if there:  # by a page, since what a form leads to must not leave us (`shell.POLICY`)
            context = {"page": "", "caller": None, "there": there}
            headers.append((b"refresh", f"0; url={there}".encode("ascii")))
            await self._shell.answer(exchange, view, "farewell.html", context, headers=headers)
            return
        location = (b"location", view.link(SIGN_IN).encode("ascii"))
        await exchange.answer(303, [location, *headers])

    async def _farewell(self, exchange: Exchange) -> str:
        """Where whom the identity provider knows signs out there too; empty for all others."""
        session, provider = exchange.session, self._doors.provider
        if session is None or session.session.federated is None or provider is None:
            return ""
        secret = cookies.session(exchange)
        try:
            id_token = self._doors.sessions.id_token(secret, session.session)
            return await provider.farewell(id_token, base_url(exchange) + SIGN_IN)
        except IsocenterError:
            return ""  # it is away; the session here is over all the same

    # --- one-time links --------------------------------------------------------------------------

    async def invited(self, exchange: Exchange, view: View) -> None:
        """The form for the first password, or for another one."""
        try:
            account = await self._doors.accounts.invited(exchange.path["secret"])
        except NotFound:
            await self._over(exchange, view)
            return
        await self._password_form(exchange, view, account.name)

    async def accept(self, exchange: Exchange, view: View) -> None:
        """Set the password and sign in, unless there is a second factor."""
        secret = exchange.path["secret"]
        given = dict(await form(exchange))
        try:
            account = await self._doors.accounts.invited(secret)
        except NotFound:
            await self._over(exchange, view)
            return
        try:
            if given.get("password", "") != given.get("again", ""):
                raise Invalid("the two are not the same")
            by = replace(exchange.source, user=account.name)
            await self._audit_log.record(
                AuditAction.SECURITY, by, detail=f"account {account.name}: password set by link"
            )
            account = await self._doors.accounts.accept(secret, given.get("password", ""), by)
        except Invalid as error:
            await self._password_form(exchange, view, account.name, str(error), 400)
            return
        except NotFound:  # somebody else was faster
            await self._over(exchange, view)
            return
        if account.factor:  # which a link does not stand in for
            location = (b"location", view.link(SIGN_IN).encode("ascii"))
            await exchange.answer(303, [location])
            return
        session = await self._signing_in.begin(account, browser_of(exchange), exchange.source)
        await self._enter(exchange, view, session, _HOME)

    async def _password_form(
        self, exchange: Exchange, view: View, name: str, error: str = "", status: int = 200
    ) -> None:
        context = {
            "page": "",
            "name": name,
            "error": error,
            "shortest": SHORTEST,
            "longest": LONGEST,
            "caller": None,
        }
        await self._shell.answer(exchange, view, "invitation.html", context, status)

    async def _over(self, exchange: Exchange, view: View) -> None:
        context = {
            "page": "",
            "caller": None,
            "title": "invitation.over_title",
            "why": "invitation.over",
            "signing_in": True,
        }
        await self._shell.answer(exchange, view, "over.html", context, 404)

    # --- what they share -------------------------------------------------------------------------

    async def form(
        self,
        exchange: Exchange,
        view: View,
        wanted: str,
        name: str = "",
        why: str = "",
        problem: Problem | None = None,
    ) -> None:
        """The form, with why somebody is not in."""
        context = {
            "page": "",
            "provider": self._doors.provider is not None,
            "local": self._doors.local_accounts,
            "wanted": wanted,
            "name": name,
            "why": why,
            "caller": exchange.caller if exchange.session else None,
        }
        status, headers = (problem.status, problem.headers) if problem else (200, ())
        await self._shell.answer(exchange, view, "sign_in.html", context, status, headers)

    async def _enter(self, exchange: Exchange, view: View, secret: str, wanted: str) -> None:
        """A session of before ends: nobody can have given it to the browser (session fixation)."""
        if exchange.session is not None:
            await self._doors.sessions.end(exchange.session.id)
        location = f"{view.root}{wanted}".encode("ascii", "ignore")
        headers = [(b"location", location), cookies.kept(exchange, secret)]
        await exchange.answer(303, [*headers_of(view), *headers])


def browser_of(exchange: Exchange) -> str:
    """What a browser calls itself, for people."""
    told = exchange.header(b"user-agent")
    return "".join(char for char in told if char.isprintable())[:_BROWSER]


def wanted_of(address: str) -> str:
    """A path of ours to go on to: nothing that leads elsewhere."""
    plain = address.isascii() and address.isprintable() and not set(" \\") & set(address)
    if not plain or not address.startswith("/") or address.startswith(_NOT_WANTED):
        return _HOME
    return address
