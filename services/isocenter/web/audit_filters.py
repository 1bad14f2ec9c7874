"""Filters of the audit trail as parameters of a query: read and checked by the rules of
`core.audit_values`, and written again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from isocenter.core import audit_values
from isocenter.core.audit import AuditFilter
from isocenter.core.audit_values import consistent, exact, member
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.core.identity import is_uid
from isocenter.web.problems import shown

Pairs = Iterable[tuple[str, str]]

REPEATED: Mapping[str, tuple[str, type[Enum]]] = {
    "action": ("actions", AuditAction),
    "outcome": ("outcomes", AuditOutcome),
}
MOMENTS = ("since", "until")
# Parameter -> field of the filter.
EXACT: Mapping[str, str] = {"who": "who", "patient": "patient_id", "place": "place"}
UIDS: Mapping[str, str] = {"study": "study", "instance": "instance"}
TEXT = "text"
PARAMETERS = (*MOMENTS, *REPEATED, *EXACT, *UIDS, TEXT)

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
_MAX_VALUE = 256  # characters

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?"
)


def read(pairs: Pairs, *, blank: bool = False) -> AuditFilter:
    """The filter of parameters that are all known (`PARAMETERS`). Raises `Invalid`.

    `blank`: whether a parameter without a value is as none, as a form sends it. A program that
    sends one has lost a value, and must not be told of everything instead.
    """
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise Invalid(f"parameter {shown(name)} is not known here", fix=f"use {_listed()}")
        text = value.strip() if blank else value
        if not text:
            if blank:
                continue
            raise Invalid(f"parameter {name} has no value", fix="leave it out, or give it one")
        if name in REPEATED:
            field, kind = REPEATED[name]
            found: tuple[Enum, ...] = fields.get(field, ())
            fields[field] = (*dict.fromkeys((*found, member(name, kind, text))),)
            continue
        field, reader = _SINGLE[name]
        if field in fields:
            raise Invalid(f"parameter {name} is given twice")
        fields[field] = reader(name, text)
    return consistent(AuditFilter(**fields))


def written(which: AuditFilter) -> list[tuple[str, str]]:
    """The parameters of a filter, in the order of `PARAMETERS`."""
    moments = [(name, getattr(which, name)) for name in MOMENTS]
    pairs = [(name, moment_text(moment)) for name, moment in moments if moment]
    for name, (field, _) in REPEATED.items():
        pairs += [(name, member.value) for member in getattr(which, field)]
    for name, field in {**EXACT, **UIDS}.items():
        if value := getattr(which, field):
            pairs.append((name, audit_values.written(value)))
    return [*pairs, *([(TEXT, which.text)] if which.text else [])]


def moment_text(moment: datetime) -> str:
    """As short as it can be said: a date for midnight, seconds where there are some."""
    told = moment.astimezone(UTC)
    if told.time() == datetime.min.time():
        return told.date().isoformat()
    if not told.second and not told.microsecond:
        return told.strftime("%Y-%m-%dT%H:%MZ")
    fraction = "microseconds" if told.microsecond else "seconds"
    return told.isoformat(timespec=fraction).replace("+00:00", "Z")


def moment_of(name: str, text: str) -> datetime:
    """A date (midnight) or a time, in UTC unless it says another zone. Raises `Invalid`."""
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text.replace(" ", "T", 1))
        told = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            f"{name}={shown(text)} is no date and no time",
            fix="write it as 2026-11-26 or 2026-11-26T17:00:00Z (a + of a time zone is %2B in an"
            " address)",
        ) from error
    return told


def number_of(name: str, text: str, most: int, least: int = 1) -> int:
    """A whole number within bounds. Raises `Invalid`."""
    digits = text.isascii() and text.isdigit() and len(text) <= 9
    if not digits or not least <= int(text) <= most:
        raise Invalid(f"{name}={shown(text)} is no number from {least} to {most}")
    return int(text)


def limit_of(text: str) -> int:
    """The length of a page. Raises `Invalid`."""
    return number_of("limit", text, MAX_LIMIT) if text else DEFAULT_LIMIT


def named(name: str, text: str) -> str:
    """A value that is matched as it is. Raises `Invalid` for a wildcard."""
    _bounded(name, text)
    return exact(name, text, "text=")


def uid(name: str, text: str) -> str:
    """A UID. Raises `Invalid`."""
    if not is_uid(text):
        raise Invalid(f"{name} is no UID", fix="give the whole UID (PS3.5 9.1)")
    return text


def _text(name: str, text: str) -> str:
    _bounded(name, text)
    return text


def _bounded(name: str, text: str) -> None:
    if len(text) > _MAX_VALUE:
        raise Invalid(f"{name} has more than {_MAX_VALUE} characters")


def _listed() -> str:
    return f"{', '.join(PARAMETERS[:-1])} and {PARAMETERS[-1]}"


_Reader = Callable[[str, str], Any]
_SINGLE: Mapping[str, tuple[str, _Reader]] = {
    **{name: (name, moment_of) for name in MOMENTS},
    **{name: (field, named) for name, field in EXACT.items()},
    **{name: (field, uid) for name, field in UIDS.items()},
    TEXT: (TEXT, _text),
}


def without(pairs: Pairs, *names: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The pairs but those of these names, and those, each of which may be given once. Raises
    `Invalid`."""
    rest: list[tuple[str, str]] = []
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            rest.append((name, value))
        elif name in found:
            raise Invalid(f"parameter {name} is given twice")
        else:
            found[name] = value
    return rest, found


def all_of(pairs: Pairs, name: str) -> Sequence[str]:
    """Every value of a parameter, in order."""
    return [value for key, value in pairs if key == name]
