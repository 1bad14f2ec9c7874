"""Secrets that are kept for a session, sealed with the secret that only the session's browser has:
whoever reads the object store cannot use them."""

from __future__ import annotations

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from isocenter.core.errors import Corrupted

_NONCE = 12  # bytes (NIST SP 800-38D 8.2)


def sealed(secret: str, text: str) -> str:
    """The text, readable with the secret alone; empty for none."""
    if not text:
        return ""
    nonce = secrets.token_bytes(_NONCE)
    data = AESGCM(_key(secret)).encrypt(nonce, text.encode(), None)
    return base64.urlsafe_b64encode(nonce + data).decode()


def unsealed(secret: str, text: str) -> str:
    """What was sealed. Raises `Corrupted`."""
    if not text:
        return ""
    try:
        data = base64.urlsafe_b64decode(text)
        return AESGCM(_key(secret)).decrypt(data[:_NONCE], data[_NONCE:], None).decode()
    except (ValueError, InvalidTag) as error:
        raise Corrupted("what was sealed for a session cannot be read") from error


def _key(secret: str) -> bytes:
    return HKDF(SHA256(), 32, None, b"isocenter session").derive(secret.encode())
