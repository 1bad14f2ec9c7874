"""A DNS server that answers every question about an address with what a test says."""

from __future__ import annotations

import asyncio
import socket
import struct

_A, _IN = 1, 1


class NameServer(asyncio.DatagramProtocol):
    """UDP on a free port of loopback, while the context lasts."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.port = 0

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        kind = struct.unpack("!H", data[end - 4 : end - 2])[0]
        addresses = self.addresses if kind == _A else []
        head = data[:2] + struct.pack("!HHHHH", 0x8580, 1, len(addresses), 0, 0)
        answers = [
            struct.pack("!HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton(address)
            for address in addresses
        ]
        self._transport.sendto(head + data[12:end] + b"".join(answers), addr)
