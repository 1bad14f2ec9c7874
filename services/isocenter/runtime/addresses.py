"""IP addresses of peers, as sockets tell them, and networks, as settings name them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Annotated

from pydantic import AfterValidator

Address = tuple[str, int]  # of a peer: host and port
Networks = tuple[IPv4Network | IPv6Network, ...]


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"{error}; write 10.0.0.7, 10.0.0.0/24 or fd00::/64") from None


Network = Annotated[str, AfterValidator(_network)]  # of a setting


@lru_cache(maxsize=1024)
def networks_of(texts: tuple[str, ...]) -> Networks:
    """The networks that a setting names."""
    return tuple(ip_network(text) for text in texts)


@lru_cache(maxsize=1024)
def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """What a host's address is, without zone, and IPv4 where it is mapped into IPv6; None for what
    is no address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    address = ip_of(host)
    return address is not None and address.is_loopback


def names_this_machine(host: str) -> bool:
    """Whether a host, which may be a name, is this machine."""
    return host == "localhost" or is_loopback(host)


@lru_cache(maxsize=4096)
def place_of(host: str) -> str:
    """Where a host is, as far as it cannot choose that itself: its address, of IPv6 the network of
    64 bits (RFC 4291 2.5.1); what is no address as it is."""
    address = ip_of(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address) if address else host


def is_within(host: str, networks: Networks) -> bool:
    """Whether a host is in one of the networks."""
    address = ip_of(host)
    return address is not None and any(address in network for network in networks)
