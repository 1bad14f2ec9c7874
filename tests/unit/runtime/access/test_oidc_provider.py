"""The identity provider: where it is asked, how long, for how much, and what of it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import ValidationError

from isocenter.core.errors import IsocenterError, Refused, Unauthenticated, Unavailable
from isocenter.runtime.access import oidc
from isocenter.runtime.access.oidc import Flow, Grant, IdentityProvider
from isocenter.runtime.access.oidc_settings import OidcSettings
from support.issuer import CLIENT, ISSUER, OIDC, Issuer

BACK = "https://pacs.test/sign-in/answer"
DESCRIPTION, TOKEN = (
    urlsplit(ISSUER).path + end for end in ("/.well-known/openid-configuration", "/token")
)


async def signed_in(issuer: Issuer, **brought: str) -> Grant:
    """A sign-in, of which the browser brings back what is usual, or something else."""
    provider, flow = issuer.provider(), Flow.new()
    answered = issuer.signs_in(await provider.address(flow, BACK))
    return await provider.grant(flow, {**answered, **brought}, BACK)


async def test_a_sign_in_names_the_person() -> None:
    issuer = Issuer()
    grant = await signed_in(issuer)
    assert (grant.person.name, grant.person.subject, grant.person.roles) == (
        "eva", "f3a1", ("viewer",),
    )  # fmt: skip


async def test_each_sign_in_has_secrets_of_its_own_of_which_the_address_tells_what_it_may() -> None:
    flows = [Flow.new() for _ in range(3)]
    told = {value for flow in flows for value in (flow.state, flow.nonce, flow.verifier)}
    assert len(told) == 9
    assert all(len(value) >= 43 for value in told), "256 bits, and RFC 7636 4.1"
    address = await Issuer().provider().address(flows[0], BACK)
    query = parse_qs(urlsplit(address).query)
    assert (query["response_type"], query["code_challenge_method"]) == (["code"], ["S256"])
    assert flows[0].verifier not in address


@pytest.mark.parametrize(
    ("brought", "error", "why"),
    [
        ({"state": "another"}, Unauthenticated, "no answer to a sign-in of this browser"),
        ({"state": ""}, Unauthenticated, "no answer to a sign-in of this browser"),
        ({"state": "é"}, Unauthenticated, "no answer to a sign-in of this browser"),
        ({"iss": "https://evil.test"}, Unauthenticated, "another identity provider"),
        ({"code": "made-up"}, Refused, "invalid_grant"),
    ],
)
async def test_an_answer_of_another_sign_in_is_refused(
    brought: dict[str, str], error: type[IsocenterError], why: str
) -> None:
    with pytest.raises(error, match=why):
        await signed_in(Issuer(), **brought)


async def test_an_answer_counts_once() -> None:
    issuer, flow = Issuer(), Flow.new()
    provider = issuer.provider()
    answered = issuer.signs_in(await provider.address(flow, BACK))
    await provider.grant(flow, answered, BACK)
    with pytest.raises(Refused, match="invalid_grant"):
        await provider.grant(flow, answered, BACK)


async def test_a_code_of_somebody_elses_sign_in_is_of_no_use() -> None:
    """PKCE: who has the code has not the verifier."""
    issuer, theirs, ours = Issuer(), Flow.new(), Flow.new()
    provider = issuer.provider()
    stolen = issuer.signs_in(await provider.address(theirs, BACK))
    with pytest.raises(Refused, match="invalid_grant"):
        await provider.grant(ours, {**stolen, "state": ours.state}, BACK)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "of-another-sign-in"}, "not of this sign-in"),
        ({"nonce": "é"}, "not of this sign-in"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another-client"}, "[Aa]udience"),
        ({"aud": [CLIENT, "another-client"]}, "another client"),
        ({"azp": "another-client"}, "another client"),
        ({"iss": "https://evil.test"}, "[Ii]ssuer"),
        ({"exp": 1}, "expired"),
        ({"sub": None}, "sub"),
        ({"preferred_username": None}, "preferred_username"),
    ],
)
async def test_an_id_token_that_is_replayed_or_of_others_is_refused(
    claims: dict[str, Any], why: str
) -> None:
    with pytest.raises(Unauthenticated, match=why):
        await signed_in(Issuer(id_claims=claims))


async def test_our_secret_is_read_for_each_question(tmp_path: Path) -> None:
    issuer, file = Issuer(), tmp_path / "secret"
    provider = issuer.provider(OIDC.model_copy(update={"client_secret_file": file}))
    for secret in ("first", "second"):
        file.write_text(secret)
        flow = Flow.new()
        await provider.grant(flow, issuer.signs_in(await provider.address(flow, BACK)), BACK)
    assert issuer.secrets == ["first", "second"]


# --- where it is asked ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field", ["authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"]
)
@pytest.mark.parametrize(
    "address",
    [
        "http://login.test/x",
        "file:///etc/passwd",
        "gopher://login.test/x",
        "javascript:alert(1)",
        "//login.test/x",
        "/x",
        "",
        None,
        5,
        "https://user:password@login.test/x",
        "https://login.test\\@evil.test/x",
        "https://login.test/x\r\nset-cookie: a=b",
        "https://[login.test/x",
        "https://login.test/é",
    ],
)
async def test_addresses_that_are_less_safe_than_the_issuer_are_not_used(
    field: str, address: Any
) -> None:
    issuer = Issuer(described={field: address})
    with pytest.raises(Unavailable, match="names an address that cannot be used"):
        await issuer.provider().address(Flow.new(), BACK)
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("named", ["https://evil.test", ISSUER + "/", "", None])
async def test_a_description_of_another_issuer_is_not_used(named: Any) -> None:
    with pytest.raises(Unavailable, match="calls itself"):
        await Issuer(described={"issuer": named}).provider().address(Flow.new(), BACK)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    for path in (DESCRIPTION, TOKEN):
        away = httpx.Response(status, headers={"location": "http://169.254.169.254/"})
        issuer = Issuer(answers={path: away})
        with pytest.raises((Unavailable, Refused)):
            await signed_in(issuer)
        assert {httpx.URL(one).host for one in issuer.asked} == {"login.test"}


def test_no_proxy_and_no_password_file_of_the_machine_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.test:3128")
    client = IdentityProvider(OIDC)._client
    assert not client.trust_env
    assert not client.follow_redirects


@pytest.mark.parametrize(
    "issuer", ["login.test", "ftp://login.test", "https://login.test/?a=b", "https://a@login.test"]
)
def test_what_is_no_issuer_is_no_setting(issuer: str) -> None:
    with pytest.raises(ValidationError, match="not an issuer"):
        OidcSettings(issuer=issuer)


# --- how long, and how much ----------------------------------------------------------------------


async def test_an_answer_that_is_too_long_is_not_read_on() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))
    provider = IdentityProvider(OIDC, transport)
    with pytest.raises(Unavailable, match="too much"):
        await provider.address(Flow.new(), BACK)
    assert sent <= 2 * 1024 * 1024


async def test_an_answer_that_is_compressed_is_not_unpacked() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        packed = httpx.ByteStream(b"\x1f\x8b\x08\0")
        return httpx.Response(200, stream=packed, headers={"content-encoding": "gzip"})

    with pytest.raises(Unavailable, match="cannot be asked"):
        await IdentityProvider(OIDC, httpx.MockTransport(answer)).address(Flow.new(), BACK)
    assert asked == ["identity"]


async def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "_SECONDS", 0.05)

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=dripping()))
    with pytest.raises(Unavailable, match="cannot be asked: TimeoutError"):
        await IdentityProvider(OIDC, transport).address(Flow.new(), BACK)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b'"x"', b"\xff"])
async def test_an_answer_that_is_no_json_object_is_none(body: bytes) -> None:
    issuer = Issuer(answers={DESCRIPTION: httpx.Response(200, content=body)})
    with pytest.raises(Unavailable):
        await issuer.provider().address(Flow.new(), BACK)


# --- while it is away ----------------------------------------------------------------------------


async def test_while_it_is_away_new_sign_ins_are_told_so() -> None:
    issuer = Issuer(away=True)
    with pytest.raises(Unavailable, match="the identity provider cannot be asked") as caught:
        await issuer.provider().address(Flow.new(), BACK)
    assert "try again" in caught.value.fix


async def test_what_it_said_of_itself_counts_on_while_it_is_away() -> None:
    issuer = Issuer()
    provider = issuer.provider()
    await provider.address(Flow.new(), BACK)
    issuer.away = True
    assert provider._described is not None
    provider._described = (provider._described[0] - 3601, provider._described[1])
    assert (await provider.farewell("", BACK)).startswith(f"{ISSUER}/logout?")


@pytest.mark.parametrize(
    ("error", "status", "ends"),
    [
        ("invalid_grant", 400, True),
        ("invalid_client", 401, False),
        ("unauthorized_client", 400, False),
        ("slow_down", 429, False),
        ("server_error", 500, False),
        ("temporarily_unavailable", 503, False),
    ],
)
async def test_a_session_ends_only_if_its_person_is_not_let_in(
    error: str, status: int, ends: bool
) -> None:
    issuer = Issuer()
    provider = issuer.provider()
    flow = Flow.new()
    answered = issuer.signs_in(await provider.address(flow, BACK))
    grant = await provider.grant(flow, answered, BACK)
    issuer.refusing, issuer.status = error, status
    if ends:
        assert await provider.renewed(grant.refresh_token, "f3a1") is None
        return
    with pytest.raises(Unavailable):
        await provider.renewed(grant.refresh_token, "f3a1")


async def test_a_session_is_renewed_for_its_person_only() -> None:
    issuer = Issuer()
    grant = await signed_in(issuer)
    renewed = await issuer.provider().renewed(grant.refresh_token, "f3a1")
    assert renewed is not None
    assert renewed.refresh_token not in ("", grant.refresh_token)
    issuer.person["sub"] = "another"
    assert await issuer.provider().renewed(renewed.refresh_token, "f3a1") is None
