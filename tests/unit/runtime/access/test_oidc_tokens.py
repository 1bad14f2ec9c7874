"""Tokens of an identity provider: which are taken, and which are not, whoever signed what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import jwt
import pytest

from isocenter.core.access import Kind
from isocenter.core.errors import Unauthenticated, Unavailable
from isocenter.runtime.access.claims import ALGORITHMS
from support.issuer import AUDIENCE, CLIENT, ISSUER, OIDC, Issuer, public_jwk, public_pem, rsa_key

NOW = int(time.time())


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def made(head: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    """A token that no library would make; signed with HMAC, or not at all."""
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
    return f"{signed}.{encoded(signature)}"


def claims(**more: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300, "sub": "s",
        "preferred_username": "eva", "roles": ["administrator"], **more,
    }  # fmt: skip


async def refused(issuer: Issuer, token: str, why: str = ".") -> None:
    with pytest.raises(Unauthenticated, match=why):
        await issuer.provider().program(token)


async def test_a_token_that_is_right_names_who_shows_it() -> None:
    issuer = Issuer()
    caller = await issuer.provider().program(issuer.token())
    assert (caller.kind, caller.name, caller.roles) == (Kind.PERSON, "eva", ("viewer",))
    robot = issuer.token(without=("preferred_username",), client_id="robot")
    caller = await issuer.provider().program(robot)
    assert (caller.kind, caller.name) == (Kind.PROGRAM, "robot")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"exp": NOW - 3600}, "expired"),
        ({"nbf": NOW + 3600}, "not yet valid"),
        ({"iat": NOW + 3600}, "not yet valid"),
        ({"aud": "another-api"}, "[Aa]udience"),
        ({"aud": []}, "aud"),
        ({"aud": CLIENT}, "[Aa]udience"),
        ({"iss": "https://login.test/realms/another"}, "[Ii]ssuer"),
        ({"iss": ISSUER + "/"}, "[Ii]ssuer"),
        ({"exp": "never"}, "."),
        ({"preferred_username": 5}, "names nobody"),
        ({"preferred_username": "a\nb"}, "names nobody"),
        ({"preferred_username": "x" * 64}, "names nobody"),
    ],
)
async def test_a_token_that_is_expired_not_yet_valid_or_of_others_is_refused(
    what: dict[str, Any], why: str
) -> None:
    issuer = Issuer()
    await refused(issuer, issuer.token(**what), why)


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud"])
async def test_a_token_without_what_bounds_it_is_refused(claim: str) -> None:
    issuer = Issuer()
    await refused(issuer, issuer.token(without=(claim,)), claim)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_that_is_not_signed_is_refused(algorithm: str) -> None:
    await refused(Issuer(), made({"alg": algorithm, "kid": "k1", "typ": "JWT"}, claims()))


async def test_a_public_key_is_never_a_shared_secret() -> None:
    """Key confusion (RFC 8725 2.1): HMAC with what everybody knows of the key."""
    issuer = Issuer()
    jwk = json.dumps(public_jwk(rsa_key(), "k1")).encode()
    pem = public_pem(rsa_key())
    for secret in (pem, pem.strip(), jwk, b"k1"):
        for algorithm in ("HS256", "HS384", "RS256"):
            head = {"alg": algorithm, "kid": "k1", "typ": "JWT"}
            await refused(issuer, made(head, claims(), secret))
    assert not any(one.startswith("HS") for one in ALGORITHMS)


async def test_a_shared_secret_among_the_keys_signs_nothing() -> None:
    issuer = Issuer(jwks={"keys": [{"kty": "oct", "kid": "k2", "k": encoded(b"s" * 32)}]})
    await refused(issuer, made({"alg": "HS256", "kid": "k2"}, claims(), b"s" * 32))


async def test_a_key_is_for_the_algorithm_that_it_is_named_with() -> None:
    issuer = Issuer()
    await refused(issuer, issuer.token(algorithm="PS256"), "key")
    await refused(issuer, issuer.token(algorithm="RS512"), "key")


@pytest.mark.parametrize(
    "head",
    [
        {"jku": "https://evil.test/keys"},
        {"x5u": "https://evil.test/chain.pem"},
        {"jwk": public_jwk(rsa_key(9), "k1")},
        {"x5c": ["MIIB"]},
        {"kid": "https://evil.test/keys"},
        {"kid": "../../../../dev/null"},
        {"kid": "k9"},
    ],
)
async def test_a_token_does_not_say_where_its_key_is(head: dict[str, Any]) -> None:
    """No request goes where the head of a token says (RFC 8725 3.10)."""
    issuer = Issuer()
    await refused(issuer, issuer.token(head=head, key=rsa_key(9)))
    assert {httpx.URL(one).host for one in issuer.asked} == {"login.test"}


async def test_a_token_with_an_extension_that_must_be_understood_is_refused() -> None:
    """RFC 7515 4.1.11."""
    issuer = Issuer()
    token = issuer.token(head={"crit": ["exp"]})
    await refused(issuer, token)


@pytest.mark.parametrize(
    "more",
    [
        {"nonce": "n"},
        {"at_hash": "h"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"typ": "ID"},
        {"typ": "Refresh"},
    ],
)
async def test_a_token_for_another_purpose_is_no_access_token(more: dict[str, Any]) -> None:
    issuer = Issuer()
    await refused(issuer, issuer.token(**more), "not an access token")


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", 5])
async def test_a_token_that_says_so_in_its_head_is_none_either(kind: Any) -> None:
    issuer = Issuer()
    await refused(issuer, issuer.token(head={"typ": kind}))
    for right in ("JWT", "at+jwt", "application/at+JWT"):
        await issuer.provider().program(issuer.token(head={"typ": right}))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "é.é.é", "a" * 60_000, "eyJhbGciOiJSUzI1NiJ9.e30.", "null.null.null"],
)
async def test_what_is_no_token_is_refused(text: str) -> None:
    issuer = Issuer()
    await refused(issuer, text)
    assert issuer.asked == [], "nobody is asked about it"


async def test_a_token_that_was_changed_is_refused() -> None:
    issuer = Issuer()
    head, body, signature = issuer.token().split(".")
    changed = jwt.decode(f"{head}.{body}.{signature}", options={"verify_signature": False})
    changed["roles"] = ["administrator"]
    forged = encoded(json.dumps(changed).encode())
    await refused(issuer, f"{head}.{forged}.{signature}", "[Ss]ignature")
    await refused(issuer, f"{head}.{body}.", "[Ss]ignature")


async def test_access_tokens_are_taken_only_where_an_audience_is_set() -> None:
    issuer = Issuer()
    provider = issuer.provider(OIDC.model_copy(update={"audience": ""}))
    with pytest.raises(Unauthenticated, match="not taken here"):
        await provider.program(issuer.token(aud=""))


# --- keys ----------------------------------------------------------------------------------------


async def test_keys_rotate() -> None:
    issuer = Issuer()
    provider = issuer.provider()
    await provider.program(issuer.token())
    issuer.keys, issuer.kid = {"k2": rsa_key(2)}, "k2"
    provider._keys_at -= 11  # ten seconds later
    await provider.program(issuer.token())
    issuer.kid = "k1"
    with pytest.raises(Unauthenticated, match="not known"):
        await provider.program(issuer.token(key=rsa_key()))


async def test_a_key_that_the_provider_has_withdrawn_counts_an_hour_at_most() -> None:
    issuer = Issuer()
    provider = issuer.provider()
    token = issuer.token()
    await provider.program(token)
    issuer.keys = {"k2": rsa_key(2)}
    await provider.program(token)
    provider._keys_at -= 3601
    with pytest.raises(Unauthenticated, match="not known"):
        await provider.program(token)


async def test_keys_that_are_known_count_while_the_provider_is_away() -> None:
    issuer = Issuer()
    provider = issuer.provider()
    token = issuer.token()
    await provider.program(token)
    issuer.away = True
    provider._keys_at -= 3601
    await provider.program(token)
    for _ in range(2):  # and it is not asked each time
        with pytest.raises(Unavailable):
            await provider.program(issuer.token(head={"kid": "k2"}))
    assert len(issuer.asked) == 3


async def test_made_up_names_of_keys_ask_nobody() -> None:
    issuer = Issuer()
    provider = issuer.provider()
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await provider.program(issuer.token(head={"kid": f"made-up-{number}"}))
    assert len(issuer.asked) == 2, "the description and the keys, once"


@pytest.mark.parametrize(
    "jwks", [{}, {"keys": 5}, {"keys": [5, {}, {"kid": "k1"}, {"kid": "k1", "kty": "nonsense"}]}]
)
async def test_keys_that_cannot_be_read_are_none(jwks: Any) -> None:
    await refused(Issuer(jwks=jwks), Issuer().token(), "not known")


async def test_a_key_for_encryption_signs_nothing() -> None:
    issuer = Issuer(jwks={"keys": [{**public_jwk(rsa_key(), "k1"), "use": "enc"}]})
    await refused(issuer, issuer.token(), "not known")
