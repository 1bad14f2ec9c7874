"""Who asks, and how clients reach us, where a proxy stands between: the Forwarded header field
(RFC 7239), or the X-Forwarded-... ones that many proxies write.

Only what a proxy that is trusted says counts. Proxies add to a list at its end, so it is read from
there: the last one that is not itself a trusted proxy is who asks; what stands before it anyone
can have written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from isocenter.core.cached import cached
from isocenter.runtime.addresses import Networks, ip_of, is_within
from isocenter.web.lists import elements

# Possessive, and a word only from its beginning: see `web.lists`.
_PAIR = re.compile(r'(?<![A-Za-z])([A-Za-z]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^\s;,"]*+)')
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_MOST = 32  # proxies one behind the other


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What proxies say of a request; empty where they say nothing."""

    host: str = ""  # address of who asks, without the port
    scheme: str = ""
    authority: str = ""  # what the client asked for as host[:port]
    prefix: str = ""  # of the path, that a proxy has taken away


_NOTHING = Forwarded()


def forwarded(header: Callable[[bytes], str], peer: str, trusted: Networks) -> Forwarded:
    """What the header fields of a request from this peer say."""
    if not trusted or not is_within(peer, trusted):
        return _NOTHING
    prefix = header(b"x-forwarded-prefix").rstrip("/")
    prefix = prefix if _PREFIX.fullmatch(prefix) else ""
    if text := header(b"forwarded"):
        return _standard(text, trusted, prefix)
    return _usual(
        header(b"x-forwarded-for"),
        header(b"x-forwarded-proto"),
        header(b"x-forwarded-host"),
        header(b"x-forwarded-port"),
        trusted,
        prefix,
    )


@cached(1024)
def _standard(text: str, trusted: Networks, prefix: str) -> Forwarded:
    hops = [
        {name.lower(): _unquoted(value) for name, value in _PAIR.findall(element)}
        for element in elements(text)[-_MOST:]
    ]
    clients = [element.get("for", "") for element in hops]
    at = _who_asks(clients, trusted)
    asked = hops[at] if hops else {}
    return Forwarded(
        _address(clients[at]) if clients else "",
        _scheme(asked.get("proto", "")),
        asked.get("host", ""),
        prefix,
    )


@cached(1024)
def _usual(
    clients: str, scheme: str, authority: str, port: str, trusted: Networks, prefix: str
) -> Forwarded:
    found = [one.strip() for one in clients.split(",")][-_MOST:]
    # Host and scheme are lists only where a proxy adds to what a client may have written.
    authority = authority.rpartition(",")[2].strip()
    scheme = _scheme(scheme.rpartition(",")[2].strip())
    usual = {"http": "80", "https": "443"}.get(scheme)
    if port.isdigit() and port != usual and authority and not re.search(r":\d+$", authority):
        authority = f"{authority}:{port}"
    return Forwarded(_address(found[_who_asks(found, trusted)]), scheme, authority, prefix)


def _who_asks(clients: list[str], trusted: Networks) -> int:
    """The place of who asks, from the end."""
    for at in range(1, len(clients) + 1):
        if not is_within(_address(clients[-at]), trusted):
            return -at
    return -len(clients) if clients else 0


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _address(node: str) -> str:
    """The address of a node (RFC 7239 6): 192.0.2.1:4711, [2001:db8::1]:4711; empty for others."""
    text = node.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = ip_of(text)
    return str(address) if address else ""


def _scheme(text: str) -> str:
    return text.lower() if text.lower() in ("http", "https") else ""
