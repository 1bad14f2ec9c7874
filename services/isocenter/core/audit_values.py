"""The rules of what may be asked of the audit trail, for every edge at which it is asked.

Names are matched exactly. A `*` or `?` in one is refused, since whoever writes it means a wildcard,
and "nothing found" would be the wrong answer; `\\*` and `\\?` are the characters.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TypeVar

from isocenter.core.audit import AuditFilter, words
from isocenter.core.errors import Invalid

Kind = TypeVar("Kind", bound=Enum)

_SHOWN = 64  # characters of what somebody asked for
_ESCAPED = re.compile(r"\\([*?])")
_WILDCARD = re.compile(r"(?<!\\)[*?]")


def exact(name: str, value: str, words_by: str) -> str:
    """A value that is matched as it is; `words_by`: what looks for the beginnings of words. Raises
    `Invalid` for a wildcard."""
    if _WILDCARD.search(value):
        raise Invalid(
            f"{name} is matched exactly, without wildcards",
            fix=rf"give the whole value, or the beginnings of its words with {words_by}; \* and \?"
            " are the characters themselves",
        )
    return _ESCAPED.sub(r"\1", value)


def written(value: str) -> str:
    """The value as `exact` reads it."""
    return re.sub(r"([*?])", r"\\\1", value)


def member(name: str, kind: type[Kind], value: str) -> Kind:
    """The member of an enumeration. Raises `Invalid`, with those that there are."""
    try:
        return kind(value)
    except ValueError as error:
        known = ", ".join(str(one.value) for one in kind)
        raise Invalid(f"there is no {name} {value[:_SHOWN]!r}", fix=f"choose of {known}") from error


def consistent(which: AuditFilter) -> AuditFilter:
    """The filter, if records can pass it. Raises `Invalid`."""
    if which.since and which.until and which.since >= which.until:
        raise Invalid("since is not before until, so nothing can lie between them")
    if which.text and not words(which.text):
        raise Invalid("text has no word to look for", fix="give the beginnings of words")
    return which
