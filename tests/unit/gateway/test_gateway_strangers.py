"""What the DICOM port tells to who is not known: nothing of patients, and of no AE title whether
it exists."""

from __future__ import annotations

import asyncio
import struct

import pytest

from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.proxy_protocol import SIGNATURE
from isocenter.runtime.aes import KnownAE
from support.dimse_peers import FIND, IMPLICIT, ProposedContext, RawPeer
from support.live_gateway import Live, live

MODALITY, ELSEWHERE = "192.0.2.7", "192.0.2.99"
CALLED = ("ISOCENTER", "SECOND", "NOBODY", "isocenter", "A" * 16)
CALLING_NOT_RECOGNIZED = (3, bytes([0, 1, 1, 3]))
CALLED_NOT_RECOGNIZED = (3, bytes([0, 1, 1, 7]))


def _settings(unknown_callers: str) -> dict[str, object]:
    return {
        "unknown_callers": unknown_callers,
        "extra_ae_titles": ["SECOND"],
        "known_aes": [KnownAE(title="SCANNER", host=MODALITY, port=104)],
        "proxy_protocol_from": ["127.0.0.1"],
    }


async def _answer(gateway: Live, source: str, calling: str, called: str) -> tuple[int, bytes]:
    """The first PDU that a caller at an address gets."""
    peer = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port))
    addresses = [bytes(map(int, one.split("."))) for one in (source, "127.0.0.1")]
    block = b"".join(addresses) + struct.pack(">HH", 50000, 11112)
    peer.send(SIGNATURE + struct.pack(">BBH", 0x21, 0x11, len(block)) + block)
    peer.send(request_pdu(calling, called, [ProposedContext(FIND, (IMPLICIT,))], 16384)[1])
    try:
        return await peer.receive()
    finally:
        peer.close()


@pytest.mark.parametrize("unknown_callers", ["never", "loopback"])
@pytest.mark.parametrize("calling", ["SCANNER", "NOBODY", "ISOCENTER"])
async def test_a_stranger_gets_one_answer_whatever_it_calls_itself_and_us(
    unknown_callers: str, calling: str
):
    async with live(**_settings(unknown_callers)) as gateway:
        answers = {called: await _answer(gateway, ELSEWHERE, calling, called) for called in CALLED}
    assert answers == dict.fromkeys(CALLED, CALLING_NOT_RECOGNIZED)


async def test_who_is_known_learns_that_it_calls_a_wrong_title():
    async with live(**_settings("never")) as gateway:
        for called in CALLED:
            kind, body = await _answer(gateway, MODALITY, "SCANNER", called)
            if called in ("ISOCENTER", "SECOND"):
                assert kind == 2
            else:
                assert (kind, body) == CALLED_NOT_RECOGNIZED
