"""The web role's application on fakes, behind doors that are shut: who asks has to say who they
are, from an address that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from isocenter.core.events import Source
from isocenter.runtime.access import passwords
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.tokens import new_token
from isocenter.runtime.fair_use import FairUse
from isocenter.runtime.limits import LimitSettings
from isocenter.web.services import Services
from support.web_fakes import Web

BY = Source("CLI", user="tester")
PASSWORD = "correct horse battery staple 7"


def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2id at the least cost there is."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)


@dataclass
class GuardedWeb(Web):
    """It; `now` is what its limits take for the time."""

    access: AccessSettings = field(default_factory=AccessSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    now: float = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.doors = Doors.of(self.records, self.access, self.telemetry)
        self.fair_use = FairUse(self.limits, self.telemetry, lambda: self.now)
        self.served = self.application

    @property
    def services(self) -> Services:
        return replace(super().services, doors=self.doors, fair_use=self.fair_use)

    def from_address(self, address: str, **more: Any) -> httpx.AsyncClient:
        """A client there."""
        transport = httpx.ASGITransport(self.served, client=(address, 50000))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://pacs.test", **more)

    async def account(self, name: str, **more: Any) -> Account:
        """Somebody with the password."""
        account = await self.doors.accounts.with_password(
            Account(name=name, roles=("viewer",), **more), PASSWORD
        )
        await self.doors.accounts.keep(account, BY)
        return account

    async def token(self, name: str, **more: Any) -> str:
        """One of a program."""
        token, secret = new_token(name, ("integrator",), 1, **more)
        return await self.doors.tokens.make(token, secret, BY)


def bearer(token: str) -> dict[str, str]:
    """The header fields that show a token."""
    return {"authorization": f"Bearer {token}"}


async def signing_in(client: httpx.AsyncClient, name: str, password: str, code: str = "") -> int:
    """The status that a sign-in is answered with."""
    form = {"name": name, "password": password, "code": code}
    return (await client.post("/sign-in", data=form)).status_code
