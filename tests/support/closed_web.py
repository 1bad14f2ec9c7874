"""The web role behind its real doors: people with accounts, programs with tokens, and what they ask
with."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import unescape
from typing import Any

import httpx

from isocenter.core.access_api import Guard
from isocenter.core.events import Source
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.tokens import new_token
from isocenter.runtime.fair_use import FairUse
from isocenter.runtime.limits import LimitSettings
from isocenter.web.role import application
from isocenter.web.routes import Application
from isocenter.web.services import Services
from support.access_rig import PASSWORD
from support.issuer import Issuer
from support.web_fakes import Web

HERE = "https://pacs.test"
SESSION = "__Host-isocenter"  # the cookie of a session, where TLS is
BY = Source("CLI", host="localhost", user="test")
OFTEN = LimitSettings(address_requests_per_second=0)  # strangers may ask as often as they like
PAGES = {"accept": "text/html", "accept-language": "en"}  # of a browser that shows what it is sent


class Browser(httpx.AsyncClient):
    """Keeps cookies, and follows no redirection."""

    async def fill(self, path: str, **form: str) -> httpx.Response:
        """Send a form."""
        return await self.post(path, data=form)

    async def sign_in(
        self, name: str = "eva", password: str = PASSWORD, **more: str
    ) -> httpx.Response:
        """By the form."""
        return await self.fill("/sign-in", name=name, password=password, **more)


@dataclass
class ClosedWeb(Web):
    """Nobody is known before they sign in. `now` is what limits take for the time."""

    access: AccessSettings = field(default_factory=AccessSettings)
    rules: Guard | None = None  # that of a policy; without: everybody may what their role allows
    issuer: Issuer | None = None  # the identity provider
    now: float = 1000.0
    doors: Doors = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.guard = self.rules or self.guard  # type: ignore[assignment]
        provider = self.issuer.provider() if self.issuer else None
        self.doors = Doors.of(self.records, self.access, self.telemetry, provider=provider)
        self.fair_use = FairUse(self.limits, self.telemetry, lambda: self.now)

    @property
    def services(self) -> Services:
        return replace(super().services, fair_use=self.fair_use)

    @cached_property
    def application(self) -> Application:
        """One for everybody who asks."""
        return application(self.settings, self.services, lambda: self.problems)

    # --- people and programs ---------------------------------------------------------------------

    async def account(self, name: str = "eva", *roles: str, **fields: Any) -> Account:
        """Somebody with the password, who is a viewer if nothing else is said."""
        made = Account(name=name, roles=roles or ("viewer",), **fields)
        account = await self.doors.accounts.with_password(made, PASSWORD)
        await self.doors.accounts.keep(account, BY)
        return account

    async def invited(self, name: str, *roles: str, **fields: Any) -> str:
        """Somebody who has no password yet; the path of the one-time link."""
        await self.doors.accounts.keep(Account(name=name, roles=roles, **fields), BY)
        return f"/invitation/{await self.doors.accounts.invite(name, BY)}"

    async def token(self, name: str = "robot", **fields: Any) -> str:
        """What a program shows, which may all that integrators may."""
        return await self.doors.tokens.make(*new_token(name, ("integrator",), 1, **fields), BY)

    # --- what they ask with ----------------------------------------------------------------------

    def from_address(
        self, address: str, headers: Mapping[str, str] | None = None, *, here: str = HERE
    ) -> Browser:
        """A client there, which sends nothing by itself but these header fields."""
        transport = httpx.ASGITransport(self.application, client=(address, 50000))
        return Browser(transport=transport, base_url=here, headers=headers)

    def browser(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        here: str = HERE,
        cookies: Mapping[str, str] | None = None,
    ) -> Browser:
        """One that shows nothing, or these cookies, and says that it was led by our own pages."""
        led = {"sec-fetch-site": "same-origin", **(headers or {})}
        browser = self.from_address("127.0.0.1", led, here=here)
        browser.cookies = httpx.Cookies(dict(cookies or {}))
        return browser

    @asynccontextmanager
    async def person(self, name: str, *roles: str, **fields: Any) -> AsyncIterator[Browser]:
        """The browser of somebody who has just set a password."""
        link = await self.invited(name, *roles, **fields)
        async with self.browser() as browser:
            answer = await browser.fill(link, password=PASSWORD, again=PASSWORD)
            assert answer.status_code == 303, answer.text
            yield browser


def bearer(token: str) -> dict[str, str]:
    """The header fields that show a token."""
    return {"authorization": f"Bearer {token}"}


def shown(answer: httpx.Response) -> str:
    """What people read of a page."""
    text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(text))
