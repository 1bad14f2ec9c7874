"""Local accounts: people who sign in with a password, and with a second factor if they want.

The first password is set by a one-time link. Names are compared without case.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyotp
from pydantic import BaseModel, ConfigDict, Field

from isocenter.core.access import Caller, Kind
from isocenter.core.apis import Storage
from isocenter.core.errors import Conflict, Invalid, NotFound
from isocenter.core.events import Source
from isocenter.core.identity import ACCESS
from isocenter.runtime.access.fresh import Fresh
from isocenter.runtime.access.names import RoleName, SiteName, Text
from isocenter.runtime.access.once import Once
from isocenter.runtime.access.passwords import Passwords, check_password
from isocenter.runtime.access.tokens import digest_of
from isocenter.runtime.named_records import NamedRecords

ACCOUNTS, INVITATIONS = f"{ACCESS}accounts/", f"{ACCESS}invitations/"
RECOVERY_CODES = 10
INVITED = timedelta(days=7)  # how long a one-time link can be used

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,62}")
_CODE = 14  # bytes of chance in a recovery code: enough for a digest that is fast
_STEP_SECONDS = 30  # RFC 6238 5.2


class Account(BaseModel):
    """What is kept of a person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shown: Text = ""  # the person's name, for people
    roles: tuple[RoleName, ...] = ()
    groups: tuple[Text, ...] = ()
    sites: tuple[SiteName, ...] = ()
    disabled: bool = False
    password: str = ""  # what is kept of it; empty: none is set yet
    factor: str = ""  # secret of the second factor, base32; empty: none
    recovery: tuple[str, ...] = ()  # digests of codes that stand in for the second factor once
    since: datetime = Field(default_factory=lambda: datetime.now(UTC))
    """Sessions that began before are over: the password or the second factor was changed."""

    @cached_property
    def caller(self) -> Caller:
        """The person."""
        return Caller(Kind.PERSON, self.name, self.roles, self.groups, self.sites)


class Invitation(BaseModel):
    """A one-time link by which a person sets a password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str
    since: datetime  # of the account then: it is over, too, once another password was set
    ends_at: datetime


class Accounts:
    """The accounts of an installation."""

    def __init__(self, storage: Storage, passwords: Passwords, fresh_seconds: float) -> None:
        """A change counts everywhere after `fresh_seconds` at the latest."""
        self._records = NamedRecords(
            storage, ACCOUNTS, parse=Account.model_validate, write=_written
        )
        self._invitations = NamedRecords(
            storage, INVITATIONS, parse=Invitation.model_validate, write=_written
        )
        self._once = Once(storage)
        self._passwords = passwords
        self._fresh = Fresh(self.find, fresh_seconds)

    # --- accounts --------------------------------------------------------------------------------

    async def all(self) -> Sequence[Account]:
        """By name."""
        latest = await self._records.latest()
        found = [one.value for one in latest.values() if one.value is not None]
        return sorted(found, key=lambda one: one.name)

    async def get(self, name: str) -> Account:
        """As it is now. Raises `NotFound`."""
        found = await self.find(name_of(name))
        if found is None:
            raise NotFound(f"there is no account {name}", fix="list them")
        return found

    async def lately(self, name: str) -> Account | None:
        """As it was a moment ago."""
        return await self._fresh.get(name)

    def held(self, name: str) -> Account | None:
        """The same, if that is known without a look."""
        return self._fresh.held(name)

    async def check_new(self, name: str) -> None:
        """Raises `Conflict` if there is one of this name."""
        if await self.find(name) is not None:
            raise Conflict(f"there is an account {name} already", fix="change it")

    async def keep(self, account: Account, by: Source) -> None:
        """As it is from now on."""
        await self._records.append(account.name, account, by)
        self._fresh.forget(account.name)

    async def remove(self, name: str, by: Source) -> None:
        """Raises `NotFound`."""
        account = await self.get(name)
        await self._records.append(account.name, None, by)
        self._fresh.forget(account.name)

    async def find(self, name: str) -> Account | None:
        """As it is now, by its exact name."""
        record = await self._records.get(name)
        return record.value if record else None

    # --- one-time links --------------------------------------------------------------------------

    async def invite(self, name: str, by: Source) -> str:
        """The secret of a new one-time link. Raises `NotFound`."""
        account = await self.get(name)
        secret = secrets.token_urlsafe(32)
        ends_at = datetime.now(UTC) + INVITED
        invitation = Invitation(account=account.name, since=account.since, ends_at=ends_at)
        await self._invitations.append(digest_of(secret)[:32], invitation, by)
        return secret

    async def invited(self, secret: str) -> Account:
        """Whom a one-time link invites. Raises `NotFound` once it was used or is over."""
        record = await self._invitations.get(digest_of(secret)[:32])
        invitation = record.value if record else None
        if invitation is None or datetime.now(UTC) > invitation.ends_at:
            raise _used()
        account = await self.find(invitation.account)
        if account is None or account.disabled or account.since != invitation.since:
            raise _used()
        return account

    async def accept(self, secret: str, password: str, by: Source) -> Account:
        """Set the password. Raises `NotFound`, `Invalid`."""
        account = await self.invited(secret)
        changed = await self.with_password(account, password)
        if not await self._once.claim(f"invitation {digest_of(secret)}"):
            raise _used()
        await self._invitations.remove(digest_of(secret)[:32])
        await self.keep(changed, by)
        return changed

    # --- what is shown to sign in ----------------------------------------------------------------

    async def with_password(self, account: Account, password: str) -> Account:
        """With another password, which ends all sessions. Raises `Invalid`."""
        check_password(password, (account.name, account.shown, "isocenter"))
        kept = await self._passwords.kept(password)
        return account.model_copy(update={"password": kept, "since": datetime.now(UTC)})

    async def has_password(self, account: Account | None, password: str) -> bool:
        """Whether it is the account's; as slow where there is none."""
        return await self._passwords.is_right(account.password if account else "", password)

    async def has_code(self, account: Account, code: str, by: Source) -> bool:
        """Whether it is a code of the second factor that was not used yet, or a recovery code,
        which is used up."""
        code = code.replace(" ", "").replace("-", "")
        if await self.uses_code(account.factor, code):
            return True
        digest = digest_of(code.lower())
        if digest not in account.recovery or not await self._once.claim(f"recovery {digest}"):
            return False
        left = tuple(one for one in account.recovery if one != digest)
        await self.keep(account.model_copy(update={"recovery": left}), by)
        return True

    async def uses_code(self, factor: str, code: str) -> bool:
        """Whether it is a code of a second factor that was not used yet, which it is by this
        (RFC 6238 5.2)."""
        step = step_of(factor, code, datetime.now(UTC))
        return step is not None and await self._once.claim(f"code of {digest_of(factor)}", step)


def name_of(text: str) -> str:
    """The name of an account. Raises `Invalid`."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{text[:64]!r} is no name of an account",
            fix="use up to 63 letters a-z, digits, and . _ @ + - behind the first",
        )
    return name


def new_factor() -> str:
    """A secret for a second factor, 160 bits (RFC 4226 4), base32."""
    return pyotp.random_base32()


def new_recovery_codes() -> tuple[Sequence[str], tuple[str, ...]]:
    """Codes to be shown once, and what is kept of them."""
    codes = [secrets.token_hex(_CODE) for _ in range(RECOVERY_CODES)]
    return codes, tuple(map(digest_of, codes))


def step_of(factor: str, code: str, now: datetime) -> int | None:
    """The time step of which a code is, one before and one behind now included (RFC 6238 5.2)."""
    if not factor or len(code) != 6 or not (code.isascii() and code.isdigit()):
        return None
    one = pyotp.TOTP(factor, interval=_STEP_SECONDS)
    middle = int(now.timestamp()) // _STEP_SECONDS
    for step in (middle, middle - 1, middle + 1):
        if secrets.compare_digest(one.generate_otp(step), code):
            return step
    return None


def _used() -> NotFound:
    return NotFound("this link was used or is over", fix="ask for a new one")


def _written(model: BaseModel) -> Mapping[str, Any]:
    return model.model_dump(mode="json")
