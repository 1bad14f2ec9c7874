"""How the settings name other processes. Imports no gRPC."""

from __future__ import annotations

import ipaddress
import re

_SCHEMES = ("dns", "ipv4", "ipv6")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]/]+)\]|(?P<host>[^\[\]:/,\s]+)):(?P<port>\d{1,5})")


def target_of(address: str) -> str:
    """An address of the settings in gRPC's name syntax. Raises `ValueError`, for validation.

    `host:port`, several copies as `address:port,address:port`, or already in that syntax: `dns:///`
    and a name that stands for all copies, `ipv4:` or `ipv6:` and their addresses.
    """
    scheme, _, rest = address.partition(":")
    if scheme in _SCHEMES:
        if not re.fullmatch(r".+:\d{1,5}", rest):
            raise ValueError(f"{address!r} has no port, as in `dns:///storage:50051`")
        return address
    parts = [_parsed(part.strip()) for part in address.split(",")]
    kinds = {kind for kind, _ in parts}
    joined = ",".join(text for _, text in parts)
    if kinds == {"dns"} and len(parts) == 1:
        return f"dns:///{joined}"
    if "dns" in kinds or len(kinds) > 1:
        raise ValueError(
            "several copies are named by their IPv4 or their IPv6 addresses, or together by one "
            "DNS name as in `dns:///storage:50051`"
        )
    return f"{kinds.pop()}:{joined}"


def _parsed(part: str) -> tuple[str, str]:
    """One copy as gRPC wants it, and of what kind its name is."""
    found = _HOST_AND_PORT.fullmatch(part)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"{part!r} is not `host:port`, as in `10.0.0.7:50051`")
    try:
        number = ipaddress.ip_address(found["ipv6"] or found["host"])
    except ValueError:
        if found["ipv6"]:
            raise ValueError(f"{part!r} holds no IPv6 address") from None
        return "dns", part
    if number.version == 4:
        return "ipv4", part
    return "ipv6", f"%5B{number}%5D:{found['port']}"


def listening_on(host: str, port: int) -> str:
    """The address of a listener."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
