"""User identity negotiation (PS3.7 D.3.3.7): who a requestor claims to be, and whether it is so.

With a password of an account, or with a token, it is so, and what is asked for is done in that
name. A name alone is nothing that anybody could verify, and changes nothing: the association is
accepted without a server response, which leaves it to the requestor whether to go on. A claim that
is false, malformed, or of a type that is not taken is refused: "rejected-permanent" by the "DICOM
UL service-provider (ACSE related function)", as the standard has it for authorization that failed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from isocenter.core.access import Caller
from isocenter.core.errors import Refused, Unauthenticated
from isocenter.core.events import Source
from isocenter.dimse.contexts import UserIdentity
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.signing_in import SigningIn
from isocenter.runtime.access.tokens import is_ours
from isocenter.runtime.audit_log import AuditLog

USERNAME, USERNAME_AND_PASSCODE, KERBEROS, SAML, JSON_WEB_TOKEN = range(1, 6)

_TYPES: Mapping[int, str] = {
    USERNAME: "username",
    USERNAME_AND_PASSCODE: "username and passcode",
    JSON_WEB_TOKEN: "JSON Web Token",
}
# Signed (RFC 7515 3.1: three parts) or encrypted (RFC 7516 3.1: five).
_TOKEN = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2}(?:(?:\.[A-Za-z0-9_-]*){2})?")


@dataclass(frozen=True, slots=True)
class Verified:
    """Who a requestor is."""

    user: str
    now: Callable[[], Awaitable[Caller]]
    """The same for the policy, at the time of asking. Raises `Unauthenticated`."""


class Users:
    """Whom people and programs can show to be: accounts that are kept here, and tokens."""

    def __init__(self, doors: Doors, audit_log: AuditLog) -> None:
        self._doors = doors
        self._signing_in = SigningIn(doors, audit_log)

    async def verify(self, claim: UserIdentity, by: Source) -> Verified | None:
        """Who it is, recorded as a sign-in; None for a name alone, of which nobody can tell. Raises
        `Refused` and `Unauthenticated` if the claim is false or malformed, `TooMany` after
        too many attempts, and `Unavailable`. No error holds anything of the claim."""
        check(claim)
        if claim.kind == USERNAME:
            return None
        if claim.kind == JSON_WEB_TOKEN:
            return await self._by_token(claim.primary.decode("ascii"), "", by)
        name, passcode = (part.decode("utf-8") for part in (claim.primary, claim.secondary))
        if is_ours(passcode):
            return await self._by_token(passcode, name, by)
        return await self._by_password(name, passcode, by)

    async def _by_token(self, token: str, name: str, by: Source) -> Verified:
        """`name`: whose it has to be, if that is said."""
        try:
            caller = await self._doors.by_bearer(token)
            if name not in ("", caller.name):
                raise Unauthenticated("the token is of somebody else")
        except Unauthenticated as error:
            await self._signing_in.record(by, error.message)
            raise
        await self._signing_in.record(replace(by, user=caller.name))
        return Verified(caller.name, lambda: self._doors.by_bearer(token))

    async def _by_password(self, name: str, password: str, by: Source) -> Verified:
        if not self._doors.local_accounts:
            raise Refused("people have no passwords here")
        account = await self._signing_in.whose(name, password, "", by)
        await self._signing_in.record(replace(by, user=account.name))
        return Verified(account.name, lambda: self._account_now(account))

    async def _account_now(self, before: Account) -> Caller:
        account = await self._doors.accounts.lately(before.name)
        if account is None or account.disabled or account.since != before.since:
            raise Unauthenticated("this account is not what it was", fix="associate again")
        return account.caller


def check(claim: UserIdentity) -> None:
    """Raises `Refused` for types that are not taken and for claims that are malformed. The error
    holds nothing of the claim."""
    if claim.kind not in _TYPES:
        raise Refused(f"user identities of type {claim.kind} are not taken")
    if not _is_well_formed(claim):
        raise Refused(f"a user identity ({_TYPES[claim.kind]}) is malformed")


def _is_well_formed(claim: UserIdentity) -> bool:
    if claim.kind == JSON_WEB_TOKEN:
        return _TOKEN.fullmatch(claim.primary) is not None
    try:
        name, passcode = (part.decode("utf-8") for part in (claim.primary, claim.secondary))
    except UnicodeDecodeError:
        return False
    if claim.kind == USERNAME_AND_PASSCODE and not passcode:
        return False
    return bool(name.strip()) and name.isprintable()
