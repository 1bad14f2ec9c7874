"""What tokens of an identity provider say, once their signature and purpose are checked
(OpenID Connect Core 3.1.3.7, RFC 9068 4, RFC 8725)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from isocenter.core.access import ROLES, Caller, Kind
from isocenter.core.errors import Unauthenticated
from isocenter.runtime.access.oidc_settings import OidcSettings

# Never `none`, and nothing by which a public key could be taken for a shared secret.
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_ACCESS_TOKENS = frozenset({"jwt", "at+jwt"})  # RFC 9068 2.1, in the head of a token
# OpenID Connect Core 2, 3.1.3.6, Back-Channel Logout 2.4.
_OF_OTHERS = frozenset({"nonce", "at_hash", "c_hash", "events"})
_LEEWAY = 60  # seconds between clocks
_MOST = 200  # values of a claim
_LONGEST = 63  # bytes of a name


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an ID token names."""

    name: str
    subject: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    sites: tuple[str, ...]


def checked(
    token: str, key: jwt.PyJWK, issuer: str, audience: str, required: Sequence[str]
) -> Mapping[str, Any]:
    """The claims of a token that is signed with a key, of this issuer, for this audience, and valid
    now. Raises `Unauthenticated`."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[one for one in ALGORITHMS if one == key.algorithm_name],
            issuer=issuer,
            audience=audience,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "iss", "aud", *required], "strict_aud": False},
        )
    except jwt.PyJWTError as error:
        raise Unauthenticated(f"the token cannot be taken: {error}") from error
    return claims


def check_is_access_token(head: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Raises `Unauthenticated` for a token of the same provider that was given for another purpose:
    an ID token, or one by which sessions end."""
    kind = head.get("typ", "JWT")
    told = claims.get("typ")  # of Keycloak
    right = isinstance(kind, str) and kind.lower().removeprefix("application/") in _ACCESS_TOKENS
    if not right or _OF_OTHERS & claims.keys() or told not in (None, "Bearer"):
        raise Unauthenticated("this is not an access token")


def person_of(claims: Mapping[str, Any], settings: OidcSettings) -> Person:
    """Whom an ID token names. Raises `Unauthenticated` if it names nobody."""
    name = _at(claims, settings.name_claim)
    subject = claims.get("sub")
    if not isinstance(name, str) or not _is_name(name) or not isinstance(subject, str):
        raise Unauthenticated(
            f"the identity provider gives no name in the claim {settings.name_claim}",
            fix="see [access.oidc] name_claim",
        )
    return Person(
        name,
        subject,
        roles_of(claims, settings),
        _texts(claims, settings.groups_claim),
        _texts(claims, settings.sites_claim),
    )


def program_of(claims: Mapping[str, Any], settings: OidcSettings) -> Caller:
    """Whom an access token names. One that a person gave to a program acts for that person."""
    client = claims.get("client_id") or claims.get("azp")
    name = _at(claims, settings.name_claim)
    by_itself = not isinstance(name, str) or name.startswith("service-account-")
    named = client if by_itself else name
    if not isinstance(named, str) or not _is_name(named):
        raise Unauthenticated("the token names nobody")
    return Caller(
        Kind.PROGRAM if by_itself else Kind.PERSON,
        named,
        roles_of(claims, settings),
        _texts(claims, settings.groups_claim),
        _texts(claims, settings.sites_claim),
    )


def roles_of(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[str, ...]:
    """Our roles among those of a claim."""
    told = _texts(claims, settings.roles_claim)
    ours = (settings.roles.get(one, one) for one in told)
    return tuple(dict.fromkeys(one for one in ours if one in ROLES))


def _at(claims: Mapping[str, Any], path: str) -> object:
    """The value at a path; a claim whose name is the whole path counts first."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _texts(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    found = _at(claims, path)
    values = found if isinstance(found, list) else found.split() if isinstance(found, str) else []
    return tuple(one for one in values if isinstance(one, str) and _is_name(one))[:_MOST]


def _is_name(text: str) -> bool:
    return bool(text.strip()) and text.isprintable() and len(text.encode()) <= _LONGEST
