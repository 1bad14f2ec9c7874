"""Tokens of programs: named, with roles that may be narrowed, ending at some day, and revocable.

A token is shown once, `iso_{id}_{secret}`; kept are its id and a digest of the secret, which has
256 bits of chance, so that a fast digest is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from isocenter.core.access import Caller, Kind, Right
from isocenter.core.apis import Storage
from isocenter.core.errors import Invalid, NotFound
from isocenter.core.events import Source
from isocenter.core.identity import ACCESS
from isocenter.runtime.access.fresh import Fresh
from isocenter.runtime.access.names import RoleName, SiteName, Text, told_of
from isocenter.runtime.named_records import NamedRecords

TOKENS = f"{ACCESS}tokens/"
MAX_DAYS = 3660

_TOKEN = re.compile(r"iso_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class Token(BaseModel):
    """What is kept of a token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name  # of the program
    digest: str  # SHA-256 of the secret, hexadecimal
    roles: tuple[RoleName, ...]
    only: tuple[Right, ...] | None = None  # what is left of the roles; None: all
    groups: tuple[Text, ...] = ()
    sites: tuple[SiteName, ...] = ()
    made_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ends_at: datetime

    @property
    def caller(self) -> Caller:
        """The program that shows it."""
        only = None if self.only is None else frozenset(self.only)
        return Caller(Kind.PROGRAM, self.name, self.roles, self.groups, self.sites, only)


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that has not been revoked."""

    id: str
    token: Token
    by: str  # who made it, for people


class Tokens:
    """The tokens of an installation."""

    def __init__(self, storage: Storage, fresh_seconds: float) -> None:
        """A token that is revoked is refused after `fresh_seconds` at the latest."""
        self._records = NamedRecords(storage, TOKENS, parse=Token.model_validate, write=_written)
        self._fresh = Fresh(self._found, fresh_seconds)

    async def make(self, token: Token, secret: str, by: Source) -> str:
        """Keep it; answers with the token as it is shown, once."""
        identifier = secrets.token_hex(8)
        await self._records.append(identifier, token, by)
        return f"iso_{identifier}_{secret}"

    async def all(self) -> Sequence[KnownToken]:
        """Those that are not revoked, the newest first; some may have ended."""
        latest = await self._records.latest()
        found = [
            KnownToken(name, one.value, one.by.who)
            for name, one in latest.items()
            if one.value is not None
        ]
        return sorted(found, key=lambda one: one.token.made_at, reverse=True)

    async def get(self, identifier: str) -> Token:
        """As it is now. Raises `NotFound`."""
        found = await self._found(identifier)
        if found is None:
            raise NotFound(f"there is no token {identifier[:16]}", fix="list them")
        return found

    async def revoke(self, identifier: str, by: Source) -> None:
        """End it."""
        await self._records.append(identifier, None, by)
        self._fresh.forget(identifier)

    async def caller(self, text: str) -> Caller | None:
        """Who shows a token; None if it is none of ours, or not any more."""
        shown = _TOKEN.fullmatch(text)
        if shown is None:
            return None
        token = await self._fresh.get(shown[1])
        if token is None or not hmac.compare_digest(token.digest, digest_of(shown[2])):
            return None
        return token.caller if datetime.now(UTC) < token.ends_at else None

    async def _found(self, identifier: str) -> Token | None:
        record = await self._records.get(identifier)
        return record.value if record else None


def new_token(
    name: str,
    roles: Sequence[str],
    days: float,
    *,
    only: Sequence[Right] | None = None,
    groups: Sequence[str] = (),
    sites: Sequence[str] = (),
) -> tuple[Token, str]:
    """A token and its secret. Raises `Invalid`."""
    if not 0 < days <= MAX_DAYS:
        raise Invalid(f"a token lasts up to {MAX_DAYS} days", fix="make a new one then")
    secret = secrets.token_urlsafe(32)
    try:
        token = Token(
            name=name,
            digest=digest_of(secret),
            roles=tuple(roles),
            only=None if only is None else tuple(only),
            groups=tuple(groups),
            sites=tuple(sites),
            ends_at=datetime.now(UTC) + timedelta(days=days),
        )
    except ValidationError as error:
        raise Invalid(f"this is no token: {told_of(error)}") from error
    return token, secret


def is_ours(text: str) -> bool:
    """Whether a token looks like one of ours."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """What is kept of a secret that is long enough not to be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _written(token: Token) -> dict[str, Any]:
    return token.model_dump(mode="json")
