"""The web role behind its real doors, and browsers of people who have signed in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any

import httpx

from isocenter.core.access_api import Guard
from isocenter.core.events import Source
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.settings import AccessSettings
from isocenter.web.services import Services
from support.web_fakes import Web

PASSWORD = "seven unrelated words of somebody"
BY = Source("CLI", host="localhost", user="test")
_ORIGIN = "http://pacs.test"


@dataclass
class ClosedWeb(Web):
    """Nobody is known before they sign in."""

    access: AccessSettings = field(default_factory=AccessSettings)
    rules: Guard | None = None  # that of a policy; without: everybody may what their role allows

    def __post_init__(self) -> None:
        super().__post_init__()
        self.guard = self.rules or self.guard  # type: ignore[assignment]
        self.doors = Doors.of(self.records, self.access)

    @property
    def services(self) -> Services:
        return replace(super().services, doors=self.doors)

    async def account(self, name: str, *roles: str, **fields: Any) -> str:
        """Somebody who has no password yet; the path of the one-time link."""
        account = Account(name=name, roles=roles, **fields)
        await self.doors.accounts.keep(account, BY)
        return f"/invitation/{await self.doors.accounts.invite(name, BY)}"

    @asynccontextmanager
    async def browser(self, cookies: Mapping[str, str] | None = None) -> AsyncIterator[Browser]:
        """One that shows nothing, or these cookies."""
        async with self.client() as client:
            client.cookies = httpx.Cookies(dict(cookies or {}))
            client.headers["origin"] = _ORIGIN
            yield Browser(client)

    @asynccontextmanager
    async def person(self, name: str, *roles: str, **fields: Any) -> AsyncIterator[Browser]:
        """The browser of somebody who has just set a password."""
        link = await self.account(name, *roles, **fields)
        async with self.browser() as browser:
            answer = await browser.post(link, password=PASSWORD, again=PASSWORD)
            assert answer.status_code == 303, answer.text
            yield browser


@dataclass(frozen=True, slots=True)
class Browser:
    """Sends forms, and follows no redirection."""

    client: httpx.AsyncClient

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.client.get(path, params=query)

    async def post(self, path: str, **form: str) -> httpx.Response:
        return await self.client.post(path, data=form)


def shown(answer: httpx.Response) -> str:
    """What people read of a page."""
    text = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(text))
