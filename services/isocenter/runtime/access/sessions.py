"""Sessions of people in browsers: kept in the object store, so that any process knows them, and
found by a secret of which only a digest is kept.

A session ends when it is not used for a while, at the latest after a time, and when somebody ends
it; that of a local account also when its password or second factor changes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field

from isocenter.core.access import Caller, Kind, Patient
from isocenter.core.apis import Storage
from isocenter.core.errors import NotFound, Unavailable
from isocenter.core.events import Source
from isocenter.core.identity import ACCESS
from isocenter.runtime.access.accounts import Account, Accounts
from isocenter.runtime.access.fresh import Fresh
from isocenter.runtime.access.links import Link, Links
from isocenter.runtime.access.oidc import Grant, IdentityProvider
from isocenter.runtime.access.sealing import sealed, unsealed
from isocenter.runtime.access.tokens import digest_of
from isocenter.runtime.named_records import NamedRecords

logger = logging.getLogger(__name__)

SESSIONS = f"{ACCESS}sessions/"
_ID_LENGTH = 32  # of the digest of its secret, hexadecimal digits
_TOUCH = timedelta(minutes=1)  # between two notes that a session is used, at most
_TOUCHES = 10  # notes at least within the time after which an unused one ends
_MOST = 10_000  # that are remembered
_AWAY = 30.0  # seconds in which a provider that does not answer is not asked again


class EmergencyAccess(BaseModel):
    """Somebody said why they have to see a patient now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient_id: str
    issuer: str = ""
    reason: str
    ends_at: datetime


class FederatedPerson(BaseModel):
    """A person whom an identity provider vouches for, as of its last answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str  # for the provider
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    asked_at: datetime
    refresh: str = ""  # sealed: what the provider is asked with again
    id_token: str = ""  # sealed: what it is told at the end


class Session(BaseModel):
    """What is kept of a session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str  # the account, or the name that the provider gave
    federated: FederatedPerson | None = None  # None: a local account, or a link
    since: datetime | None = None  # of the local account then: it is over once that is another
    link: str = ""  # id of the link that was opened
    began_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    used_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    address: str = ""  # where it began
    browser: str = ""  # as it called itself then
    emergencies: tuple[EmergencyAccess, ...] = ()

    @classmethod
    def of(cls, account: Account, by: Source, browser: str) -> Session:
        """A new one of a local account."""
        return cls(person=account.name, since=account.since, address=by.host, browser=browser)


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A session that is not over."""

    id: str
    session: Session
    caller: Caller


@dataclass(frozen=True, slots=True)
class _Held:
    """A session that was found, and of what."""

    session: Session
    of: Account | Link | None
    known: KnownSession
    until: datetime  # when something about it is to be looked at


class Sessions:
    """The sessions of an installation."""

    def __init__(
        self,
        storage: Storage,
        accounts: Accounts,
        links: Links,
        provider: IdentityProvider | None = None,
        *,
        idle: timedelta,
        longest: timedelta,
        fresh_seconds: float,
    ) -> None:
        """What is ended is refused after `fresh_seconds` at the latest."""
        self._records = NamedRecords(
            storage, SESSIONS, parse=Session.model_validate, write=_written
        )
        self._accounts = accounts
        self._links = links
        self._provider = provider
        self._idle, self._longest = idle, longest
        self._touch = min(_TOUCH, idle / _TOUCHES)
        self._fresh = Fresh(self._found, fresh_seconds)
        self._held: OrderedDict[str, _Held] = OrderedDict()  # by secret
        self._renewing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._away_until = float("-inf")  # of the monotonic clock

    async def begin(self, session: Session, by: Source) -> str:
        """Its secret, which the browser keeps."""
        secret = secrets.token_urlsafe(32)
        await self._records.append(id_of(secret), session, by)
        return secret

    async def find(self, secret: str, by: Source) -> KnownSession | None:
        """The session of a secret, which is used by this."""
        identifier = id_of(secret)
        session = await self._fresh.get(identifier)
        if session is None:
            return None
        renewed = await self._renewed(secret, session, by)
        known = await self._known(identifier, renewed) if renewed else None
        if renewed is None or known is None:
            await self.end(identifier)
            return None
        self._hold(secret, known)
        if datetime.now(UTC) - renewed.used_at > self._touch:
            used = renewed.model_copy(update={"used_at": datetime.now(UTC)})
            await self.keep(identifier, used, by)
        return known

    def held(self, secret: str) -> KnownSession | None:
        """The same, if that is known without a look: it was found lately, and nothing has changed
        of what it rests on."""
        held = self._held.get(secret)
        if held is None or self._fresh.held(held.known.id) is not held.session:
            return None
        if self._of(held.session) is not held.of or datetime.now(UTC) >= held.until:
            return None
        return held.known

    def _hold(self, secret: str, known: KnownSession) -> None:
        session, of = known.session, self._of(known.session)
        ends = [session.used_at + self._touch, session.began_at + self._longest]
        ends += [one.ends_at for one in session.emergencies if one.ends_at > datetime.now(UTC)]
        if isinstance(of, Link):
            ends.append(of.ends_at)
        if (person := session.federated) and person.refresh and self._provider:
            ends.append(person.asked_at + self._provider.refresh_after)
        self._held[secret] = _Held(session, of, known, min(ends))
        self._held.move_to_end(secret)
        if len(self._held) > _MOST:
            self._held.popitem(last=False)

    def _of(self, session: Session) -> Account | Link | None:
        """What a session rests on, as far as that is known without a look."""
        if session.link:
            return self._links.held(session.link)
        return None if session.federated else self._accounts.held(session.person)

    async def begin_federated(self, grant: Grant, address: str, browser: str, by: Source) -> str:
        """That of a person whom the identity provider vouches for."""
        secret = secrets.token_urlsafe(32)
        session = Session(
            person=grant.person.name,
            federated=_federated(grant, secret),
            address=address,
            browser=browser,
        )
        await self._records.append(id_of(secret), session, by)
        return secret

    async def go_on(self, secret: str, session: Session, by: Source) -> str:
        """The secret by which a session goes on, with what it may do from now on: who knew the one
        before has nothing of that."""
        new = secrets.token_urlsafe(32)
        if (person := session.federated) is not None:
            kept = {
                name: sealed(new, unsealed(secret, text))
                for name, text in (("refresh", person.refresh), ("id_token", person.id_token))
            }
            session = session.model_copy(update={"federated": person.model_copy(update=kept)})
        await self._records.append(id_of(new), session, by)
        await self.end(id_of(secret))
        return new

    def id_token(self, secret: str, session: Session) -> str:
        """What the provider is told at the end; empty without one."""
        return unsealed(secret, session.federated.id_token) if session.federated else ""

    async def _renewed(self, secret: str, session: Session, by: Source) -> Session | None:
        """The session, of which the provider was asked lately; None if it is over there. While the
        provider is away it stays as it is.

        Many requests of a browser come at once, of which one asks: what it is asked with may count
        once only (RFC 6819 5.2.2.3).
        """
        if not self._is_due(session):
            return session if session.federated is None or self._provider else None
        identifier = id_of(secret)
        lock = self._renewing.setdefault(identifier, asyncio.Lock())
        async with lock:
            latest = await self._found(identifier)
            if latest is None or not self._is_due(latest):
                return latest
            asked = await self._asked(secret, latest)
            if asked is None:
                latest = await self._found(identifier)  # another process may have been faster
                return latest if latest is not None and not self._is_due(latest) else None
            if asked is not latest:
                await self.keep(identifier, asked, by)
            return asked

    def _is_due(self, session: Session) -> bool:
        """Whether the provider is to be asked about somebody."""
        person, provider = session.federated, self._provider
        if person is None or provider is None or time.monotonic() < self._away_until:
            return False
        if not person.refresh:
            return False  # it lasts as long as it may without being asked about
        return datetime.now(UTC) - person.asked_at >= provider.refresh_after

    async def _asked(self, secret: str, session: Session) -> Session | None:
        """What the provider says of the session's person now; None: they are not let in."""
        person, provider = session.federated, self._provider
        assert person is not None
        assert provider is not None
        try:
            grant = await provider.renewed(unsealed(secret, person.refresh), person.subject)
        except Unavailable as error:
            self._away_until = time.monotonic() + _AWAY
            logger.warning("sessions are not renewed now", extra={"why": str(error)})
            return session
        if grant is None or grant.person.name != session.person:
            return None
        changed = {"federated": _federated(grant, secret), "used_at": datetime.now(UTC)}
        return session.model_copy(update=changed)

    async def keep(self, identifier: str, session: Session, by: Source) -> None:
        """As it is from now on, unless it has ended meanwhile."""
        await self._records.change(identifier, session, by)
        self._fresh.forget(identifier)

    async def end(self, identifier: str) -> None:
        """End it; ending what is over is a success."""
        await self._records.remove(identifier)
        self._fresh.forget(identifier)

    async def all(self) -> Sequence[KnownSession]:
        """Those that are not over, the last used first; the others are forgotten."""
        found = []
        for identifier, record in (await self._records.latest()).items():
            session = record.value
            known = await self._known(identifier, session) if session else None
            if known is None:
                await self.end(identifier)
            else:
                found.append(known)
        return sorted(found, key=lambda one: one.session.used_at, reverse=True)

    async def of(self, person: str) -> Sequence[KnownSession]:
        """Those of one person."""
        return [one for one in await self.all() if one.session.person == person]

    async def get(self, identifier: str) -> KnownSession:
        """Raises `NotFound`."""
        session = await self._found(identifier)
        known = await self._known(identifier, session) if session else None
        if known is None:
            raise NotFound("this session is over")
        return known

    async def _found(self, identifier: str) -> Session | None:
        record = await self._records.get(identifier)
        return record.value if record else None

    async def _known(self, identifier: str, session: Session) -> KnownSession | None:
        """The session with who it is of, unless it is over."""
        now = datetime.now(UTC)  # a clock that was put back makes no session last
        if abs(now - session.used_at) > self._idle or abs(now - session.began_at) > self._longest:
            return None
        caller = await self._caller(session)
        if caller is None:
            return None
        return KnownSession(identifier, session, caller)

    async def _caller(self, session: Session) -> Caller | None:
        if session.link:
            known = await self._links.lately(session.link)
            return known.caller if known else None
        now = datetime.now(UTC)
        emergencies = tuple(
            Patient(one.patient_id, one.issuer) for one in session.emergencies if one.ends_at > now
        )
        if (person := session.federated) is not None:
            return Caller(
                Kind.PERSON, session.person, person.roles, person.groups, person.sites,
                emergencies=emergencies,
            )  # fmt: skip
        account = await self._account(session)
        if account is None:
            return None
        of = account.caller
        return replace(of, emergencies=emergencies) if emergencies else of

    async def _account(self, session: Session) -> Account | None:
        """The account, as long as it is the one that signed in. That it is not is looked up: what
        is remembered may be older than the session."""
        for look in (self._accounts.lately, self._accounts.find):
            account = await look(session.person)
            if account and not account.disabled and account.since == session.since:
                return account
        return None


def id_of(secret: str) -> str:
    """By which a session is kept: nothing that leads to its secret."""
    return digest_of(secret)[:_ID_LENGTH]


def _federated(grant: Grant, secret: str) -> FederatedPerson:
    person = grant.person
    return FederatedPerson(
        subject=person.subject,
        roles=person.roles,
        groups=person.groups,
        sites=person.sites,
        asked_at=datetime.now(UTC),
        refresh=sealed(secret, grant.refresh_token),
        id_token=sealed(secret, grant.id_token),
    )


def _written(session: Session) -> Mapping[str, Any]:
    return session.model_dump(mode="json")
