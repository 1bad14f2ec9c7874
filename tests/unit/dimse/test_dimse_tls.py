"""DICOM TLS (PS3.15 B.9): the same upper layer over an encrypted connection."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from isocenter.dimse.contexts import Accepted, AssociationOffer, ProposedContext
from isocenter.dimse.messages import CommandField
from isocenter.dimse.requestor import ConnectionFailed, associate
from support.dimse_peers import CT, EXPLICIT, VERIFICATION, Keeper, RawPeer, port


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, good for both sides, and its key."""
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/O=Hospital/CN=CT1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def _context(purpose: ssl.Purpose, certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=certificate[0])
    context.load_cert_chain(*certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_an_object_travels_over_tls_and_the_certificate_names_the_peer(
    certificate: tuple[Path, Path],
):
    offers: list[AssociationOffer] = []

    def admit(offer: AssociationOffer) -> Accepted:
        offers.append(offer)
        return Accepted({VERIFICATION: (EXPLICIT,), CT: (EXPLICIT,)})

    async def data():
        for _ in range(30):
            yield bytes(range(256)) * 200

    keeper = Keeper()
    async with port(
        {CommandField.C_STORE: keeper},
        admit=admit,
        tls_port=0,
        tls=lambda: _context(ssl.Purpose.CLIENT_AUTH, certificate),
    ) as server:
        association = await associate(
            "127.0.0.1",
            server.tls_port,
            calling_ae_title="CT1",
            called_ae_title="ISOCENTER",
            contexts=[ProposedContext(VERIFICATION, (EXPLICIT,)), ProposedContext(CT, (EXPLICIT,))],
            tls=_context(ssl.Purpose.SERVER_AUTH, certificate),
        )
        response = await association.c_store(association.contexts[3], CT, "1.2", data())
        assert response.status == 0
        await association.release()
    assert offers[0].tls_subject == "CN=CT1,O=Hospital"
    assert keeper.kept == {"1.2": bytes(range(256)) * 200 * 30}


async def test_a_plain_client_on_the_tls_port_leaves_nothing_behind(
    certificate: tuple[Path, Path],
):
    context = _context(ssl.Purpose.CLIENT_AUTH, certificate)
    async with port(tls_port=0, tls=lambda: context) as server:
        peer = await RawPeer.connect(server, server.tls_port)
        peer.send(b"\x01\x00\x00\x00\x00\x50" + bytes(80))
        await peer.rest()
        assert not server.connections


async def test_a_tls_client_on_the_plain_port_is_a_failed_connection(
    certificate: tuple[Path, Path],
):
    async with port() as server:
        with pytest.raises(ConnectionFailed):
            await asyncio.wait_for(
                associate(
                    "127.0.0.1",
                    server.port,
                    calling_ae_title="CT1",
                    called_ae_title="ISOCENTER",
                    contexts=[ProposedContext(VERIFICATION, (EXPLICIT,))],
                    tls=_context(ssl.Purpose.SERVER_AUTH, certificate),
                ),
                5,
            )
