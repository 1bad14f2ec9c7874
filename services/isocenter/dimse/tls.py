"""DICOM TLS: the secure transport connection profile, and what TLS says about the peer."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from isocenter.runtime.tls_files import Pem, Tls, WatchedFiles


@dataclass(frozen=True, slots=True)
class Profile:
    """A secure transport connection profile, as an acceptor keeps it."""

    name: str
    section: str
    minimum: ssl.TLSVersion
    cipher_suites: Mapping[str, str]
    """Of TLS 1.2, best first: name in TLS -> name in OpenSSL. TLS 1.3 has none that are weak."""


# RFC 8996 allows no TLS before 1.2; the suites are those that RFC 9325, 4.2 recommends. Peers that
# keep the older profiles of B.9 to B.11 find one of theirs among them.
PROFILE = Profile(
    name="BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile",
    section="PS3.15 B.12",
    minimum=ssl.TLSVersion.TLSv1_2,
    cipher_suites={
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    },
)

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
}


class AcceptorContexts:
    """The context of each new connection, from what the files hold when it comes. Connections that
    are open keep theirs."""

    def __init__(self, files: Tls) -> None:
        """Raises `Invalid`."""
        self._files = WatchedFiles(files)
        self._context = _context(self._files.pem)

    def __call__(self) -> ssl.SSLContext:
        """For the next connection."""
        if self._files.changed():
            self._context = _context(self._files.pem)
        return self._context


def _context(pem: Pem) -> ssl.SSLContext:
    """An acceptor's, which keeps the profile; with a CA, clients must have a certificate of it."""
    context = pem.context
    context.minimum_version = PROFILE.minimum
    context.set_ciphers(":".join(PROFILE.cipher_suites.values()))
    context.options |= ssl.OP_NO_RENEGOTIATION
    if pem.ca is not None:
        context.load_verify_locations(cadata=pem.ca.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def subject(transport: asyncio.Transport) -> str:
    """Subject of the client certificate, most specific first: `CN=...,O=...`."""
    encrypted = transport.get_extra_info("ssl_object")
    certificate = encrypted.getpeercert() if isinstance(encrypted, ssl.SSLObject) else None
    names = (certificate or {}).get("subject", ())
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in name)
        for name in reversed(names)
    )


def fingerprint(transport: asyncio.Transport) -> str:
    """SHA-256 of the client certificate, lower-case hexadecimal; empty without one."""
    encrypted = transport.get_extra_info("ssl_object")
    der = encrypted.getpeercert(True) if isinstance(encrypted, ssl.SSLObject) else None
    return hashlib.sha256(der).hexdigest() if der else ""


def _escaped(value: str) -> str:
    """A value of which no other part of a name can be made (RFC 4514 2.4)."""
    return re.sub(r'[",+;<>\\]|^[ #]| $', r"\\\g<0>", value)
