"""Framing: whatever the pieces that bytes arrive in, the same PDUs come out."""

from __future__ import annotations

import struct

import pytest

from isocenter.dimse.errors import MalformedPdu
from isocenter.dimse.pdu import RELEASE_RQ, Framer, PduType, abort_pdu, data_pdus, reject_pdu
from support.dimse_peers import associate_rq, p_data, pdv


class Collected:
    def __init__(self) -> None:
        self.pdus: list[tuple[PduType, bytes]] = []
        self.values: list[tuple[int, int, bytes]] = []
        self.began = 0
        self._value = b""

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        self.pdus.append((kind, body))

    def data_begins(self) -> None:
        self.began += 1

    def fragment_received(self, context_id: int, control: int, fragment: memoryview) -> None:
        self._value += fragment
        if control & 2:
            self.values.append((context_id, control, self._value))
            self._value = b""


STREAM = (
    associate_rq()
    + p_data(pdv(1, 3, b"command"), pdv(3, 0, b"a" * 40))
    + p_data(pdv(3, 0, b""), pdv(3, 2, b"z"))
    + RELEASE_RQ
)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 64, 100_000])
def test_pieces_of_any_size_give_the_same_pdus(size: int):
    sink = Collected()
    framer = Framer(sink, 16384)
    for start in range(0, len(STREAM), size):
        framer.feed(memoryview(STREAM)[start : start + size])
    assert [kind for kind, _ in sink.pdus] == [PduType.A_ASSOCIATE_RQ, PduType.A_RELEASE_RQ]
    assert sink.pdus[0][1] == associate_rq()[6:]
    assert sink.values == [(1, 3, b"command"), (3, 2, b"a" * 40 + b"z")]
    assert sink.began == 2


@pytest.mark.parametrize("length", [0, 1, 10, 11, 12, 1000])
@pytest.mark.parametrize("max_length", [7, 12, 16384])
def test_values_are_cut_to_the_maximum_length_and_only_the_last_pdu_is_marked(
    length: int, max_length: int
):
    value = bytes(range(256)) * 4
    sink = Collected()
    framer = Framer(sink, max_length)
    for part in data_pdus(5, 0, value[:length], max_length, last=True):
        framer.feed(memoryview(part))
    assert sink.values == [(5, 2, value[:length])]
    if length:
        room = max_length - 6
        assert sink.began == -(-length // room)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", 1),
        (b"\x16\x03\x01\x00\xc8", 1),
        (b"\x04\x00\xff\xff\xff\xff", 6),
        (b"\x01\x00\xff\xff\xff\xff", 6),
        (b"\x01\x00\x00\x00\x00\x04", 6),
        (b"\x05\x00\x00\x00\x00\x05", 6),
        (struct.pack(">BxI", 4, 8) + struct.pack(">IBB", 100, 1, 3) + b"ab", 6),
        (struct.pack(">BxI", 4, 8) + struct.pack(">IBB", 1, 1, 3) + b"ab", 6),
        (p_data(pdv(1, 3, b"ab"), b"abc"), 6),
    ],
    ids=[
        "http", "tls", "data-4-gb", "associate-4-gb", "associate-short", "release-long",
        "pdv-too-long", "pdv-too-short", "rest-of-pdu",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 1000])
def test_lying_lengths_and_unknown_types_are_malformed(data: bytes, reason: int, size: int):
    framer = Framer(Collected(), 16384)

    def feed() -> None:
        for start in range(0, len(data), size):
            framer.feed(memoryview(data)[start : start + size])

    with pytest.raises(MalformedPdu) as caught:
        feed()
    assert caught.value.reason == reason


def test_short_pdus_are_encoded_as_the_standard_lays_them_out():
    assert abort_pdu(2, 6) == bytes.fromhex("07 00 00000004 0000 02 06")
    assert reject_pdu(1, 1, 7) == bytes.fromhex("03 00 00000004 00 01 01 07")
