"""Values of FHIR search parameters (FHIR R4 3.1.1.4): dates, tokens and strings, read and compared
with what a resource says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from isocenter.core.errors import Invalid
from isocenter.web.problems import shown

Resource = Mapping[str, Any]

MAX_VALUE = 256  # characters
_DATE = re.compile(
    r"(?P<prefix>[a-z]{2})?(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<time>\d\d:\d\d)(?::(?P<second>\d\d)(?:\.(?P<part>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
_LOW, _HIGH = "low", "high"
# Prefix -> where the times that are meant begin, and where they end, of what the value spans: a
# record has an instant, so `sa` is `gt`, and `eb` is `lt`.
_PREFIXES: Mapping[str, tuple[str, str]] = {
    "eq": (_LOW, _HIGH), "ge": (_LOW, ""), "gt": (_HIGH, ""), "le": ("", _HIGH),
    "lt": ("", _LOW), "sa": (_HIGH, ""), "eb": ("", _LOW),
}  # fmt: skip
_SEPARATOR = re.compile(r"(?<!\\)((?:\\\\)*),")


@dataclass(frozen=True, slots=True)
class Span:
    """Times: not before, and before; None for no bound."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Token:
    """`code`, `system|code`, `|code` or `system|` (FHIR R4 3.1.1.4.10)."""

    system: str | None  # None: any; empty: none
    code: str  # empty: any

    def is_of(self, system: str, code: str) -> bool:
        """Whether a coded value or an identifier is meant."""
        return self.system in (None, system) and self.code in ("", code)


def values_of(name: str, text: str) -> Sequence[str]:
    """The values of a parameter, one of which must match; backslashes escape. Raises `Invalid`."""
    if len(text) > MAX_VALUE:
        raise Invalid(f"{name} has more than {MAX_VALUE} characters")
    values = _SEPARATOR.sub("\\1\0", text).split("\0")
    if not all(values):
        raise Invalid(f"{name} has no value", fix="leave the parameter out, or give it one")
    return values


def one_of(name: str, text: str) -> str:
    """A parameter's only value, with its backslashes. Raises `Invalid`."""
    values = values_of(name, text)
    if len(values) > 1:
        raise Invalid(
            f"{name} is answered for one value at a time, not for several with commas between them",
            fix="ask for each of them",
        )
    return values[0]


def unescaped(text: str) -> str:
    """What `\\,`, `\\|`, `\\$` and `\\\\` stand for (FHIR R4 3.1.1.4.0.1)."""
    return re.sub(r"\\([\\,|$])", r"\1", text)


def token(text: str) -> Token:
    """A token; `text` has its backslashes still."""
    system, bar, code = re.sub(r"(?<!\\)\|", "\0", text, count=1).partition("\0")
    if not bar:
        return Token(None, unescaped(system))
    return Token(unescaped(system), unescaped(code))


def span(text: str) -> Span:
    """The times that a date with its prefix means. Raises `Invalid`."""
    found = _DATE.fullmatch(text)
    prefix = (found["prefix"] or "eq") if found else ""
    if found is None or prefix not in _PREFIXES:
        raise Invalid(
            f"date={shown(text)} cannot be answered",
            fix=f"write it as ge2026-11-26 or lt2026-11-26T17:00:00Z, with a prefix of"
            f" {', '.join(_PREFIXES)} (a + of a time zone is %2B in an address)",
        )
    try:
        low, high = _spanned(found)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"date={shown(text)} is no date of the calendar") from error
    since, until = _PREFIXES[prefix]
    bounds = {_LOW: low, _HIGH: high}
    return Span(bounds.get(since), bounds.get(until))


def _spanned(found: re.Match[str]) -> tuple[datetime, datetime]:
    """The first moment of a date as precise as it is given, and the first behind it. Without a
    time zone it is UTC, which the capability statement says."""
    year, month = int(found["year"]), int(found["month"] or 1)
    first = datetime(year, month, int(found["day"] or 1), tzinfo=UTC)
    if found["time"] is None:
        if found["day"]:
            return first, first + timedelta(days=1)
        months = 1 if found["month"] else 12
        year, month = divmod(year * 12 + month - 1 + months, 12)
        return first, datetime(year, month + 1, 1, tzinfo=UTC)
    part = (found["part"] or "")[:6]
    clock = f"{found['time']}:{found['second'] or '00'}.{part or '0':0<6}"
    moment = datetime.fromisoformat(f"{first.date()}T{clock}{found['zone'] or 'Z'}")
    step = timedelta(microseconds=10 ** (6 - len(part))) if part else timedelta(seconds=1)
    low = moment.astimezone(UTC)
    return low, low + (step if found["second"] else timedelta(minutes=1))


def plain(text: str) -> str:
    """A text as strings are compared: without case and accents (FHIR R4 3.1.1.4.8)."""
    parted = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parted if not unicodedata.combining(char))


def within(node: object, *path: str) -> Iterator[Any]:
    """What stands at a path of a resource; lists on the way are gone through."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from within(item, *path)
    elif not path:
        yield node
    elif isinstance(node, Mapping) and path[0] in node:
        yield from within(node[path[0]], *path[1:])


def any_token(tokens: Iterable[Token], codings: Iterable[Any]) -> bool:
    """Whether a Coding, an Identifier or a plain code is one of those that are meant."""
    wanted = list(tokens)
    for coding in codings:
        if isinstance(coding, str):
            system, code = "", coding
        else:
            system, code = coding.get("system", ""), coding.get("code", coding.get("value", ""))
        if any(one.is_of(system, code) for one in wanted):
            return True
    return False
