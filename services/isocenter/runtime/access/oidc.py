"""The identity provider: discovery, keys, the authorization code flow with PKCE, refresh and
logout (OpenID Connect Core and Discovery 1.0, RFC 7636, RFC 9207).

It is asked only at the addresses that its own discovery document names. While it is away, nobody
new comes in by it, and whoever has a session stays.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import jwt
import orjson

from isocenter.core.access import Caller
from isocenter.core.errors import Refused, Unauthenticated, Unavailable
from isocenter.runtime.access.claims import (
    ALGORITHMS,
    Person,
    check_is_access_token,
    checked,
    person_of,
    program_of,
)
from isocenter.runtime.access.oidc_settings import OidcSettings
from isocenter.runtime.tls_files import CallerTls

logger = logging.getLogger(__name__)

_TIMEOUT = httpx.Timeout(10)
_SECONDS = 20.0  # for a whole answer, however it drips
_MOST_BYTES = 1024 * 1024  # of an answer
_FRESH_SECONDS = 3600.0  # of the discovery document, and of keys
_JUST_NOW_SECONDS = 5.0  # of the document, when somebody signs in
_KEYS_SECONDS = 10.0  # between two looks for a key that is not known
_FIELDS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_FAREWELL = "end_session_endpoint"
_OUR_FAULT = frozenset({"invalid_client", "unauthorized_client"})  # RFC 6749 5.2
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in under way; the browser keeps it."""

    state: str
    nonce: str
    verifier: str  # RFC 7636 4.1

    @classmethod
    def new(cls) -> Flow:
        """By chance."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        """RFC 7636 4.2, S256."""
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class Grant:
    """What the provider answers with."""

    person: Person
    id_token: str
    refresh_token: str  # empty: none


class IdentityProvider:
    """The provider of the settings."""

    def __init__(
        self, settings: OidcSettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport`: in place of the network. Raises `Invalid` if the CA cannot be read."""
        self._settings = settings
        trusted = CallerTls(settings.ca_file, None, None, "access.oidc.{}".format).read().context
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT,
            verify=trusted,
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )
        self._described: tuple[float, Mapping[str, Any]] | None = None
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._keys_at = float("-inf")  # when they were asked for
        self._away: Unavailable | None = None  # why they could not be had then
        self._looking = asyncio.Lock()

    @property
    def refresh_after(self) -> timedelta:
        """After which it is asked again about somebody."""
        return timedelta(minutes=self._settings.refresh_minutes)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    # --- people ----------------------------------------------------------------------------------

    async def address(self, flow: Flow, redirect_uri: str) -> str:
        """Where a browser is sent to sign in. Raises `Unavailable`, so that nobody is sent to a
        provider that is away."""
        described = await self._asked(_JUST_NOW_SECONDS)
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(described["authorization_endpoint"], query)

    async def grant(self, flow: Flow, answered: Mapping[str, str], redirect_uri: str) -> Grant:
        """Who signed in, by what the browser brings back. Raises `Refused` if they did not,
        `Unauthenticated` for what is not an answer to this flow, `Unavailable`."""
        if not _same(answered.get("state", ""), flow.state):
            raise Unauthenticated("this is no answer to a sign-in of this browser")
        if answered.get("iss", self._settings.issuer) != self._settings.issuer:
            raise Unauthenticated("the answer is of another identity provider (RFC 9207)")
        if "code" not in answered:
            raise Refused("the identity provider did not let you in")
        form = {
            "grant_type": "authorization_code",
            "code": answered["code"],
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        told = await self._token(form)
        claims = await self._id_claims(_text(told, "id_token"), ("sub", "nonce"))
        if not _same(str(claims["nonce"]), flow.nonce):
            raise Unauthenticated("the ID token is not of this sign-in")
        person = person_of(claims, self._settings)
        return Grant(person, _text(told, "id_token"), _optional(told, "refresh_token"))

    async def renewed(self, refresh_token: str, subject: str) -> Grant | None:
        """The same person as of now; None if the provider does not let them in any more. Raises
        `Unavailable`."""
        try:
            told = await self._token(
                {"grant_type": "refresh_token", "refresh_token": refresh_token}
            )
            claims = await self._id_claims(_text(told, "id_token"), ("sub",))
            person = person_of(claims, self._settings)
        except (Refused, Unauthenticated) as error:
            logger.info("a session is not renewed", extra={"why": str(error)})
            return None
        if person.subject != subject:  # OpenID Connect Core 12.2
            return None
        token = _optional(told, "refresh_token") or refresh_token
        return Grant(person, _text(told, "id_token"), token)

    async def farewell(self, id_token: str, back: str) -> str:
        """Where a browser is sent to sign out there too; empty if the provider has no such place.
        Raises `Unavailable`."""
        endpoint = (await self._description()).get(_FAREWELL)
        if not endpoint:
            return ""
        query = {"client_id": self._settings.client_id, "post_logout_redirect_uri": back}
        if id_token:
            query["id_token_hint"] = id_token
        return _with_query(endpoint, query)

    # --- programs --------------------------------------------------------------------------------

    async def program(self, token: str) -> Caller:
        """Who shows an access token. Raises `Unauthenticated`, `Unavailable`."""
        if not self._settings.audience:
            raise Unauthenticated("access tokens of the identity provider are not taken here")
        key = await self._key_of(token)
        claims = checked(token, key, self._settings.issuer, self._settings.audience, ())
        check_is_access_token(jwt.get_unverified_header(token), claims)
        return program_of(claims, self._settings)

    # --- the provider ----------------------------------------------------------------------------

    async def _id_claims(self, token: str, required: tuple[str, ...]) -> Mapping[str, Any]:
        settings = self._settings
        key = await self._key_of(token)
        claims = checked(token, key, settings.issuer, settings.client_id, required)
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if (several or "azp" in claims) and claims.get("azp") != settings.client_id:
            raise Unauthenticated("the ID token is for another client")
        return claims

    async def _key_of(self, token: str) -> jwt.PyJWK:
        """The key that a token says it is signed with. Raises `Unauthenticated`, `Unavailable`."""
        try:
            head = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated("this is no token of ours, and no JSON Web Token") from error
        if head.get("alg") not in ALGORITHMS or not isinstance(head.get("kid"), str):
            raise Unauthenticated("the token is not signed in a way that is taken here")
        if head["kid"] not in self._keys or self._keys_age() > _FRESH_SECONDS:
            await self._look_for_keys(head["kid"])
        key = self._keys.get(head["kid"])
        if key is None or key.algorithm_name != head["alg"]:
            raise Unauthenticated("the key that the token is signed with is not known")
        return key

    def _keys_age(self) -> float:
        return time.monotonic() - self._keys_at

    async def _look_for_keys(self, wanted: str) -> None:
        """Keys rotate; who makes up names of keys is not asked for each. Keys that are known count
        while the provider is away. Raises `Unavailable`."""
        async with self._looking:
            if self._keys_age() < _KEYS_SECONDS:
                if self._away is not None and wanted not in self._keys:
                    raise Unavailable(self._away.message, fix=self._away.fix)
                return
            self._keys_at = time.monotonic()
            try:
                told = await self._get((await self._description())["jwks_uri"])
                self._keys, self._away = _keys_of(told), None
            except Unavailable as error:
                self._away = error
                if wanted not in self._keys:
                    raise

    async def _description(self) -> Mapping[str, Any]:
        """What the provider says of itself. Raises `Unavailable`."""
        try:
            return await self._asked(_FRESH_SECONDS)
        except Unavailable:
            if self._described is None:
                raise
            return self._described[1]  # it was right an hour ago

    async def _asked(self, seconds: float) -> Mapping[str, Any]:
        """The same, not older than so many seconds (OpenID Connect Discovery 4). Raises
        `Unavailable`."""
        known = self._described
        if known is not None and time.monotonic() - known[0] < seconds:
            return known[1]
        issuer = self._settings.issuer
        told = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer") != issuer:
            raise Unavailable(
                f"the identity provider calls itself {str(told.get('issuer'))[:200]!r}",
                fix="set [access.oidc] issuer to that",
            )
        for field in (*_FIELDS, *({_FAREWELL} & told.keys())):
            _check_address(told.get(field), issuer)
        self._described = time.monotonic(), told
        return told

    async def _token(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Ask the token endpoint. Raises `Refused`, `Unavailable`."""
        endpoint = (await self._description())["token_endpoint"]
        settings = self._settings
        fields = {**form, "client_id": settings.client_id}
        if secret := settings.secret("client_secret"):
            fields["client_secret"] = secret
        status, told = await self._ask("POST", endpoint, data=fields)
        if status == 200:
            return told
        error = str(told.get("error"))[:100]
        if error in _OUR_FAULT:
            raise Unavailable(
                f"the identity provider does not take us for its client: {error}",
                fix="correct [access.oidc] client_id and client_secret",
            )
        if 400 <= status < 500 and status not in _PASSING:
            raise Refused(f"the identity provider refuses: {error}")
        raise Unavailable("the identity provider does not answer", fix="try again")

    async def _get(self, address: str) -> Mapping[str, Any]:
        status, told = await self._ask("GET", address)
        if status != 200:
            raise Unavailable(f"the identity provider answers with {status}", fix="try again")
        return told

    async def _ask(
        self, method: str, address: str, data: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._client.stream(method, address, data=data) as response,
            ):
                body = b""
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise Unavailable("the identity provider answers with too much")
                told = orjson.loads(body) if body else {}
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            raise Unavailable(
                f"the identity provider cannot be asked: {type(error).__name__}", fix="try again"
            ) from error
        if not isinstance(told, dict):
            raise Unavailable("the identity provider answers with what is no JSON object")
        return response.status_code, told


def _text(told: Mapping[str, Any], field: str) -> str:
    value = told.get(field)
    if not isinstance(value, str):
        raise Unauthenticated(f"the identity provider gives no {field}")
    return value


def _optional(told: Mapping[str, Any], field: str) -> str:
    value = told.get(field)
    return value if isinstance(value, str) else ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _keys_of(told: Mapping[str, Any]) -> Mapping[str, jwt.PyJWK]:
    """The keys of a JWK set that sign (RFC 7517 4, 5)."""
    listed = told.get("keys")
    found: dict[str, jwt.PyJWK] = {}
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        if isinstance(one.get("kid"), str):
            try:
                found[one["kid"]] = jwt.PyJWK(one)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue  # of a kind that is not known here
    return found


def _with_query(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"


def _check_address(address: object, issuer: str) -> None:
    """As safe as the issuer itself. Raises `Unavailable`."""
    text = address if isinstance(address, str) else ""
    try:
        parts = urlsplit(text)
        plain = (
            text.isascii() and text.isprintable() and " " not in text and "@" not in parts.netloc
        )
        safe = parts.scheme == "https" or parts.scheme == urlsplit(issuer).scheme
        usable = bool(parts.hostname) and plain and safe
    except ValueError:
        usable = False
    if not usable:
        raise Unavailable("the identity provider names an address that cannot be used")
