"""The PROXY protocol, versions 1 and 2: for whom a load balancer opens a connection.

haproxy's `doc/proxy-protocol.txt`, sections 2.1 and 2.2. The header comes before everything else,
TLS too. Not a byte behind it is taken.
"""

from __future__ import annotations

import re
import struct
from asyncio import IncompleteReadError
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address

from isocenter.core.errors import Invalid
from isocenter.runtime.addresses import Address

Receive = Callable[[int], Awaitable[bytes]]
"""Exactly so many bytes. Raises `IncompleteReadError` where the connection ends before."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_LINE = 107  # of version 1, its end included
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r]*)?|(?P<family>TCP4|TCP6) (?P<source>[0-9A-Fa-f:.]+)"
    rb" (?P<destination>[0-9A-Fa-f:.]+) (?P<port>0|[1-9]\d{0,4}) (?:0|[1-9]\d{0,4}))\r\n"
)
_LINE_FAMILIES = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}

_HEADER = struct.Struct(">BBH")  # of version 2, behind the signature
_VERSION = 2
_LOCAL, _PROXY = 0, 1
# Addresses, and what balancers tell besides (TLVs), of which certificates' names are the longest.
_LONGEST_BLOCK = 4096
_BLOCKS = {
    0x11: (IPv4Address, struct.Struct(">4s4sHH")),
    0x21: (IPv6Address, struct.Struct(">16s16sHH")),
}


async def read(receive: Receive) -> Address | None:
    """Who calls; None if the balancer itself does, or does not say. Raises `Invalid`, and
    `IncompleteReadError` if the connection ends before the header begins."""
    first = await receive(1)
    try:
        start = first + await receive(len(SIGNATURE) - 1)
        return await (_block(receive) if start == SIGNATURE else _line(start, receive))
    except IncompleteReadError as error:
        raise Invalid("the connection ends within the PROXY header") from error


async def _line(start: bytes, receive: Receive) -> Address | None:
    """Version 1."""
    if not start.startswith(b"PROXY "):
        raise Invalid("there is no PROXY header")
    line = start
    while not line.endswith(b"\r\n"):
        missing = 1 if line.endswith(b"\r") else 2
        if len(line) + missing > _LONGEST_LINE:
            raise Invalid("the PROXY line is too long")
        line += await receive(missing)
    found = _LINE.fullmatch(line)
    if found is None:
        raise Invalid("the PROXY line is malformed")
    if (family := found["family"]) is None:
        return None
    try:
        kind = _LINE_FAMILIES[family]
        source = kind(found["source"].decode())
        kind(found["destination"].decode())
    except ValueError as error:
        raise Invalid("the PROXY line holds no addresses") from error
    if int(found["port"]) > 0xFFFF:
        raise Invalid("the PROXY line holds no port")
    return str(source), int(found["port"])


async def _block(receive: Receive) -> Address | None:
    """Version 2, behind the signature."""
    version_and_command, family, length = _HEADER.unpack(await receive(_HEADER.size))
    version, command = divmod(version_and_command, 16)
    if version != _VERSION:
        raise Invalid(f"version {version} of the PROXY protocol is unknown")
    if command not in (_LOCAL, _PROXY):
        raise Invalid(f"the PROXY command {command} is unknown")
    if length > _LONGEST_BLOCK:
        raise Invalid(f"the PROXY header announces {length} bytes, more than {_LONGEST_BLOCK}")
    block = await receive(length)
    if command == _LOCAL:
        return None
    if family not in _BLOCKS:  # its own address must not stand for a caller's
        raise Invalid(f"the PROXY header tells no TCP address, but family {family:02X}H")
    kind, layout = _BLOCKS[family]
    if length < layout.size:
        raise Invalid(f"the PROXY header is too short for its addresses: {length} bytes")
    source, _, port, _ = layout.unpack_from(block)
    return str(kind(source)), port
