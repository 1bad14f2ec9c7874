"""Whom a certificate is of, and how settings write that: by its subject, most specific first
(`CN=research,O=Hospital`), by its fingerprint (`sha256:...`), or by one of its names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from isocenter.runtime.addresses import ip_of

_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_HOST = re.compile(r"[A-Za-z0-9_*.-]+")


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """What was checked by TLS already."""

    subject: str  # RFC 4514; empty: it has none
    fingerprint: str  # as settings write it
    names: tuple[str, ...]  # subject alternative names: DNS names, URIs, addresses (RFC 5280)

    @property
    def label(self) -> str:
        """For people."""
        return self.subject or next(iter(self.names), self.fingerprint)

    @property
    def written(self) -> tuple[str, ...]:
        """All that settings may call it, the most exact first."""
        return (self.fingerprint, self.subject, *self.names)


@lru_cache(maxsize=1024)
def shown(pem: bytes) -> ShownCertificate:
    """The first of these certificates (PEM)."""
    certificate = x509.load_pem_x509_certificate(pem)
    return ShownCertificate(
        certificate.subject.rfc4514_string(),
        f"sha256:{certificate.fingerprint(SHA256()).hex()}",
        tuple(_names(certificate)),
    )


def is_name(text: str) -> bool:
    """Whether settings mean one of the names."""
    return bool(_HOST.fullmatch(text) or _URI.fullmatch(text)) or ip_of(text) is not None


def is_fingerprint(text: str) -> bool:
    """Whether settings mean a fingerprint, once it is `spelled`."""
    return _FINGERPRINT.fullmatch(text) is not None


def spelled(text: str) -> str:
    """Fingerprints as OpenSSL prints them are taken too, with colons and in capitals."""
    kind, colon, digits = text.partition(":")
    if kind.lower() == "sha256" and colon:
        return f"sha256:{digits.replace(':', '').lower()}"
    return text


def _names(certificate: x509.Certificate) -> list[str]:
    """A name of one kind that could be taken for one of another is none."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = extension.value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [
        *(one.lower() for one in names.get_values_for_type(x509.DNSName) if _HOST.fullmatch(one)),
        *(one for one in uris if _URI.fullmatch(one)),
        *(str(one) for one in names.get_values_for_type(x509.IPAddress)),
    ]
