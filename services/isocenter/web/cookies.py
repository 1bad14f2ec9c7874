"""The cookie of a session."""

from __future__ import annotations

from isocenter.web.admission import COOKIE, SECURE_COOKIE, is_secure
from isocenter.web.exchange import Exchange

# Lax: a link in a mail opens a study; what changes something is looked at by `admission.from_here`.
_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"


def kept(exchange: Exchange, secret: str) -> tuple[bytes, bytes]:
    """The header field by which a browser keeps the secret of a session, as long as it runs."""
    return _field(exchange, secret, "")


def forgotten(exchange: Exchange) -> tuple[bytes, bytes]:
    """The header field by which it forgets it."""
    return _field(exchange, "", "; Max-Age=0")


def _field(exchange: Exchange, value: str, more: str) -> tuple[bytes, bytes]:
    name, secure = (SECURE_COOKIE, "; Secure") if is_secure(exchange) else (COOKIE, "")
    return b"set-cookie", f"{name}={value}; {_ATTRIBUTES}{secure}{more}".encode("ascii")
