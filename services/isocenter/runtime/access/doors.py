"""Who asks, by what they show: the same for every door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from isocenter.core.access import NOBODY, ROLES, Caller, Kind
from isocenter.core.apis import Storage
from isocenter.core.errors import Unauthenticated
from isocenter.core.events import Source
from isocenter.runtime.access.accounts import Accounts
from isocenter.runtime.access.attempts import Attempts
from isocenter.runtime.access.links import Links
from isocenter.runtime.access.oidc import IdentityProvider
from isocenter.runtime.access.passwords import Passwords
from isocenter.runtime.access.sessions import KnownSession, Sessions
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.tokens import Tokens, is_ours
from isocenter.runtime.addresses import is_loopback
from isocenter.runtime.shown_certificates import ShownCertificate
from isocenter.runtime.telemetry import OFF, Telemetry

OPERATOR = Caller(Kind.PERSON, "operator", tuple(ROLES))
"""Whoever is on the machine itself, where that is trusted."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What people and programs can show."""

    accounts: Accounts
    attempts: Attempts
    sessions: Sessions
    links: Links
    tokens: Tokens
    provider: IdentityProvider | None
    certificates: Mapping[str, Caller]  # by what settings write for one
    local_accounts: bool
    trust_loopback: bool
    emergency: timedelta  # how long access in an emergency lasts

    @classmethod
    def of(
        cls,
        storage: Storage,
        settings: AccessSettings,
        telemetry: Telemetry = OFF,
        *,
        provider: IdentityProvider | None = None,
    ) -> Doors:
        """Those of a process. `provider`: in place of that of the settings."""
        fresh = settings.follow_seconds
        passwords = Passwords()
        accounts = Accounts(storage, passwords, fresh)
        links = Links(storage, passwords, fresh)
        if provider is None and settings.oidc.issuer:
            provider = IdentityProvider(settings.oidc)
        sessions = Sessions(
            storage,
            accounts,
            links,
            provider,
            idle=timedelta(minutes=settings.session_idle_minutes),
            longest=timedelta(hours=settings.session_hours),
            fresh_seconds=fresh,
        )
        return cls(
            accounts=accounts,
            attempts=Attempts(storage, telemetry),
            sessions=sessions,
            links=links,
            tokens=Tokens(storage, fresh),
            provider=provider,
            certificates={one.certificate: one.caller for one in settings.certificates},
            local_accounts=settings.local_accounts,
            trust_loopback=settings.trust_loopback,
            emergency=timedelta(minutes=settings.emergency_minutes),
        )

    async def close(self) -> None:
        """Close connections."""
        if self.provider is not None:
            await self.provider.close()

    async def by_bearer(self, token: str) -> Caller:
        """Who shows a token, ours or one of the identity provider. Raises `Unauthenticated`, and
        `Unavailable` while the provider's keys cannot be had."""
        caller = await self.tokens.caller(token)
        if caller is None and self.provider is not None and not is_ours(token):
            return await self.provider.program(token)
        if caller is None:
            raise Unauthenticated("this token is not known here, or not any more")
        return caller

    def by_certificate(self, certificate: ShownCertificate | None) -> Caller | None:
        """The program that shows one, if it is known: by the most exact of what it may be called
        that settings name."""
        written = certificate.written if certificate else ()
        known = (self.certificates.get(one) for one in written)
        return next((one for one in known if one is not None), None)

    async def by_session(self, secret: str, source: Source) -> KnownSession | None:
        """The session of a browser, unless it is over. See `held_session`, which costs less."""
        return await self.sessions.find(secret, source)

    def held_session(self, secret: str) -> KnownSession | None:
        """The same, if that is known without a look."""
        return self.sessions.held(secret)

    def by_address(self, host: str) -> Caller:
        """Who shows nothing."""
        return OPERATOR if self.trust_loopback and is_loopback(host) else NOBODY
