"""Range requests (RFC 9110 14) of a single range of bytes; several at once are answered whole."""

from __future__ import annotations

import re

from isocenter.web.exchange import Exchange
from isocenter.web.problems import Problem

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE)


def asked(exchange: Exchange, size: int, etag: bytes) -> tuple[int, int] | None:
    """Offset and length of the range of a representation of `size` bytes that is to be sent;
    None: all of it. Raises the 416 `Problem`."""
    found = _RANGE.fullmatch(exchange.header(b"range"))
    if found is None or not (found[1] or found[2]):
        return None  # RFC 9110 14.2: what is malformed or not known is passed over
    unchanged = exchange.header(b"if-range")
    if unchanged and unchanged.encode("latin-1") != etag:
        return None
    if found[1]:
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if last < first <= size - 1:
            return None
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first >= size or first > last:
        unsatisfied = (b"content-range", b"bytes */%d" % size)
        raise Problem(416, f"there are {size} bytes", [unsatisfied])
    return first, min(last, size - 1) - first + 1


def content_range(part: tuple[int, int], size: int) -> tuple[bytes, bytes]:
    """The header field of a 206 answer."""
    first, length = part
    return b"content-range", b"bytes %d-%d/%d" % (first, first + length - 1, size)
