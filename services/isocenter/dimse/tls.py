"""What TLS says about the peer."""

from __future__ import annotations

import asyncio
import ssl

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
}


def subject(transport: asyncio.Transport) -> str:
    """Subject of the client certificate, most specific first: `CN=...,O=...`."""
    encrypted = transport.get_extra_info("ssl_object")
    certificate = encrypted.getpeercert() if isinstance(encrypted, ssl.SSLObject) else None
    names = (certificate or {}).get("subject", ())
    return ",".join(f"{_SHORT.get(kind, kind)}={value}" for ((kind, value),) in reversed(names))
