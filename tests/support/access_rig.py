"""Accounts, sessions, tokens and links over memory: what one process of an installation has of
access, and a clock that can be moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any

import pytest
from argon2 import PasswordHasher

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import Caller, Policy
from isocenter.core.access_api import Asker, Guard
from isocenter.core.events import Source
from isocenter.core.ports import BlobInfo, Buffer
from isocenter.runtime import named_records
from isocenter.runtime.access import (
    accounts,
    administration,
    attempts,
    links,
    own_account,
    passwords,
    sessions,
    sharing,
    tokens,
)
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.administration import AccessAdministration
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.marks import MarkRecords
from isocenter.runtime.access.own_account import OwnAccount
from isocenter.runtime.access.sessions import KnownSession
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.sharing import Sharing
from isocenter.runtime.access.signing_in import SigningIn
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.policies import person
from support.web_fakes import FakeAudit

PASSWORD = "correct horse battery staple 7"
ANOTHER = "staple battery horse correct 8"
BROWSER = "Firefox"
HERE = Source("DICOMweb", "192.0.2.7")
THERE = Source("DICOMweb", "198.51.100.9")

_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def kept(secret: str = PASSWORD) -> str:
    """What might be kept of a password or passcode: at hardly any cost, which is told with it."""
    return _CHEAP.hash(secret)


def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on all are kept and compared at that cost."""
    monkeypatch.setattr(passwords, "_hasher", lambda: _CHEAP)


def asker(*roles: str, name: str = "ada", source: Source = HERE, **more: Any) -> Asker:
    """Somebody of these roles."""
    return Asker(person(*roles, name=name, **more), replace(source, user=name))


class SharedBlobs(MemoryBlobs):
    """Others get their turn at every call, as with a store behind a network."""

    def contents(self) -> Mapping[str, bytes]:
        return {key: content for key, (content, _) in self._blobs.items()}

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        await asyncio.sleep(0)
        await super().put(key, data, digest)
        await asyncio.sleep(0)

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        await super().delete(key)

    async def stream(
        self, key: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        async for chunk in super().stream(key, offset, length):
            yield chunk

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        await asyncio.sleep(0)
        async for info in super().list(prefix, after):
            yield info


@dataclass
class Access:
    """The access of one process."""

    blobs: SharedBlobs = field(default_factory=SharedBlobs)
    audit: FakeAudit = field(default_factory=FakeAudit)
    settings: AccessSettings = field(default_factory=AccessSettings)
    guard: Guard = field(default_factory=lambda: PolicyGuard(Policy))

    def another(self, follow_seconds: float = 0.02) -> Access:
        """Another process of the same installation."""
        settings = self.settings.model_copy(update={"follow_seconds": follow_seconds})
        return Access(self.blobs, FakeAudit(), settings, self.guard)

    @cached_property
    def storage(self) -> StorageService:
        return StorageService(
            blobs=self.blobs, settings=StorageSettings(), guard=PolicyGuard(Policy)
        )

    @cached_property
    def doors(self) -> Doors:
        return Doors.of(self.storage, self.settings)

    @property
    def signing_in(self) -> SigningIn:
        return SigningIn(self.doors, self.audit)  # type: ignore[arg-type]

    @property
    def own(self) -> OwnAccount:
        return OwnAccount(self.doors, self.audit)  # type: ignore[arg-type]

    @property
    def sharing(self) -> Sharing:
        return Sharing(self.doors, self.guard, self.audit)  # type: ignore[arg-type]

    @property
    def administration(self) -> AccessAdministration:
        marked = MarkRecords(self.storage)
        return AccessAdministration(self.doors, self.guard, self.audit, marked)  # type: ignore[arg-type]

    @property
    def recorded(self) -> list[str]:
        """What the audit trail was told, in order."""
        return [fields["detail"] for _, fields in self.audit.records]

    # --- people ----------------------------------------------------------------------------------

    async def account(self, name: str, *roles: str, **more: Any) -> Account:
        """Somebody with a password, who is a viewer if nothing else is said."""
        made = Account(name=name, roles=roles or ("viewer",), **{"password": kept(), **more})
        await self.doors.accounts.keep(made, HERE)
        return made

    async def sign_in(
        self, name: str, password: str = PASSWORD, code: str = "", by: Source = HERE
    ) -> str:
        return await self.signing_in.sign_in(name, password, code, BROWSER, by)

    async def signed_in(self, name: str, *roles: str, **more: Any) -> str:
        """The secret of a session of somebody new."""
        account = await self.account(name, *roles, **more)
        return await self.signing_in.begin(account, BROWSER, HERE)

    async def set_factor(
        self, who: Asker, session: KnownSession | None, factor: str, code: str
    ) -> tuple[Sequence[str], str]:
        """Recovery codes, and the secret by which the session goes on."""
        return await self.own.set_factor(who, session, PASSWORD, factor, code, BROWSER)

    async def emergency(
        self, who: Asker, session: KnownSession | None, secret: str, patient: str, issuer: str,
        reason: str,
    ) -> str:  # fmt: skip
        """Say that a patient has to be seen; the secret by which the session goes on."""
        return await self.sharing.in_emergency(who, session, secret, patient, issuer, reason)

    async def session(self, secret: str) -> KnownSession | None:
        """As the web role asks for it."""
        return self.doors.held_session(secret) or await self.doors.by_session(secret, HERE)

    async def known(self, secret: str) -> tuple[Asker, KnownSession]:
        """Who has a session, which is not over."""
        found = await self.session(secret)
        assert found is not None
        return Asker(found.caller, replace(HERE, user=found.caller.name)), found

    async def caller(self, secret: str) -> Caller:
        return (await self.known(secret))[1].caller

    async def lets_in(self, secret: str) -> bool:
        return await self.session(secret) is not None


class Clock:
    """The time of day of everything about access."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        clock = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + clock.ahead

        for module in (
            accounts, administration, attempts, links, named_records, own_account, sessions,
            sharing, tokens,
        ):  # fmt: skip
            monkeypatch.setattr(module, "datetime", Moved)

    def move(self, **by: float) -> None:
        """On, or back."""
        self.ahead += timedelta(**by)
