"""What the gateway leaves in the audit trail of those that it refuses: who, why, and how often."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.dimse.messages import CommandField, Request
from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.proxy_protocol import SIGNATURE
from isocenter.gateway.permissions import permitted
from isocenter.gateway.refusals import Refusals
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory, KnownAE
from isocenter.runtime.audit_notices import Notices
from support.authority import Authority
from support.dimse_peers import FIND, IMPLICIT, ProposedContext, RawPeer
from support.gateway_fakes import FakeAudit, FakeRequest
from support.gateway_parts import callers_of
from support.live_gateway import Live, dcmtk, live
from support.ports import free_ports

MODALITY, ELSEWHERE = "192.0.2.7", "192.0.2.99"
KNOWN = KnownAE(title="SCANNER", host=MODALITY, port=104, max_associations=1)
SETTINGS: dict[str, Any] = {
    "unknown_callers": "never",
    "known_aes": [KNOWN, KnownAE(title="SHOWS", host=MODALITY, certificate="CN=shows")],
    "proxy_protocol_from": ["127.0.0.1"],
}
REJECTED, ACCEPTED = 3, 2


async def ask(
    gateway: Live, source: str, calling: str, called: str, *, stay: bool = False
) -> RawPeer:
    """Ask for an association from an address; it is answered on return."""
    peer = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port))
    addresses = [bytes(map(int, one.split("."))) for one in (source, "127.0.0.1")]
    block = b"".join(addresses) + struct.pack(">HH", 50000, 11112)
    peer.send(SIGNATURE + struct.pack(">BBH", 0x21, 0x11, len(block)) + block)
    peer.send(request_pdu(calling, called, [ProposedContext(FIND, (IMPLICIT,))], 16384)[1])
    kind, _ = await peer.receive()
    assert kind == (ACCEPTED if stay else REJECTED)
    if not stay:
        peer.close()
    return peer


def refusals(gateway: Live) -> list[dict[str, Any]]:
    records = gateway.env.fake_audit.records
    return [one for one in records if one["action"] is AuditAction.NETWORK]


async def recorded(gateway: Live, count: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while len(refusals(gateway)) < count:
            await asyncio.sleep(0.01)
    return refusals(gateway)


@pytest.mark.parametrize(
    ("source", "calling", "called", "why"),
    [
        (MODALITY, "NOBODY", "ISOCENTER", "caller not in the AE directory"),
        (ELSEWHERE, "SCANNER", "ISOCENTER",
         "the address is not the one that the AE directory has for this title"),
        (MODALITY, "SHOWS", "ISOCENTER",
         "the certificate is not the one that the AE directory has for this title"),
        (MODALITY, "SCANNER", "ELSEWHERE", "called AE title not ours"),
    ],
)  # fmt: skip
async def test_a_refused_association_is_recorded_with_who_it_was_and_why(
    source: str, calling: str, called: str, why: str
):
    async with live(**SETTINGS) as gateway:
        await ask(gateway, source, calling, called)
        (record,) = await recorded(gateway)
    assert (record["outcome"], record["detail"]) == (AuditOutcome.FAILURE, "association refused")
    peer = record["source"]
    assert (peer.protocol, peer.host) == ("DIMSE", source)
    assert (peer.ae_title, peer.called_ae_title) == (calling, called)
    assert peer.known is (called == "ELSEWHERE")
    assert record["error"] == why


async def test_one_association_too_many_is_recorded_and_those_that_are_let_in_are_not():
    async with live(**SETTINGS) as gateway:
        first = await ask(gateway, MODALITY, "SCANNER", "ISOCENTER", stay=True)
        await ask(gateway, MODALITY, "SCANNER", "ISOCENTER")
        (record,) = await recorded(gateway)
        first.close()
    assert record["error"] == "as many associations as it may have"
    assert record["source"].known


async def test_a_flood_costs_a_record_a_minute_and_every_refusal_counts():
    async with live(**SETTINGS) as gateway:
        for _ in range(30):
            await ask(gateway, ELSEWHERE, "NOBODY", "ISOCENTER")
        (first,) = await recorded(gateway)
    first, flood = refusals(gateway)
    assert flood["detail"] == "association refused, 29 times"
    assert (flood["source"], flood["error"]) == (first["source"], first["error"])


async def test_a_trail_that_is_away_holds_up_no_rejection():
    async with live(**SETTINGS) as gateway:
        gateway.env.fake_audit.error = Unavailable("the log is away")
        for _ in range(3):
            await ask(gateway, ELSEWHERE, "NOBODY", "ISOCENTER")
        gateway.env.fake_audit.error = None
    assert sum("refused" in record["detail"] for record in refusals(gateway)) >= 1


async def test_what_is_no_connection_of_a_balancer_is_recorded():
    async with live(**SETTINGS) as gateway:
        peer = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port))
        peer.send(b"GET / HTTP/1.1\r\n\r\n" * 10)
        (record,) = await recorded(gateway)
        peer.close()
    assert (record["detail"], record["source"].host) == ("connection refused", "127.0.0.1")


async def test_a_failed_handshake_is_recorded(tmp_path):
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    files, stranger = authority.issue("gateway"), other.issue("CT1")
    (tls_port,) = free_ports(1)
    named = {"certificate_file": files.certificate, "key_file": files.key, "ca_file": files.ca}
    async with live(**named, tls_port=tls_port) as gateway:
        shown = ("+tls", stranger.key, stranger.certificate, "-ic")
        outcome = await dcmtk("echoscu", *shown, "127.0.0.1", tls_port)
        assert outcome.code
        (record,) = await recorded(gateway)
    assert (record["detail"], record["outcome"]) == ("connection refused", AuditOutcome.FAILURE)
    assert record["error"].startswith("TLS handshake failed: ")


async def test_a_request_that_the_directory_forbids_by_now_is_recorded():
    settings = GatewaySettings(known_aes=[KnownAE(title="SCANNER", verbs=("find",))])
    callers, audit = callers_of(settings), FakeAudit()
    notices = Notices(audit)  # type: ignore[arg-type]
    found: list[Request] = []

    async def find(request: Request) -> None:
        found.append(request)

    refused = Refusals(notices, callers).request
    handlers = permitted({CommandField.C_FIND: find}, callers, refused)
    request = FakeRequest(FIND)
    await handlers[CommandField.C_FIND](request)
    assert found == [request]
    callers = callers_of(settings, Directory([KnownAE(title="SCANNER", verbs=("echo",))]))
    handlers = permitted({CommandField.C_FIND: find}, callers, refused)
    await handlers[CommandField.C_FIND](request)
    await notices.stop()
    assert found == [request]
    (record,) = audit.records
    assert (record["action"], record["detail"]) == (AuditAction.NETWORK, "request refused")
    assert (record["source"].ae_title, record["error"]) == ("SCANNER", "SCANNER may not find")
