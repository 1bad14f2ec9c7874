"""The page by which administrators look after access: people, programs, sessions, and what is
confidential."""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.access import ROLES, Right
from isocenter.core.errors import Conflict, Invalid
from isocenter.runtime.access.administration import (
    AccessAdministration,
    changed_account,
    new_account,
)
from isocenter.runtime.access.tokens import new_token
from isocenter.web.audit_common import base_url
from isocenter.web.exchange import Exchange
from isocenter.web.shell import Shell, View
from isocenter.web.small_bodies import form

ACCESS = "/access"
ACCOUNTS = ACCESS + "/accounts"
ACCOUNT_CHANGED = ACCOUNTS + "/changed"
ACCOUNT_REMOVED = ACCOUNTS + "/removed"
INVITED = ACCOUNTS + "/invited"
TOKENS = ACCESS + "/tokens"
TOKEN_REVOKED = TOKENS + "/revoked"
SESSION_ENDED = ACCESS + "/sessions/ended"
MARKS = ACCESS + "/marks"
MARK_REMOVED = MARKS + "/removed"

_DAYS = 365


class AccessPages:
    """The transactions."""

    def __init__(self, access: AccessAdministration, shell: Shell) -> None:
        self._access = access
        self._shell = shell

    async def shown(self, exchange: Exchange, view: View) -> None:
        """All of it."""
        await self._page(exchange, view)

    async def add(self, exchange: Exchange, view: View) -> None:
        """Make an account; its one-time link is shown once."""
        given = await form(exchange)
        try:
            account = new_account(_one(given, "name"), **_said(given))
            secret = await self._access.add(exchange.asker, account)
        except (Invalid, Conflict) as error:
            await self._page(exchange, view, error=str(error), status=400)
            return
        await self._page(exchange, view, link=f"{base_url(exchange)}/invitation/{secret}")

    async def change(self, exchange: Exchange, view: View) -> None:
        """Say everything about an account anew."""
        given = await form(exchange)
        try:
            before = await self._access.account(exchange.asker, _one(given, "name"))
            disabled = _one(given, "disabled") == "yes"
            account = changed_account(before, **_said(given), disabled=disabled)
            await self._access.change(exchange.asker, account)
        except Invalid as error:
            await self._page(exchange, view, error=str(error), status=400)
            return
        await self._see(exchange, view)

    async def remove(self, exchange: Exchange, view: View) -> None:
        """Forget an account."""
        await self._access.remove(exchange.asker, _one(await form(exchange), "name"))
        await self._see(exchange, view)

    async def invite(self, exchange: Exchange, view: View) -> None:
        """Make a new one-time link."""
        secret = await self._access.invite(exchange.asker, _one(await form(exchange), "name"))
        await self._page(exchange, view, link=f"{base_url(exchange)}/invitation/{secret}")

    async def make_token(self, exchange: Exchange, view: View) -> None:
        """Make a token; it is shown once."""
        given = await form(exchange)
        days = _one(given, "days") or str(_DAYS)
        try:
            if not (days.isascii() and days.isdigit() and len(days) <= 4):
                raise Invalid("days must be a number")
            said = _said(given)
            token, secret = new_token(
                _one(given, "name"),
                said["roles"],
                int(days),
                groups=said["groups"],
                sites=said["sites"],
            )
            shown = await self._access.make_token(exchange.asker, token, secret)
        except Invalid as error:
            await self._page(exchange, view, error=str(error), status=400)
            return
        await self._page(exchange, view, token=shown)

    async def revoke_token(self, exchange: Exchange, view: View) -> None:
        """End a token."""
        await self._access.revoke_token(exchange.asker, _one(await form(exchange), "id"))
        await self._see(exchange, view)

    async def end_session(self, exchange: Exchange, view: View) -> None:
        """End anybody's session."""
        await self._access.end_session(exchange.asker, _one(await form(exchange), "id"))
        await self._see(exchange, view)

    async def mark(self, exchange: Exchange, view: View) -> None:
        """Mark a patient or a study as confidential."""
        given = dict(await form(exchange))
        try:
            await self._access.mark(exchange.asker, given)
        except Invalid as error:
            await self._page(exchange, view, error=str(error), status=400)
            return
        await self._see(exchange, view)

    async def unmark(self, exchange: Exchange, view: View) -> None:
        """Take a mark off."""
        await self._access.unmark(exchange.asker, _one(await form(exchange), "name"))
        await self._see(exchange, view)

    async def _see(self, exchange: Exchange, view: View) -> None:
        await exchange.answer(303, [(b"location", view.link(ACCESS).encode("ascii"))])

    async def _page(
        self,
        exchange: Exchange,
        view: View,
        *,
        error: str = "",
        status: int = 200,
        link: str = "",
        token: str = "",
    ) -> None:
        asker = exchange.asker
        context = {
            "page": "access",
            "caller": exchange.caller,
            "error": error,
            "link_made": link,
            "token_made": token,
            "accounts": await self._access.accounts(asker),
            "tokens": await self._access.tokens(asker),
            "sessions": await self._access.sessions(asker),
            "marks": await self._access.marks(asker),
            "marking": Right.MARK in exchange.caller.rights,
            "roles": list(ROLES),
            "days": _DAYS,
        }
        await self._shell.answer(exchange, view, "access.html", context, status)


def _one(given: list[tuple[str, str]], name: str) -> str:
    return dict(given).get(name, "").strip()


def _said(given: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Roles are boxes that are checked; groups and sites words."""
    words: Mapping[str, str] = dict(given)
    return {
        "roles": [value for name, value in given if name == "role"],
        "groups": words.get("groups", "").split(),
        "sites": words.get("sites", "").split(),
    }
