"""Peers that the gateway and the command line call over TLS: dcmtk, pynetdicom, our own port."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pynetdicom import AE, evt

from isocenter.core.errors import IsocenterError
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.errors import AssociationAborted, ConnectionFailed
from isocenter.gateway.calls import Calls
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.tls_files import Tls
from support.authority import Authority
from support.gateway_fakes import series
from support.live_gateway import Outcome, at, dcmtk, instances, live, storescp, wait_for
from support.ports import free_ports

VERIFICATION = ProposedContext("1.2.840.10008.1.1", ("1.2.840.10008.1.2",))


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path / "ca")


def calls(files: Tls, **settings) -> Calls:
    """What a gateway with these files calls with."""
    named = {"certificate_file": files.certificate, "key_file": files.key, "ca_file": files.ca}
    return Calls(GatewaySettings(**{**named, "connect_timeout": 5, **settings}))


async def echo(port: int, by: Calls, **peer) -> int:
    """The status of a C-ECHO."""
    known = KnownAE(**{"title": "PEER", "host": "127.0.0.1", "port": port, "tls": True, **peer})
    association = await by.associate(known, [VERIFICATION])
    try:
        return await association.c_echo()
    finally:
        await association.release()


@asynccontextmanager
async def dcmtk_peer(folder: Path, files: Tls, *arguments: str) -> AsyncIterator[int]:
    """storescp over TLS, which asks callers for a certificate of the CA."""
    folder.mkdir(exist_ok=True)
    [port] = free_ports(1)
    tls = ("+tls", files.key, files.certificate, "+cf", files.ca, *arguments)
    process = await asyncio.create_subprocess_exec(
        "storescp", *map(str, tls), "-od", str(folder), str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wait_for(lambda: _listens(port))
        yield port
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> Outcome:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        return Outcome(1, str(error))
    writer.close()
    return Outcome(0, "")


async def test_c_move_delivers_to_storescp_over_tls(authority, tmp_path):
    files = authority.issue("gateway")
    async with dcmtk_peer(tmp_path / "received", authority.issue("DEST")) as port:
        destination = {"title": "DEST", "host": "127.0.0.1", "port": port, "tls": True}
        named = {"certificate_file": files.certificate, "key_file": files.key}
        async with live(series(3), known_aes=[destination], ca_file=files.ca, **named) as gateway:
            outcome = await dcmtk(
                "movescu", "-S", "-aem", "DEST", *at(gateway),
                "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3",
            )  # fmt: skip
    assert outcome.code == 0, outcome.text
    assert len(instances(tmp_path / "received")) == 3


async def test_pynetdicom_and_our_own_port_are_called(authority):
    files = authority.issue("gateway")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    subjects: list[object] = []
    ae = AE("PEER")
    ae.add_supported_context(VERIFICATION.abstract_syntax)
    [port, own] = free_ports(2)

    def accepted(event) -> None:
        subjects.append(event.assoc.requestor.primitive.calling_ae_title)

    server = ae.start_server(
        ("127.0.0.1", port), block=False, ssl_context=context,
        evt_handlers=[(evt.EVT_ACCEPTED, accepted)],
    )  # fmt: skip
    try:
        assert await echo(port, calls(authority.issue("caller"))) == 0
    finally:
        server.shutdown()
    assert subjects == ["ISOCENTER"]
    settings = {"certificate_file": files.certificate, "key_file": files.key, "ca_file": files.ca}
    async with live(tls_port=own, **settings):
        assert await echo(own, calls(authority.issue("caller")), title="ISOCENTER") == 0


async def test_a_certificate_may_be_trusted_itself_and_have_another_name(authority, tmp_path):
    """A device that signed its own certificate, or whose CA is not trusted for anything else."""
    caller = authority.issue("caller")
    device = Authority(tmp_path / "device").issue("CT1", "DNS:ct1.hospital.example")
    pinned = Tls(device.certificate, caller.certificate, caller.key, "gateway")
    async with dcmtk_peer(tmp_path / "device-files", device, "-ic") as port:
        by = calls(pinned)
        with pytest.raises(ConnectionFailed, match="IP address mismatch"):
            await echo(port, by)
        assert await echo(port, by, tls_name="ct1.hospital.example") == 0
        with pytest.raises(ConnectionFailed, match="self-signed certificate"):
            await echo(port, calls(caller), tls_name="ct1.hospital.example")


async def test_certificates_are_read_again_when_they_change(authority, tmp_path):
    strange = Authority(tmp_path / "strange").issue("PEER")
    files = authority.issue("gateway")
    by = calls(files)
    async with dcmtk_peer(tmp_path / "received", strange, "-ic") as port:
        with pytest.raises(ConnectionFailed, match="self-signed certificate"):
            await echo(port, by)
        files.ca.write_bytes(strange.ca.read_bytes())
        assert await echo(port, by) == 0


async def _problem(port: int, by: Calls) -> str:
    with pytest.raises((ConnectionFailed, AssociationAborted)) as caught:
        await asyncio.wait_for(echo(port, by), 10)
    assert isinstance(caught.value, IsocenterError)
    return str(caught.value)


async def test_what_goes_wrong_is_told_in_a_sentence(authority, tmp_path):
    files = authority.issue("gateway")
    by = calls(files)
    expired = authority.issue("old", days=-1)
    async with dcmtk_peer(tmp_path / "expired", expired) as port:
        assert "its certificate is not accepted: certificate has expired" in await _problem(
            port, by
        )
    async with dcmtk_peer(tmp_path / "wrong", Authority(tmp_path / "b").issue("PEER")) as port:
        problem = await _problem(port, by)
        assert "self-signed certificate in certificate chain" in problem
        assert "trust its CA" in problem
    async with dcmtk_peer(tmp_path / "right", authority.issue("PEER")) as port:
        for anonymous in (
            calls(files, certificate_file=None, key_file=None),
            calls(files, **_named(Authority(tmp_path / "c").issue("stranger"))),
        ):
            assert "it refuses TLS" in (problem := await _problem(port, anonymous)), problem
            assert "a CA that the peer trusts" in problem
    async with storescp(tmp_path) as plain:
        assert "TLS" in (problem := await _problem(plain, by)), problem
    async with live() as gateway:
        assert "TLS" in (problem := await _problem(gateway.port, by)), problem


def _named(files: Tls) -> dict[str, Path]:
    return {"certificate_file": files.certificate, "key_file": files.key}
