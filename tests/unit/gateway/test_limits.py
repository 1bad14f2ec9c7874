"""Limits of single AEs on a live gateway, and of strangers together."""

from __future__ import annotations

import asyncio
import struct

import pytest

from isocenter.dimse.contexts import (
    LOCAL_LIMIT_EXCEEDED,
    Accepted,
    Admission,
    AssociationOffer,
    ProposedContext,
    Rejected,
)
from isocenter.dimse.negotiation import request_pdu
from isocenter.gateway.limits import Limits
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Lane
from isocenter.runtime.instruments import LIMITS_REFUSED
from support.dimse_peers import CT, IMPLICIT, VERIFICATION, RawPeer, p_data, pdv, store_command
from support.gateway_parts import admissions_of, callers_of
from support.live_gateway import Live, dcmtk, live
from support.telemetry import Recorder

KNOWN = [
    {"title": "SMALL", "max_associations": 2, "lane": "emergency"},
    {"title": "OTHER", "max_associations": 2},
]
RELEASE_RQ = struct.pack(">BxIxxxx", 5, 4)


def associate_rq(title: str) -> bytes:
    proposed = [ProposedContext(uid, (IMPLICIT,)) for uid in (VERIFICATION, CT)]
    return request_pdu(title, "ISOCENTER", proposed, 16384)[1]


async def call(gateway: Live, title: str) -> tuple[RawPeer, int, bytes]:
    """An association request and the PDU that answers it."""
    peer = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port))
    peer.send(associate_rq(title))
    return peer, *await peer.receive()


async def test_an_ae_has_as_many_associations_as_it_may_and_others_have_theirs():
    async with live(known_aes=KNOWN, unknown_max_associations=1) as gateway:
        first, kind, _ = await call(gateway, "SMALL")
        second, kind_too, _ = await call(gateway, "SMALL")
        assert (kind, kind_too) == (2, 2)
        _, kind, body = await call(gateway, "SMALL")
        limit = LOCAL_LIMIT_EXCEEDED
        assert (kind, body[1:]) == (3, bytes([limit.result, limit.source, limit.reason]))
        assert (await call(gateway, "OTHER"))[1] == 2
        stranger, kind, _ = await call(gateway, "ONE")
        assert kind == 2
        assert (await call(gateway, "TWO"))[1] == 3  # strangers share theirs
        first.send(RELEASE_RQ)
        assert (await first.receive())[0] == 6
        assert (await call(gateway, "SMALL"))[1] == 2
        second.close()
        stranger.reset()
        async with asyncio.timeout(10):
            while (await call(gateway, "TWO"))[1] == 3:
                await asyncio.sleep(0)


async def test_a_client_is_told_why():
    async with live(known_aes=[{"title": "TESTER", "max_associations": 1}]) as gateway:
        held, *_ = await call(gateway, "TESTER")
        outcome = await dcmtk(
            "echoscu", "-aet", "TESTER", "-aec", "ISOCENTER", "127.0.0.1", gateway.port
        )
        held.close()
    assert outcome.code != 0
    assert "Local Limit Exceeded" in outcome.text


def test_strangers_at_one_address_have_a_part_of_what_strangers_have():
    settings = GatewaySettings(
        known_aes=KNOWN, unknown_callers="always", unknown_max_associations_per_address=2
    )
    admit = admissions_of(settings)

    def calls(host: str, title: str = "NEW") -> Admission:
        return admit(AssociationOffer(title, "ISOCENTER", host, 1, ()))

    first = calls("192.0.2.1")
    assert isinstance(first, Accepted)
    assert isinstance(calls("192.0.2.1", "NEWER"), Accepted)
    refused = calls("::ffff:192.0.2.1")
    assert refused == LOCAL_LIMIT_EXCEEDED
    assert refused.why == "as many associations as its address may have"
    assert isinstance(calls("192.0.2.2"), Accepted)
    assert isinstance(calls("192.0.2.1", "SMALL"), Accepted)  # an AE has its own
    assert {type(calls("127.0.0.1")) for _ in range(10)} == {Accepted}
    first.on_end()
    assert isinstance(calls("192.0.2.1"), Accepted)
    assert calls("192.0.2.1") == LOCAL_LIMIT_EXCEEDED
    network = "2001:db8:0:1::"
    assert [type(calls(f"{network}{one}")) for one in (1, 2, 3)] == [Accepted, Accepted, Rejected]


async def test_refused_for_a_limit_is_counted():
    recorder = Recorder()
    async with live(unknown_max_associations=1, telemetry=recorder.telemetry) as gateway:
        held, *_ = await call(gateway, "ONE")
        assert (await call(gateway, "TWO"))[1] == 3
        assert recorder.values(LIMITS_REFUSED) == {("associations",): 1}
        held.close()


@pytest.mark.parametrize(
    ("title", "host", "lane"),
    [("SMALL", "192.0.2.1", Lane.EMERGENCY), ("OTHER", "192.0.2.1", Lane.ROUTINE),
     ("NEW", "192.0.2.1", Lane.BULK)],
)  # fmt: skip
def test_lanes_are_those_of_the_directory_and_strangers_are_last(title, host, lane):
    settings = GatewaySettings(known_aes=KNOWN)
    limits = Limits(settings, callers_of(settings))
    peer = AssociationOffer(title, "ISOCENTER", host, 1, ())
    assert limits.bounds(peer).lane is lane


async def test_bytes_in_flight_of_an_ae_are_bounded_and_nothing_is_refused():
    known = [{"title": "SMALL", "max_bytes": 200_000}]
    piece, pieces = p_data(pdv(3, 0, bytes(16_000))), 50  # an object is longer than the bound
    async with live(known_aes=known) as gateway, asyncio.timeout(60):
        peers = [(await call(gateway, "SMALL"))[0] for _ in range(3)]
        established = gateway.role._server.established
        budget = next(iter(established))._budget
        first, *others = peers
        first.send(p_data(pdv(3, 3, store_command())) + piece * 10)
        while budget.in_flight < 160_000:
            await asyncio.sleep(0)
        for stopped, peer in enumerate(others, 1):
            peer.send(p_data(pdv(3, 3, store_command())) + piece * pieces + p_data(pdv(3, 2, b"")))
            while sum(one._over_budget for one in established) < stopped:
                await asyncio.sleep(0)
        first.send(piece * (pieces - 10) + p_data(pdv(3, 2, b"")))
        for peer in peers:
            assert (await peer.receive())[0] == 4
        while budget.in_flight:
            await asyncio.sleep(0)
    sizes = [len(data) for _, data in gateway.env.fake_ingest.taken]
    assert sizes == [16_000 * pieces] * 3


async def test_what_an_association_that_breaks_had_in_flight_does_not_count_any_more():
    async with live(known_aes=[{"title": "SMALL", "max_bytes": 1000}]) as gateway:
        broken, *_ = await call(gateway, "SMALL")
        broken.send(p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 0, bytes(9000))))
        budget = next(iter(gateway.role._server.established))._budget
        async with asyncio.timeout(10):
            while not budget.in_flight:
                await asyncio.sleep(0)
            broken.reset()
            while budget.in_flight:
                await asyncio.sleep(0)


def test_without_a_bound_nothing_is_counted():
    settings = GatewaySettings(known_aes=KNOWN)
    limits = Limits(settings, callers_of(settings))
    offer = AssociationOffer("SMALL", "ISOCENTER", "127.0.0.1", 1, ())
    admitted = limits.within(offer, Accepted({}))
    assert isinstance(admitted, Accepted)
    assert admitted.budget is None
