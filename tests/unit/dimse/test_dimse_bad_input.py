"""Whatever a peer sends, it gets the standard's answer and the next association works."""

from __future__ import annotations

import asyncio
import logging
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.dimse.errors import AssociationAborted, MalformedPdu
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import CommandField, Request, encode_command
from isocenter.dimse.negotiation import decode_request
from isocenter.dimse.pdu import RELEASE_RQ, abort_pdu
from isocenter.dimse.server import Server
from support.dimse_peers import (
    Keeper,
    RawPeer,
    associate_rq,
    echo_command,
    p_data,
    pdv,
    port,
    run_tool,
    store_command,
)

USER = bytes([0, 0, 0, 0])
LONG_COMMAND = struct.pack("<HHI", 0, 0x0902, 20_000) + bytes(20_000)
WITHOUT_CONTEXT_NAME = associate_rq()[:74] + associate_rq()[74 + 4 + 21 :]


def provider(reason: int) -> bytes:
    """The body of an A-ABORT of the service provider."""
    return bytes([0, 0, 2, reason])


async def _next_one_works(server: Server) -> None:
    peer = await RawPeer.associated(server)
    peer.send(p_data(pdv(1, 3, echo_command())))
    assert (await peer.receive())[0] == 4
    peer.send(RELEASE_RQ)
    assert (await peer.receive())[0] == 6
    peer.close()


def _resized(pdu: bytes) -> bytes:
    return pdu[:2] + struct.pack(">I", len(pdu) - 6) + pdu[6:]


BEFORE = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", USER),
    "tls-hello": (bytes.fromhex("16030100c8010000c40303") + bytes(200), USER),
    "garbage": (bytes(range(256)) * 8, USER),
    "data-first": (p_data(pdv(1, 3, echo_command())), USER),
    "release-first": (RELEASE_RQ, USER),
    "data-4-gb": (b"\x04\x00\xff\xff\xff\xff" + bytes(64), USER),
    "associate-4-gb": (b"\x01\x00\xff\xff\xff\xff" + bytes(64), USER),
    "associate-too-short": (b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00", USER),
    "items-of-zeros": (_resized(associate_rq()[:74] + bytes(400)), provider(6)),
    "item-longer-than-pdu": (
        _resized(associate_rq()[:74] + b"\x10\x00\xff\xff1.2.840"), provider(6)
    ),
    "no-room-for-data": (associate_rq(6), provider(6)),
}  # fmt: skip


@pytest.mark.parametrize("case", BEFORE)
async def test_before_an_association_bad_input_is_aborted(
    case: str, caplog: pytest.LogCaptureFixture
):
    data, body = BEFORE[case]
    caplog.set_level(logging.INFO)
    async with port() as server:
        peer = await RawPeer.connect(server)
        peer.send(data)
        assert await peer.rest() == b"\x07\x00\x00\x00\x00\x04" + body
        peer.close()
        await _next_one_works(server)
    assert any(record.name.startswith("isocenter.dimse") for record in caplog.records)


def _with_user_item(item: bytes) -> bytes:
    """A request with one more sub-item at the end of its user information, which stands last."""
    pdu = associate_rq()
    at = pdu.rindex(b"\x50\x00\x00")
    length = struct.unpack_from(">H", pdu, at + 2)[0] + len(item)
    return _resized(pdu[: at + 2] + struct.pack(">H", length) + pdu[at + 4 :] + item)


def _sub_item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


EXTENDED, COMMON = 0x56, 0x57  # PS3.7 D.3.3.5, D.3.3.6


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@settings(deadline=None, max_examples=300)
@given(st.sampled_from((EXTENDED, COMMON)), st.binary(max_size=40))
def test_extended_negotiation_of_any_bytes_is_read_or_refused(kind: int, body: bytes):
    pdu = _with_user_item(_sub_item(kind, body))
    try:
        offer = decode_request(pdu[6:], ("127.0.0.1", 1)).offer
    except MalformedPdu:
        return
    assert len(offer.extended) + len(offer.common) <= 1


def test_extended_negotiation_is_read_with_the_bytes_of_younger_editions():
    uid = b"1.2.840.10008.5.1.4.1.2.2.1"
    information = bytes(range(1, 20))
    item = _sub_item(EXTENDED, struct.pack(">H", len(uid)) + uid + information)
    offer = decode_request(_with_user_item(item)[6:], ("127.0.0.1", 1)).offer
    assert offer.extended == {uid.decode(): information}


@pytest.mark.parametrize(
    ("pdu", "body"),
    [
        (_resized(associate_rq()[:6] + b"\x00\x02" + associate_rq()[8:]), bytes([0, 1, 2, 2])),
        (_resized(WITHOUT_CONTEXT_NAME), bytes([0, 1, 1, 2])),
    ],
    ids=["protocol-version", "application-context"],
)
async def test_a_request_of_another_protocol_is_rejected(pdu: bytes, body: bytes):
    async with port() as server:
        peer = await RawPeer.connect(server)
        peer.send(pdu)
        assert await peer.receive() == (3, body)
        peer.close()
        await _next_one_works(server)


COMMAND = p_data(pdv(3, 3, store_command()))
DURING = {
    "context-not-accepted": (p_data(pdv(99, 3, store_command())), provider(6)),
    "data-without-command": (p_data(pdv(3, 2, b"data")), provider(5)),
    "data-after-echo": (p_data(pdv(1, 3, echo_command()), pdv(1, 2, b"data")), provider(5)),
    "command-in-data-set": (COMMAND + p_data(pdv(3, 0, b"d"), pdv(3, 3, b"c")), provider(5)),
    "context-changes": (COMMAND + p_data(pdv(5, 2, b"data")), provider(5)),
    "endless-command": (p_data(pdv(3, 1, LONG_COMMAND[:10_000])) * 2, provider(5)),
    "no-command-field": (p_data(pdv(1, 3, encode_command({"message_id": 1}))), USER),
    "command-is-garbage": (p_data(pdv(1, 3, b"\xff" * 30)), USER),
    "pdv-too-long": (struct.pack(">BxIIBB", 4, 8, 100, 3, 0) + b"ab", provider(6)),
    "pdv-too-short": (struct.pack(">BxIIBB", 4, 8, 1, 3, 0) + b"ab", provider(6)),
    "pdu-over-the-maximum": (struct.pack(">BxI", 4, 1 << 20), provider(6)),
    "unknown-pdu": (b"\x08\x00\x00\x00\x00\x04\x00\x00\x00\x00", provider(1)),
    "second-request": (associate_rq(), provider(2)),
    "release-response": (b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00", provider(2)),
    "release-in-data-set": (COMMAND + p_data(pdv(3, 0, b"d")) + RELEASE_RQ, provider(2)),
}


@pytest.mark.parametrize("case", DURING)
async def test_on_an_association_bad_input_is_aborted_with_its_reason(
    case: str, caplog: pytest.LogCaptureFixture
):
    data, body = DURING[case]
    caplog.set_level(logging.INFO)
    async with port({CommandField.C_STORE: Keeper()}) as server:
        peer = await RawPeer.associated(server)
        peer.send(data)
        answer = await peer.rest()
        assert answer[-10:] == b"\x07\x00\x00\x00\x00\x04" + body
        peer.close()
        await _next_one_works(server)
    assert any(record.name.startswith("isocenter.dimse") for record in caplog.records)


@pytest.mark.parametrize(
    "sent", [b"", associate_rq()[:5], associate_rq()[:100]], ids=["nothing", "header", "half"]
)
async def test_silence_before_the_request_ends_by_artim(sent: bytes):
    async with port(timeouts=Timeouts(artim=0.2, network=5)) as server:
        peer = await RawPeer.connect(server)
        peer.send(sent)
        assert await peer.rest() == b""
        await _next_one_works(server)


@pytest.mark.parametrize(
    "sent", [b"", COMMAND, COMMAND + p_data(pdv(3, 0, b"d"))[:-1]], ids=["idle", "data", "pdu"]
)
async def test_silence_on_an_association_is_aborted(sent: bytes):
    async with port(
        {CommandField.C_STORE: Keeper()}, timeouts=Timeouts(artim=5, network=0.2)
    ) as server:
        peer = await RawPeer.associated(server)
        peer.send(sent)
        assert await peer.rest() == abort_pdu(0, 0)


async def test_a_handler_at_work_is_no_silence():
    async def slow(request: Request) -> None:
        await asyncio.sleep(0.5)
        await request.respond(0)

    async with port({CommandField.C_ECHO: slow}, timeouts=Timeouts(artim=5, network=0.2)) as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(1, 3, echo_command())))
        assert (await peer.receive())[0] == 4


@pytest.mark.parametrize("how", ["abort", "reset", "close"])
async def test_a_peer_that_leaves_in_the_middle_of_a_data_set_fails_the_stream(how: str):
    outcome: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    arrived = asyncio.Event()

    async def store(request: Request) -> None:
        try:
            async for _ in request.data:
                arrived.set()
        except AssociationAborted as error:
            assert request.cancelled.is_set()
            outcome.set_result(error)
            raise

    async with port({CommandField.C_STORE: store}) as server:
        peer = await RawPeer.associated(server)
        peer.send(COMMAND + p_data(pdv(3, 0, b"half of it")))
        await asyncio.wait_for(arrived.wait(), 5)
        if how == "abort":
            peer.send(abort_pdu(0, 0))
        elif how == "reset":
            peer.reset()
        else:
            peer.close()
        assert isinstance(await asyncio.wait_for(outcome, 5), AssociationAborted)
        await _next_one_works(server)
        assert server.associations == 0


async def test_pdvs_of_one_byte_make_a_whole_message():
    keeper = Keeper()
    async with port({CommandField.C_STORE: keeper}) as server:
        peer = await RawPeer.associated(server)
        command = store_command()
        for position, value in enumerate(command):
            last = 2 if position == len(command) - 1 else 0
            peer.send(p_data(pdv(3, 1 | last, bytes([value]))))
        peer.send(p_data(*[pdv(3, 0, b"x")] * 500, pdv(3, 2, b"")))
        assert (await peer.receive())[0] == 4
    assert keeper.kept == {"1.2.3": b"x" * 500}


async def test_requests_sent_without_waiting_are_answered_in_order_and_in_bounds():
    async with port(max_buffered_bytes=20_000) as server:
        peer = await RawPeer.associated(server)
        peer.send(b"".join(p_data(pdv(1, 3, echo_command(number))) for number in range(1, 201)))
        for number in range(1, 201):
            _, body = await peer.receive()
            assert struct.pack("<HHIH", 0, 0x0120, 2, number) in body


async def test_a_release_right_after_a_request_comes_after_its_response():
    async with port() as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(1, 3, echo_command())) + RELEASE_RQ)
        assert (await peer.receive())[0] == 4
        assert (await peer.receive())[0] == 6


async def test_a_port_under_bad_input_still_serves_echoscu():
    async with port() as server:
        for data, _ in BEFORE.values():
            (await RawPeer.connect(server)).send(data)
        code, output = await run_tool("echoscu", "127.0.0.1", server.port)
    assert code == 0, output
