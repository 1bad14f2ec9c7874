"""The gRPC port of programs: who is known by a token, ours or one of an identity provider, and who
by a certificate."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from isocenter.core.access import Caller, Kind, Right
from isocenter.core.events import Source
from isocenter.runtime.access.doors import OPERATOR, Doors
from isocenter.runtime.access.oidc import IdentityProvider
from isocenter.runtime.access.oidc_settings import OidcSettings
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.tokens import new_token
from isocenter.runtime.shown_certificates import shown
from isocenter.v1 import archive_pb2 as pb
from isocenter.v1 import archive_pb2_grpc
from isocenter.web.settings import WebSettings
from support.archive_calls import channel_to
from support.authority import Authority
from support.web_fakes import Web

ISSUER = "https://login.example.org/realms/hospital"
RESEARCH = {"name": "research", "roles": ["integrator"]}
NAMES = "DNS:research.example.org,URI:spiffe://example.org/research"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def program(authority: Authority) -> grpc.ChannelCredentials:
    return credentials(authority, "research", NAMES)


def credentials(authority: Authority, name: str, names: str) -> grpc.ChannelCredentials:
    tls = authority.issue(name, names)
    return grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes()
    )


@pytest.fixture
def web(authority: Authority) -> Web:
    """Its port asks for certificates."""
    own = authority.issue("pacs")
    return Web(
        WebSettings(
            port=0,
            grpc_certificate_file=own.certificate,
            grpc_key_file=own.key,
            grpc_ca_file=authority.certificate,
        )
    )


def doors_of(web: Web, *certificates: object, **settings: object) -> Doors:
    given = AccessSettings.model_validate({"certificates": certificates, **settings})
    return Doors.of(web.records, given)


async def count(
    web: Web, credentials: grpc.ChannelCredentials, doors: Doors, token: str = ""
) -> grpc.StatusCode:
    """How a search ends."""
    async with channel_to(web, credentials, doors=doors) as channel:
        call = archive_pb2_grpc.ArchiveServiceStub(channel).CountArchive(
            pb.SearchArchiveRequest(),
            metadata=(("authorization", f"Bearer {token}"),) if token else None,
        )
        code: grpc.StatusCode = await call.code()
        return code


async def token_of(doors: Doors, name: str) -> str:
    """A new one."""
    return await doors.tokens.make(*new_token(name, ["integrator"], 1), Source("CLI"))


# --- certificates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "CN=research,O=Hospital",
        "fingerprint",
        "research.example.org",
        "RESEARCH.example.org",
        "spiffe://example.org/research",
    ],
)
async def test_a_program_is_known_by_its_certificate(
    web: Web, authority: Authority, program: grpc.ChannelCredentials, written: str
) -> None:
    if written == "fingerprint":
        written = shown((authority.directory / "research.crt").read_bytes()).fingerprint
    entry = {**RESEARCH, "certificate": written, "only": ["search"], "sites": ["north"]}
    assert await count(web, program, doors_of(web, entry)) is grpc.StatusCode.OK
    (caller,) = web.query.callers
    assert caller == Caller(
        Kind.PROGRAM, "research", ("integrator",), (), ("north",), frozenset({Right.SEARCH})
    )
    source = web.audit.records[0][1]["source"]
    assert (source.user, source.tls_subject) == ("research", "CN=research,O=Hospital")
    assert source.known


@pytest.mark.parametrize(
    "written", ["CN=research", "O=Hospital,CN=research", "example.org", "sha256:" + "0" * 64]
)
async def test_a_certificate_that_nobody_named_is_nobodys(
    web: Web, program: grpc.ChannelCredentials, written: str
) -> None:
    doors = doors_of(web, {**RESEARCH, "certificate": written})
    assert await count(web, program, doors) is grpc.StatusCode.UNAUTHENTICATED
    assert not web.query.callers


async def test_a_name_of_another_kind_is_not_taken_for_one_that_is_known(
    web: Web, authority: Authority
) -> None:
    names = "URI:research.example.org,email:research@example.org,DNS:CN=research"
    disguised = credentials(authority, "disguised", names)
    written = ("research.example.org", "CN=research", "CN=research,O=Hospital")
    doors = doors_of(web, *({**RESEARCH, "certificate": one} for one in written))
    assert await count(web, disguised, doors) is grpc.StatusCode.UNAUTHENTICATED


async def test_what_its_roles_do_not_allow_is_refused(
    web: Web, program: grpc.ChannelCredentials
) -> None:
    entry = {"certificate": "research.example.org", "name": "research", "roles": ["auditor"]}
    assert await count(web, program, doors_of(web, entry)) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_token_says_who_calls_and_the_certificate_is_recorded_with_it(
    web: Web, program: grpc.ChannelCredentials
) -> None:
    doors = doors_of(web, {**RESEARCH, "certificate": "research.example.org"})
    token = await token_of(doors, "forwarder")
    assert await count(web, program, doors, token) is grpc.StatusCode.OK
    assert [str(one) for one in web.query.callers] == ["program:forwarder"]
    source = web.audit.records[0][1]["source"]
    assert (source.user, source.tls_subject) == ("forwarder", "CN=research,O=Hospital")


async def test_a_token_that_is_not_taken_is_not_made_up_for_by_a_certificate(
    web: Web, program: grpc.ChannelCredentials
) -> None:
    doors = doors_of(web, {**RESEARCH, "certificate": "research.example.org"})
    token = await token_of(doors, "forwarder")
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "nonsense", "iso_"):
        assert await count(web, program, doors, wrong) is grpc.StatusCode.UNAUTHENTICATED
    assert not web.query.callers


async def test_a_certificate_that_is_known_is_stronger_than_being_on_this_machine(
    web: Web, authority: Authority, program: grpc.ChannelCredentials
) -> None:
    doors = doors_of(web, {**RESEARCH, "certificate": "research.example.org"}, trust_loopback=True)
    other = credentials(authority, "other", "DNS:other.example.org")
    assert await count(web, program, doors) is grpc.StatusCode.OK
    assert await count(web, other, doors) is grpc.StatusCode.OK
    assert [one.name for one in web.query.callers] == ["research", OPERATOR.name]


async def test_certificates_that_are_not_good_reach_nothing(
    web: Web, authority: Authority, tmp_path: Path
) -> None:
    doors = doors_of(web, {**RESEARCH, "certificate": "research.example.org"})
    ca = authority.certificate.read_bytes()
    strange = Authority(tmp_path).issue("research", NAMES)
    ended = authority.issue("ended", NAMES, days=-1)
    for given in (
        grpc.ssl_channel_credentials(ca),
        *(
            grpc.ssl_channel_credentials(ca, one.key.read_bytes(), one.certificate.read_bytes())
            for one in (strange, ended)
        ),
    ):
        assert await count(web, given, doors) is grpc.StatusCode.UNAVAILABLE
    assert not web.query.callers


# --- access tokens of an identity provider -------------------------------------------------------


class Issuer:
    """An identity provider in memory: discovery, one key, and the tokens of client credentials."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._answers = {
            "/realms/hospital/.well-known/openid-configuration": {
                "issuer": ISSUER,
                "authorization_endpoint": f"{ISSUER}/auth",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys",
            },
            "/realms/hospital/keys": {"keys": [{**public, "kid": "one", "alg": "ES256"}]},
        }

    def transport(self) -> httpx.MockTransport:
        """In place of the network."""
        return httpx.MockTransport(
            lambda request: httpx.Response(
                200, stream=httpx.ByteStream(json.dumps(self._answers[request.url.path]).encode())
            )
        )

    def token(self, **claims: object) -> str:
        """An access token; what is not said is as it should be."""
        now = int(time.time())
        told = {"iss": ISSUER, "aud": "isocenter", "iat": now, "exp": now + 60, "sub": "7",
                "client_id": "research", "roles": ["integrator"], **claims}  # fmt: skip
        return jwt.encode(told, self._key, "ES256", {"kid": "one"})


async def test_client_credentials_of_an_identity_provider_are_taken_over_grpc(
    web: Web, program: grpc.ChannelCredentials
) -> None:
    issuer = Issuer()
    settings = OidcSettings(issuer=ISSUER, audience="isocenter")
    doors = replace(doors_of(web), provider=IdentityProvider(settings, issuer.transport()))
    past = int(time.time()) - 3600
    try:
        assert await count(web, program, doors, issuer.token()) is grpc.StatusCode.OK
        for wrong in (
            issuer.token(aud="other"),
            issuer.token(iss="https://evil.example.org"),
            issuer.token(exp=past),
            issuer.token(nbf=int(time.time()) + 3600),
            Issuer().token(),  # of another key by the same name
            jwt.encode({"client_id": "research"}, "", "none"),
        ):
            assert await count(web, program, doors, wrong) is grpc.StatusCode.UNAUTHENTICATED
        without = issuer.token(roles=[])
        assert await count(web, program, doors, without) is grpc.StatusCode.PERMISSION_DENIED
    finally:
        await doors.close()
    assert web.query.callers == [Caller(Kind.PROGRAM, "research", ("integrator",))]
