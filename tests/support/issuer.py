"""An OpenID Connect provider inside the process, and browsers that sign in by it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isocenter.runtime.access.oidc import IdentityProvider
from isocenter.runtime.access.oidc_settings import OidcSettings

ISSUER = "https://login.test/realms/hospital"
CLIENT, AUDIENCE = "isocenter", "isocenter-api"
OIDC = OidcSettings(issuer=ISSUER, client_id=CLIENT, audience=AUDIENCE, refresh_minutes=5)


@cache
def rsa_key(number: int = 0) -> RSAPrivateKey:
    """One of several keys; they are slow to make."""
    del number
    return generate_private_key(65537, 2048)


def public_pem(key: RSAPrivateKey) -> bytes:
    """What everybody knows of it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_jwk(key: RSAPrivateKey, kid: str) -> dict[str, Any]:
    """The same, as a member of a JWK set."""
    made: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "alg": "RS256", "use": "sig"}


@dataclass
class _Code:
    redirect_uri: str
    nonce: str
    challenge: str


@dataclass
class Issuer:
    """The provider. It answers as `described`, `jwks` and `claims` say."""

    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "f3a1", "preferred_username": "eva", "roles": ["viewer"],
        }
    )  # fmt: skip
    keys: dict[str, RSAPrivateKey] = field(default_factory=lambda: {"k1": rsa_key()})
    kid: str = "k1"  # that signs
    described: dict[str, Any] = field(default_factory=dict)  # otherwise than usual
    jwks: Any = None  # in place of the keys
    away: bool = False
    refusing: str = ""  # an error code of the token endpoint
    status: int = 400
    id_claims: dict[str, Any] = field(default_factory=dict)  # otherwise than usual
    asked: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)  # of the client, as it showed them
    refreshed: list[str] = field(default_factory=list)
    answers: dict[str, httpx.Response] = field(default_factory=dict)  # by path, in place of ours
    _codes: dict[str, _Code] = field(default_factory=dict)
    _refresh: set[str] = field(default_factory=set)

    @property
    def transport(self) -> httpx.MockTransport:
        """The network of which it is all."""

        def answer(request: httpx.Request) -> httpx.Response:
            made = self._answer(request)
            stream = httpx.ByteStream(made.content)  # as from a socket: not read yet
            return httpx.Response(made.status_code, headers=made.headers, stream=stream)

        return httpx.MockTransport(answer)

    def provider(self, settings: OidcSettings = OIDC) -> IdentityProvider:
        """What asks it."""
        return IdentityProvider(settings, self.transport)

    # --- tokens ----------------------------------------------------------------------------------

    def token(
        self,
        *,
        head: Mapping[str, Any] | None = None,
        key: Any = None,
        algorithm: str = "RS256",
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """An access token of the person, other than usual in what is given."""
        now = int(time.time())
        usual = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300, **self.person}
        said = {name: value for name, value in {**usual, **claims}.items() if name not in without}
        fields = {"kid": self.kid, **(head or {})}
        signing = self.keys[self.kid] if key is None else key
        return jwt.encode(said, signing, algorithm=algorithm, headers=fields)

    def id_token(self, nonce: str | None) -> str:
        """An ID token of the person."""
        said = {"aud": CLIENT, **({} if nonce is None else {"nonce": nonce}), **self.id_claims}
        without = tuple(name for name, value in said.items() if value is None)
        return self.token(without=without, **said)

    # --- browsers --------------------------------------------------------------------------------

    def signs_in(self, address: str) -> dict[str, str]:
        """What a browser brings back that was sent to this address."""
        query = dict(parse_qsl(urlsplit(address).query))
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = _Code(query["redirect_uri"], query["nonce"], query["code_challenge"])
        return {"code": code, "state": query["state"], "iss": ISSUER}

    # --- answers ---------------------------------------------------------------------------------

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self.away:
            raise httpx.ConnectError("nobody there", request=request)
        if request.url.path in self.answers:
            return self.answers[request.url.path]
        base = urlsplit(ISSUER).path
        match request.url.path.removeprefix(base):
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self._description())
            case "/keys":
                usual = {"keys": [public_jwk(key, kid) for kid, key in self.keys.items()]}
                return httpx.Response(200, json=usual if self.jwks is None else self.jwks)
            case "/token":
                return self._token(dict(parse_qsl(request.content.decode())))
        return httpx.Response(404)

    def _description(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "end_session_endpoint": f"{ISSUER}/logout",
            **self.described,
        }

    def _token(self, form: Mapping[str, str]) -> httpx.Response:
        self.secrets.append(form.get("client_secret", ""))
        if self.refusing:
            return httpx.Response(self.status, json={"error": self.refusing})
        if form["grant_type"] == "refresh_token":
            return self._refreshed(form["refresh_token"])
        code = self._codes.pop(form["code"], None)  # used once (RFC 6749 4.1.2)
        if code is None or code.redirect_uri != form["redirect_uri"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
            return httpx.Response(400, json={"error": "invalid_grant"})
        return self._granted(code.nonce)

    def _refreshed(self, token: str) -> httpx.Response:
        self.refreshed.append(token)
        if token not in self._refresh:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self._refresh.discard(token)  # each counts once
        return self._granted(None)

    def _granted(self, nonce: str | None) -> httpx.Response:
        refresh = secrets.token_urlsafe(16)
        self._refresh.add(refresh)
        body = {"id_token": self.id_token(nonce), "access_token": "x", "refresh_token": refresh}
        return httpx.Response(200, content=json.dumps(body))
