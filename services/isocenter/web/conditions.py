"""Conditional requests (RFC 9110 13): what a representation is told by, and whether the client has
it already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

from isocenter import __version__
from isocenter.core.apis import StoredInstance
from isocenter.web.exchange import Exchange
from isocenter.web.problems import Problem

# Answers hold data of patients, and are asked for again before each use.
_HEADERS = ((b"vary", b"accept"), (b"cache-control", b"private, no-cache"))


@dataclass(frozen=True, slots=True)
class Validators:
    """Of one representation. Its entity tag names the versions that are in it, its form, and the
    release that makes it; it is weak where boundaries differ from answer to answer."""

    etag: bytes
    modified_at: datetime | None = None  # when the newest of the versions became current

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Of an answer with this representation, or of 304."""
        date = [] if self.modified_at is None else [(b"last-modified", _date(self._modified))]
        return [(b"etag", self.etag), *date, *_HEADERS]

    async def settled(self, exchange: Exchange) -> bool:
        """Answer with 304 if the client has this representation; whether it does. Raises the 412
        `Problem`."""
        if not self.unchanged(exchange):
            return False
        await exchange.without_content(304, self.headers)
        return True

    def unchanged(self, exchange: Exchange) -> bool:
        """Whether the client has this representation, by the conditions of its request in the
        order of RFC 9110 13.2.2. Raises the 412 `Problem`."""
        match, since = exchange.header(b"if-match"), exchange.header(b"if-unmodified-since")
        if match:
            tags = _tags(match)
            required = "*" in tags or (self._strong and self.etag.decode("ascii") in tags)
        else:
            required = not since or self._not_after(since) is not False
        if not required:
            raise Problem(412, "what is kept is not what the request is for; ask for it anew")
        if not self._strong and exchange.header(b"range"):
            return False  # a cache would cut the range out of its copy, boundaries included
        match, since = exchange.header(b"if-none-match"), exchange.header(b"if-modified-since")
        if not match:
            return bool(since and self._not_after(since))
        tags = [tag.removeprefix("W/") for tag in _tags(match)]  # 8.8.3.2: weak comparison
        return "*" in tags or self.etag.decode("ascii").removeprefix("W/") in tags

    @property
    def _strong(self) -> bool:
        return not self.etag.startswith(b"W/")

    @property
    def _modified(self) -> int:
        assert self.modified_at is not None
        return int(self.modified_at.timestamp())

    def _not_after(self, date: str) -> bool | None:
        """Whether it was last modified at this HTTP-date or before; None where that is not known,
        or the date is none: such a field is passed over (RFC 9110 13.1.3)."""
        if self.modified_at is None:
            return None
        try:
            given = parsedate_to_datetime(date)
        except (ValueError, OverflowError):
            return None
        return self._modified <= given.replace(tzinfo=given.tzinfo or UTC).timestamp()


def of_instances(
    instances: Iterable[StoredInstance], *form: object, strong: bool = True
) -> Validators:
    """What versions make in a form, of which `form` is all that tells it from others."""
    named = hashlib.sha256(f"{__version__} {form}\n".encode())
    dates = []
    for instance in instances:
        named.update((instance.digest + instance.overlay).encode("ascii"))
        dates.append(instance.modified_at)
    known = [date for date in dates if date is not None]
    newest = max(known) if known and len(known) == len(dates) else None
    return Validators(_tag(named.hexdigest(), strong=strong), newest)


def tag_of(parts: Sequence[object], *, strong: bool = True) -> bytes:
    """The entity tag of what these, printed, tell from all others."""
    return _tag(hashlib.sha256(f"{__version__} {parts}".encode()).hexdigest(), strong=strong)


def _tag(digest: str, *, strong: bool) -> bytes:
    return b'%s"%s"' % (b"" if strong else b"W/", digest[:32].encode("ascii"))


def _tags(field: str) -> Sequence[str]:
    """The entity tags of an If-Match or If-None-Match field. None of ours has a comma in it."""
    return [tag.strip() for tag in field.split(",")]


@lru_cache(maxsize=1024)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")
