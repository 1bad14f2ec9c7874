"""Until when certificates are valid: the validity of X.509 (RFC 5280, 4.1.2.5), and no more."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Tags of X.690 8.1.2.
_VERSION = 0xA0
_UTC_TIME = 0x17

# Of a TBSCertificate without its version: serial number, signature, issuer, validity.
_VALIDITY = 3


def valid_until(pem: bytes) -> datetime:
    """When the first of these certificates expires."""
    return min(_not_after(ssl.PEM_cert_to_DER_cert(one)) for one in _PEM.findall(pem.decode()))


def _not_after(certificate: bytes) -> datetime:
    [(_, signed)] = _elements(certificate)
    _, to_be_signed = next(_elements(signed))
    fields = [content for tag, content in _elements(to_be_signed) if tag != _VERSION]
    _, (kind, content) = _elements(fields[_VALIDITY])
    text = content.decode("ascii")
    if kind == _UTC_TIME:  # years from 1950 to 2049, in two digits
        text = ("19" if text >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element of a constructed one (X.690 8.1)."""
    offset = 0
    while offset < len(content):
        tag, length = content[offset : offset + 2]
        offset += 2
        if length & 0x80:
            end = offset + (length & 0x7F)
            length, offset = int.from_bytes(content[offset:end], "big"), end
        yield tag, content[offset : offset + length]
        offset += length
