"""DICOM TLS: the secure transport connection profile, as acceptor and as requestor, and what TLS
says about the peer."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from isocenter.runtime.tls_files import CallerTls, Files, Pem, Tls, WatchedFiles


@dataclass(frozen=True, slots=True)
class Profile:
    """A secure transport connection profile, as acceptors and requestors keep it."""

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


class _Contexts:
    """The context of each new connection, from what the files hold when it begins. Connections that
    are open keep theirs."""

    def __init__(self, files: Files) -> None:
        self._files = WatchedFiles(files)
        self._context = self._of(self._files.pem)

    def __call__(self) -> ssl.SSLContext:
        """For the next connection."""
        if self._files.changed():
            self._context = self._of(self._files.pem)
        return self._context

    def _of(self, pem: Pem) -> ssl.SSLContext:
        """One that keeps the profile."""
        context = pem.context
        context.minimum_version = PROFILE.minimum
        context.set_ciphers(":".join(PROFILE.cipher_suites.values()))
        context.options |= ssl.OP_NO_RENEGOTIATION
        return context


class AcceptorContexts(_Contexts):
    """An acceptor's: with a CA, clients must have a certificate of it."""

    def __init__(self, files: Tls) -> None:
        """Raises `Invalid`."""
        super().__init__(files)

    def _of(self, pem: Pem) -> ssl.SSLContext:
        context = super()._of(pem)
        if pem.ca is not None:
            context.load_verify_locations(cadata=pem.ca.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class RequestorContexts(_Contexts):
    """A requestor's: the server must have a certificate that we trust, for the name that it is
    called by."""

    def __init__(self, files: CallerTls) -> None:
        """Raises `Invalid`."""
        super().__init__(files)


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


_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE"})
_TRUST = (
    "trust its CA (or the certificate itself) in the CA file, name the peer as its certificate"
    " does, and check that the certificate is still valid"
)
_BE_TRUSTED = "show a certificate and key of a CA that the peer trusts"


def refusal(error: Exception) -> tuple[str, str]:
    """Why a peer that we called could not be spoken to over TLS, and what to do about it; empty
    if that is no matter of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}", _TRUST
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if reason in _NO_TLS:
        return "it does not speak TLS on this port", "use its port of TLS, or call without TLS"
    if "ALERT_" in reason:
        alert = reason.partition("ALERT_")[2].replace("_", " ").lower()
        return f"it refuses TLS: {alert}", _BE_TRUSTED
    if isinstance(error, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError)):
        return (
            "it ends the connection in the TLS handshake",
            "check that the port is one of TLS, and whether the peer wants a certificate of ours",
        )
    return "", ""


def loss(error: Exception | None) -> str:
    """Why a connection that was open is no more."""
    if isinstance(error, ssl.SSLError):
        return "; ".join(filter(None, refusal(error))) or "TLS failed"
    return "the connection was lost"
