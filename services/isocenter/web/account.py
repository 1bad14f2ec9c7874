"""The page of one's own account: sessions, password, second factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pyotp
import segno
from markupsafe import Markup

from isocenter.core.errors import Invalid, NotFound, Refused
from isocenter.runtime.access.own_account import OwnAccount, is_factor
from isocenter.runtime.access.passwords import LONGEST, SHORTEST
from isocenter.runtime.access.sessions import id_of
from isocenter.web import cookies
from isocenter.web.exchange import Exchange
from isocenter.web.shell import Shell, View
from isocenter.web.sign_in import browser_of
from isocenter.web.small_bodies import form

ACCOUNT = "/account"
PASSWORD = ACCOUNT + "/password"
FACTOR = ACCOUNT + "/factor"
NO_FACTOR = ACCOUNT + "/factor/removed"
SESSION = ACCOUNT + "/sessions/ended"

_ISSUER = "Isocenter"


class AccountPages:
    """The transactions."""

    def __init__(self, own: OwnAccount, shell: Shell) -> None:
        self._own = own
        self._shell = shell

    async def shown(self, exchange: Exchange, view: View) -> None:
        """All of it."""
        await self._page(exchange, view)

    async def password(self, exchange: Exchange, view: View) -> None:
        """Set another password; other sessions end, and this one begins anew."""
        given = dict(await form(exchange))
        try:
            if given.get("password", "") != given.get("again", ""):
                raise Invalid("the two are not the same")
            secret = await self._own.set_password(
                exchange.asker,
                exchange.session,
                given.get("current", ""),
                given.get("password", ""),
                browser_of(exchange),
            )
        except (Invalid, Refused) as error:
            await self._page(exchange, view, error=str(error), status=400)
            return
        await self._again(exchange, view, secret)

    async def begin_factor(self, exchange: Exchange, view: View) -> None:
        """Show a new secret, to be taken over by an authenticator."""
        factor = await self._own.new_factor(exchange.asker, exchange.session)
        await self._page(exchange, view, more=_shown(factor, exchange.caller.name))

    async def set_factor(self, exchange: Exchange, view: View) -> None:
        """Take it, once a code of it was right; the recovery codes are shown once."""
        given = dict(await form(exchange))
        factor = given.get("factor", "")
        try:
            codes, secret = await self._own.set_factor(
                exchange.asker,
                exchange.session,
                given.get("current", ""),
                factor,
                given.get("code", ""),
                browser_of(exchange),
            )
        except (Invalid, Refused) as error:
            told = _shown(factor, exchange.caller.name) if is_factor(factor) else {}
            await self._page(exchange, view, error=str(error), status=400, more=told)
            return
        kept = cookies.kept(exchange, secret)
        more = {"codes": codes, "here": id_of(secret)}
        await self._page(exchange, view, headers=[kept], more=more)

    async def drop_factor(self, exchange: Exchange, view: View) -> None:
        """Sign in with the password alone from now on."""
        given = dict(await form(exchange))
        try:
            secret = await self._own.drop_factor(
                exchange.asker, exchange.session, given.get("current", ""), browser_of(exchange)
            )
        except Refused as error:
            await self._page(exchange, view, error=str(error), status=400)
            return
        await self._again(exchange, view, secret)

    async def end_session(self, exchange: Exchange, view: View) -> None:
        """End one of one's own sessions."""
        given = dict(await form(exchange))
        await self._own.end_session(exchange.asker, given.get("id", ""))
        await exchange.answer(303, [(b"location", view.link(ACCOUNT).encode("ascii"))])

    async def _again(self, exchange: Exchange, view: View, secret: str) -> None:
        location = (b"location", view.link(ACCOUNT).encode("ascii"))
        await exchange.answer(303, [location, cookies.kept(exchange, secret)])

    async def _page(
        self,
        exchange: Exchange,
        view: View,
        *,
        error: str = "",
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (),
        more: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        try:
            account = await self._own.account(exchange.asker)
        except NotFound:
            account = None  # of the identity provider, or the operator of the machine
        context = {
            "page": "account",
            "caller": exchange.caller,
            "account": account,
            "sessions": await self._own.sessions(exchange.asker),
            "here": exchange.session.id if exchange.session else "",
            "error": error,
            "shortest": SHORTEST,
            "longest": LONGEST,
            "factor": "",
            "picture": "",
            "codes": (),
            **more,
        }
        await self._shell.answer(exchange, view, "account.html", context, status, headers)


def _shown(factor: str, name: str) -> Mapping[str, object]:
    """A secret for people and for cameras."""
    address = pyotp.TOTP(factor).provisioning_uri(name=name, issuer_name=_ISSUER)
    svg = segno.make(address, error="m").svg_inline(scale=4, dark="#000", light="#fff")
    return {"factor": factor, "picture": Markup(svg)}  # noqa: S704 - made by us
