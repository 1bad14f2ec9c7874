"""Links to one study for somebody outside: ending at some day, with a passcode and a number of
openings if whoever makes them wants, and revocable."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from isocenter.core.access import GUEST, Caller, Kind, Right
from isocenter.core.apis import Storage
from isocenter.core.errors import NotFound, Refused
from isocenter.core.events import Source
from isocenter.core.identity import ACCESS
from isocenter.runtime.access.fresh import Fresh
from isocenter.runtime.access.passwords import Passwords
from isocenter.runtime.access.tokens import digest_of
from isocenter.runtime.named_records import NamedRecords
from isocenter.runtime.streams import generator

LINKS, OPENINGS = f"{ACCESS}links/", f"{ACCESS}openings/"
MAX_DAYS = 366

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Link(BaseModel):
    """What is kept of a link."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    label: _Text  # for whom it is
    made_by: str
    kind: Kind = Kind.PERSON  # of who made it: a program may have a person's name
    made_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ends_at: datetime
    passcode: str = ""  # what is kept of it; empty: none is asked for
    openings: int = 0  # how often it can be opened; 0: any number of times
    download: bool = False  # whether the objects can be taken away, beside being looked at

    def is_of(self, caller: Caller) -> bool:
        """Whether this caller made it."""
        return (self.kind, self.made_by) == (caller.kind, caller.name)


@dataclass(frozen=True, slots=True)
class KnownLink:
    """A link that has not been revoked."""

    id: str
    link: Link

    @property
    def caller(self) -> Caller:
        """Whoever opened it."""
        rights = {Right.SEARCH, Right.READ, *([Right.DOWNLOAD] if self.link.download else [])}
        return Caller(
            Kind.LINK,
            f"{self.link.label} ({self.id[:8]})",
            (GUEST,),
            only=frozenset(rights),
            studies=(self.link.study,),
        )


class Links:
    """The links of an installation."""

    def __init__(self, storage: Storage, passwords: Passwords, fresh_seconds: float) -> None:
        self._storage = storage
        self._passwords = passwords
        self._records = NamedRecords(storage, LINKS, parse=Link.model_validate, write=_written)
        self._fresh = Fresh(self._found, fresh_seconds)

    async def make(self, link: Link, passcode: str, by: Source) -> str:
        """Its secret, with which its address ends."""
        if passcode:
            kept = await self._passwords.kept(passcode)
            link = link.model_copy(update={"passcode": kept})
        secret = secrets.token_urlsafe(24)
        await self._records.append(id_of(secret), link, by)
        return secret

    async def all(self) -> Sequence[KnownLink]:
        """Those that are not revoked, the newest first; some may have ended."""
        latest = await self._records.latest()
        found = [KnownLink(name, one.value) for name, one in latest.items() if one.value]
        return sorted(found, key=lambda one: one.link.made_at, reverse=True)

    async def revoke(self, identifier: str, by: Source) -> Link:
        """End it, for whoever has opened it too. Raises `NotFound`."""
        link = await self._found(identifier)
        if link is None:
            raise NotFound("there is no such link")
        await self._records.append(identifier, None, by)
        self._fresh.forget(identifier)
        return link

    async def behind(self, secret: str) -> KnownLink:
        """The link of an address. Raises `NotFound` for one that is revoked, over or used up."""
        identifier = id_of(secret)
        link = await self._found(identifier)
        if link is None or datetime.now(UTC) > link.ends_at:
            raise _over()
        if link.openings and len(await self._opened(identifier)) >= link.openings:
            raise _over()
        return KnownLink(identifier, link)

    async def open(self, known: KnownLink, passcode: str) -> None:
        """One more opening. Raises `Refused` for a wrong passcode, `NotFound` if it is used up."""
        link = known.link
        if link.passcode and not await self._passwords.is_right(link.passcode, passcode):
            raise Refused("the passcode is wrong")
        number = len(await self._opened(known.id))
        while not link.openings or number < link.openings:
            if await self._is_mine(f"{OPENINGS}{known.id}/{number:08x}"):
                return
            number += 1
        raise _over()

    async def openings_of(self, identifier: str) -> int:
        """How often a link was opened."""
        return len(await self._opened(identifier))

    async def lately(self, identifier: str) -> KnownLink | None:
        """As it was a moment ago; None once it is revoked or over."""
        link = await self._fresh.get(identifier)
        if link is None or datetime.now(UTC) > link.ends_at:
            return None
        return KnownLink(identifier, link)

    def held(self, identifier: str) -> Link | None:
        """What it leads to, if that is known without a look."""
        return self._fresh.held(identifier)

    async def _is_mine(self, key: str) -> bool:
        """Whether this opening is the one of a number: of two at the same moment one is, since what
        is kept under a key stays."""
        mine = secrets.token_bytes(16)
        await self._storage.put(key, [mine], sha256(mine).hexdigest())
        async with aclosing(generator(self._storage.read(key))) as chunks:
            return b"".join([chunk async for chunk in chunks]) == mine

    async def _opened(self, identifier: str) -> Sequence[str]:
        listed = self._storage.list(f"{OPENINGS}{identifier}/")
        async with aclosing(generator(listed)) as infos:
            return [info.key async for info in infos]

    async def _found(self, identifier: str) -> Link | None:
        record = await self._records.get(identifier)
        return record.value if record else None


def id_of(secret: str) -> str:
    """By which a link is kept: nothing that leads to its secret."""
    return digest_of(secret)[:32]


def ends_after(days: float) -> datetime:
    """When a link ends that lasts so long."""
    return datetime.now(UTC) + timedelta(days=days)


def _over() -> NotFound:
    return NotFound("this link is over", fix="ask whoever sent it for a new one")


def _written(link: Link) -> Mapping[str, Any]:
    return link.model_dump(mode="json")
