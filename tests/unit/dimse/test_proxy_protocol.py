"""PROXY headers, and whatever else a load balancer may begin with."""

from __future__ import annotations

import struct
from asyncio import IncompleteReadError
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.errors import Invalid
from isocenter.dimse.proxy_protocol import SIGNATURE, read

FOUR = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack(">HH", 50000, 11112)
SIX = IPv6Address("2001:db8::7").packed + bytes(16) + struct.pack(">HH", 50001, 11112)
BEHIND = b"\x01\x00\x00\x00\x00\x50"


class Sent:
    """What a balancer sends before it ends the connection."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    async def receive(self, size: int) -> bytes:
        taken, self.left = self.left[:size], self.left[size:]
        if len(taken) < size:
            raise IncompleteReadError(taken, size)
        return taken


def block(data: bytes = b"", *, version: int = 2, command: int = 1, family: int = 0x11) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack(">BBH", version * 16 + command, family, len(data)) + data


WHOLE = {
    "v1-tcp4": (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 11112\r\n", ("192.0.2.7", 50000)),
    "v1-tcp6": (b"PROXY TCP6 2001:DB8::7 ::1 0 11112\r\n", ("2001:db8::7", 0)),
    "v1-shortest": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", ("1.1.1.1", 1)),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1-longest": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "v2-tcp4": (block(FOUR), ("192.0.2.7", 50000)),
    "v2-tcp6": (block(SIX, family=0x21), ("2001:db8::7", 50001)),
    "v2-tlvs": (block(FOUR + b"\x20\x00\x05\x01\0\0\0\0" * 20), ("192.0.2.7", 50000)),
    "v2-local": (block(command=0, family=0), None),
    "v2-local-with-addresses": (block(FOUR, command=0), None),
    "v2-local-of-any-family": (block(bytes(3), command=0, family=0xFF), None),
}

WRONG = {
    "plain-dicom": BEHIND + bytes(80),
    "tls-hello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "v1-of-a-port-too-high": b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 11112\r\n",
    "v1-of-ports-with-zeros": b"PROXY TCP4 192.0.2.7 10.0.0.1 050 11112\r\n",
    "v1-of-another-family": b"PROXY TCP6 192.0.2.7 10.0.0.1 50000 11112\r\n",
    "v1-of-destination-of-another-family": b"PROXY TCP4 192.0.2.7 ::1 50000 11112\r\n",
    "v1-of-octal": b"PROXY TCP4 192.0.2.07 10.0.0.1 50000 11112\r\n",
    "v1-of-names": b"PROXY TCP4 localhost localhost 50000 11112\r\n",
    "v1-udp": b"PROXY UDP4 192.0.2.7 10.0.0.1 50000 11112\r\n",
    "v1-lower-case": b"proxy TCP4 192.0.2.7 10.0.0.1 50000 11112\r\n",
    "v1-two-spaces": b"PROXY TCP4  192.0.2.7 10.0.0.1 50000 11112\r\n",
    "v1-line-feed-alone": b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 11112\n" + bytes(100),
    "v1-too-long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "v1-endless": b"PROXY TCP4 " + b"1" * 100_000,
    "v2-of-version-1": block(FOUR, version=1),
    "v2-of-version-3": block(FOUR, version=3),
    "v2-unknown-command": block(FOUR, command=2),
    "v2-huge": SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 0xFFFF) + bytes(0xFFFF),
    "v2-huge-local": SIGNATURE + struct.pack(">BBH", 0x20, 0x00, 0xFFFF) + bytes(0xFFFF),
    "v2-without-family": block(FOUR, family=0x00),
    "v2-udp": block(FOUR, family=0x12),
    "v2-unix": block(bytes(216), family=0x31),
    "v2-unknown-family": block(FOUR, family=0x41),
    "v2-addresses-missing": block(b""),
    "v2-addresses-too-short": block(FOUR[:-1]),
    "v2-addresses-of-the-shorter-family": block(FOUR, family=0x21),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
async def test_a_header_names_the_caller_and_nothing_behind_it_is_taken(case: str):
    header, caller = WHOLE[case]
    sent = Sent(header + BEHIND)
    assert await read(sent.receive) == caller
    assert sent.left == BEHIND


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_no_header_is_refused_without_repeating_it(case: str):
    with pytest.raises(Invalid) as refused:
        await read(Sent(WRONG[case]).receive)
    assert not any(part in str(refused.value) for part in ("192", "localhost", "GET", "fff"))


@pytest.mark.parametrize("case", WHOLE)
async def test_a_header_that_ends_early_is_refused_wherever_it_ends(case: str):
    header, _ = WHOLE[case]
    for size in range(1, len(header)):
        with pytest.raises(Invalid, match="ends within"):
            await read(Sent(header[:size]).receive)


async def test_a_connection_without_a_byte_is_told_apart():
    with pytest.raises(IncompleteReadError):
        await read(Sent(b"").receive)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=300))
async def test_every_address_is_read_back(
    address: IPv4Address | IPv6Address, port: int, tlvs: bytes
):
    size, family = len(address.packed), {4: 0x11, 6: 0x21}[address.version]
    ports = struct.pack(">HH", port, 11112)
    line = f"PROXY TCP{address.version} {address} {address} {port} 11112\r\n".encode()
    binary = block(address.packed + bytes(size) + ports + tlvs, family=family)
    for header in (line, binary):
        sent = Sent(header + BEHIND)
        caller = await read(sent.receive)
        assert caller is not None
        assert (ip_address(caller[0]), caller[1], sent.left) == (address, port, BEHIND)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda rest: SIGNATURE + rest),
        st.binary(max_size=120).map(lambda rest: b"PROXY " + rest),
        st.text("TCP46UNKOW .:19af\r\n", max_size=120).map(lambda t: b"PROXY " + t.encode()),
        st.tuples(st.sampled_from(sorted(WHOLE)), st.integers(0, 200), st.binary(max_size=2)).map(
            lambda change: _changed(*change)
        ),
    )
)
async def test_anything_else_is_refused_or_an_address(data: bytes):
    sent = Sent(data)
    try:
        caller = await read(sent.receive)
    except IncompleteReadError:
        assert data == b""
    except Invalid:
        pass
    else:
        assert caller is None or (ip_address(caller[0]) and 0 <= caller[1] <= 65535)
        assert data.startswith((SIGNATURE, b"PROXY "))


def _changed(case: str, position: int, by: bytes) -> bytes:
    header, _ = WHOLE[case]
    return header[:position] + by + header[position + len(by) :]
