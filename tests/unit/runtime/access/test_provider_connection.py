"""What connects us with the identity provider: our secret as it is now, and whose certificates we
believe; and what goes on while the provider is away."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import Policy
from isocenter.core.errors import Invalid, IsocenterError, Unavailable
from isocenter.core.events import Source
from isocenter.runtime.access.claims import Person
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.oidc import Flow, Grant, IdentityProvider
from isocenter.runtime.access.oidc_settings import OidcSettings
from isocenter.runtime.access.settings import AccessSettings
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.authority import Authority
from support.mounted import Mounted

ISSUER = "https://login.example.org"
DESCRIBED = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}
FLOW = Flow.new()
ANSWERED = {"state": FLOW.state, "code": "code"}


def provider(
    answer: Callable[[httpx.Request], httpx.Response], **settings: object
) -> IdentityProvider:
    fields = {"issuer": ISSUER, **settings}
    return IdentityProvider(OidcSettings.model_validate(fields), httpx.MockTransport(answer))


def told(status: int, answer: Mapping[str, str]) -> httpx.Response:
    """As it comes over a network: not read yet."""
    return httpx.Response(status, stream=httpx.ByteStream(json.dumps(answer).encode()))


async def test_the_secret_is_the_one_that_is_mounted_now(tmp_path: Path) -> None:
    shown = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            shown.append(parse_qs(request.content.decode())["client_secret"])
            return told(400, {"error": "invalid_grant"})
        return told(200, DESCRIBED)

    mounted = Mounted(tmp_path / "oidc", {"client-secret": "one\n"})
    asked = provider(answer, client_secret_file=mounted.folder / "client-secret")
    for secret in ("one", "two"):
        mounted.change({"client-secret": secret + "\n"})
        with pytest.raises(IsocenterError, match="invalid_grant"):
            await asked.grant(FLOW, ANSWERED, "https://pacs.example.org/sign-in/answer")
    assert shown == [["one"], ["two"]]
    await asked.close()


def test_a_ca_that_is_not_there_is_told_with_the_setting(tmp_path: Path) -> None:
    settings = OidcSettings(issuer=ISSUER, ca_file=tmp_path / "ca.crt")
    with pytest.raises(Invalid, match=r"access\.oidc\.ca_file: .*ca\.crt cannot be read"):
        IdentityProvider(settings)


@asynccontextmanager
async def described(authority: Authority) -> AsyncIterator[str]:
    """The address of a provider with a certificate of this authority."""
    files = authority.issue("login", "DNS:localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    issuer = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        fields = {name: text.replace(ISSUER, issuer) for name, text in DESCRIBED.items()}
        body = json.dumps(fields).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        issuer = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        yield issuer


async def test_a_certificate_of_the_ca_of_the_settings_is_believed_and_no_other(
    tmp_path: Path,
) -> None:
    ours, another = Authority(tmp_path / "ours"), Authority(tmp_path / "another")
    async with described(ours) as issuer:
        for trusted, believed in ((ours, True), (another, False), (None, False)):
            file = trusted.certificate if trusted else None
            asked = IdentityProvider(OidcSettings(issuer=issuer, ca_file=file))
            try:
                address = await asked.address(FLOW, "https://pacs.example.org/sign-in/answer")
            except Unavailable:
                address = ""
            assert address.startswith(f"{issuer}/auth?") == believed
            await asked.close()


async def test_while_the_provider_is_away_sessions_go_on_and_nobody_new_comes_in() -> None:
    storage = StorageService(
        blobs=MemoryBlobs(), settings=StorageSettings(), guard=PolicyGuard(Policy)
    )
    away = OidcSettings(issuer="http://127.0.0.1:1", audience="isocenter", refresh_minutes=1e-6)
    doors = Doors.of(storage, AccessSettings(oidc=away))
    eva = Person("eva", "subject", ("viewer",), (), ())
    grant, source = Grant(eva, "id token", "refresh token"), Source("DICOMweb", "192.0.2.1")
    secret = await doors.sessions.begin_federated(grant, "192.0.2.1", "a browser", source)
    known = await doors.by_session(secret, source)
    assert known is not None
    assert known.session.federated is not None
    asked_at = known.session.federated.asked_at
    assert datetime.now(UTC) - asked_at > timedelta(minutes=away.refresh_minutes), "it was asked"
    assert (known.caller.name, known.caller.roles) == ("eva", ("viewer",))
    assert doors.provider is not None
    with pytest.raises(Unavailable):
        await doors.provider.address(FLOW, "https://pacs.example.org/sign-in/answer")
    await doors.close()
