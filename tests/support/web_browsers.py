"""The web role with real doors, and browsers in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from isocenter.core.events import Source
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.oidc_settings import OidcSettings
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.tokens import new_token
from isocenter.web.settings import WebSettings
from support.issuer import OIDC, Issuer
from support.web_fakes import Web

PASSWORD, ANOTHER = "three unrelated words of it", "four other words that fit"
HERE = "https://pacs.test"
BY = Source(protocol="test")
SESSION, FLOW = "__Host-isocenter", "__Host-isocenter-flow"


def guarded(
    issuer: Issuer | None = None, oidc: OidcSettings = OIDC, **settings: Any
) -> tuple[Web, Doors]:
    """`settings` are those of access."""
    web = Web(settings=WebSettings(port=0))
    provider = issuer.provider(oidc) if issuer else None
    doors = Doors.of(web.records, AccessSettings(**settings), provider=provider)
    web.doors = doors
    return web, doors


async def account(doors: Doors, name: str = "eva", roles: Sequence[str] = ("viewer",)) -> Account:
    """Somebody with the password."""
    made = Account(name=name, roles=tuple(roles))
    kept = await doors.accounts.with_password(made, PASSWORD)
    await doors.accounts.keep(kept, BY)
    return kept


async def token(doors: Doors, *roles: str) -> str:
    """What a program shows."""
    return await doors.tokens.make(*new_token("robot", roles, 1), BY)


@asynccontextmanager
async def browser(web: Web, here: str = HERE) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that shows no page by itself, and says that it was led by our own."""
    transport = httpx.ASGITransport(web.application)  # type: ignore[arg-type]
    headers = {"sec-fetch-site": "same-origin", "accept": "text/html", "accept-language": "en"}
    async with httpx.AsyncClient(transport=transport, base_url=here, headers=headers) as client:
        yield client


async def sign_in(client: httpx.AsyncClient, name: str = "eva", **more: str) -> httpx.Response:
    """By the form."""
    return await client.post("/sign-in", data={"name": name, "password": PASSWORD, **more})
