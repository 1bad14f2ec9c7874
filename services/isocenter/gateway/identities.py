"""User identity negotiation (PS3.7 D.3.3.7): who a requestor claims to be, and whether it is so.

A claim that nobody here can verify changes nothing: the association is accepted without a server
response, which leaves it to the requestor whether to go on, and nothing is done in that name. A
claim that is false, malformed, or of a type that is not taken is refused: "rejected-permanent" by
the "DICOM UL service-provider (ACSE related function)", as the standard has it for authorization
that failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from isocenter.core.errors import Refused
from isocenter.dimse.contexts import UserIdentity

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
    response: bytes = b""  # server response, if one is asked for; empty for types 1 and 2


class Identities(Protocol):
    """Who can tell whether a claim is true."""

    def verify(self, claim: UserIdentity) -> Verified | None:
        """Who it is; None if nobody here can tell. Raises `Refused` if the claim is false."""
        ...


class NoUsers:
    """`Identities` as long as there are no users."""

    def verify(self, claim: UserIdentity) -> Verified | None:
        """Nobody can tell."""
        del claim
        return None


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
        name = claim.primary.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if claim.kind == USERNAME_AND_PASSCODE and not claim.secondary:
        return False
    return bool(name.strip()) and name.isprintable()
