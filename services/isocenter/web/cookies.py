"""The cookies that browsers keep for us: the secret of a session, and a sign-in under way."""

from __future__ import annotations

from isocenter.web.exchange import Exchange

# RFC 6265bis 4.1.3.2: a browser takes a name with this prefix from us alone, over TLS.
_SECURE = "__Host-"
SESSION, _FLOW = "isocenter", "isocenter-flow"
# Lax: a link in a mail opens a study, and the identity provider sends people back; what changes
# something is looked at by `admission.from_here`.
_ATTRIBUTES = "Path=/; HttpOnly; SameSite=Lax"

Field = tuple[bytes, bytes]


def session(exchange: Exchange) -> str:
    """The secret of the session that a browser shows; empty without one."""
    return _shown(exchange, SESSION)


def kept(exchange: Exchange, secret: str) -> Field:
    """The header field by which a browser keeps the secret of a session, as long as it runs."""
    return _field(exchange, SESSION, secret, "")


def forgotten(exchange: Exchange) -> Field:
    """The header field by which it forgets it."""
    return _field(exchange, SESSION, "", "; Max-Age=0")


def flow(exchange: Exchange) -> str:
    """What a browser keeps of a sign-in under way."""
    return _shown(exchange, _FLOW)


def flow_kept(exchange: Exchange, value: str, seconds: int) -> Field:
    """The header field by which it keeps that."""
    return _field(exchange, _FLOW, value, f"; Max-Age={seconds}")


def flow_forgotten(exchange: Exchange) -> Field:
    """The header field by which it forgets that."""
    return _field(exchange, _FLOW, "", "; Max-Age=0")


def _shown(exchange: Exchange, name: str) -> str:
    name = _name(exchange, name)
    for part in exchange.header(b"cookie").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _field(exchange: Exchange, name: str, value: str, more: str) -> Field:
    secure = "; Secure" if _is_secure(exchange) else ""
    text = f"{_name(exchange, name)}={value}; {_ATTRIBUTES}{secure}{more}"
    return b"set-cookie", text.encode("ascii")


def _name(exchange: Exchange, name: str) -> str:
    return _SECURE + name if _is_secure(exchange) else name


def _is_secure(exchange: Exchange) -> bool:
    """Whether this client reaches us over TLS."""
    return exchange.is_secure
