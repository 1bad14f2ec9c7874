"""Bounds of an audit record: what callers and data sets say is in it, as they said it, but no more
than anybody can read, and always text that can be encoded.

Who makes a record bounds it, and so does who keeps it: what is cut off already stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from isocenter.core.events import AuditEvent, Source

TEXT_LENGTH = 2000  # characters
LIST_LENGTH = 100

_CUT_TEXT = re.compile(r"\.\.\. \(and \d+ more characters\)\Z")
_CUT_LIST = re.compile(r"\.\.\. \(and \d+ more\)\Z")
_MARK = 50  # characters that say how much was cut off, at most

_TEXTS = (
    "id", "partition", "detail", "destination", "error", "query", "process", "site", "trace",
)  # fmt: skip
_LISTS = ("patient_ids", "studies", "series", "instances", "digests")
_OF_SOURCE = ("protocol", "host", "ae_title", "called_ae_title", "user", "tls_subject", "purpose")


def bounded_text(text: str) -> str:
    """The text; cut off, visibly, where it is too long."""
    if len(text) <= TEXT_LENGTH and text.isascii():
        return text  # nearly always, and every record has many
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair is no text
        text = text.encode(errors="backslashreplace").decode()
    if len(text) <= TEXT_LENGTH or _is_cut(text):
        return text
    return f"{text[:TEXT_LENGTH]}... (and {len(text) - TEXT_LENGTH} more characters)"


def _is_cut(text: str) -> bool:
    return len(text) <= TEXT_LENGTH + _MARK and bool(_CUT_TEXT.match(text, TEXT_LENGTH))


def bounded_list(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values; what is behind the first hundred is counted."""
    if not values:
        return values
    cut = len(values) == LIST_LENGTH + 1 and _CUT_LIST.match(values[-1])
    kept = tuple(bounded_text(value) for value in values[: LIST_LENGTH + bool(cut)])
    more = len(values) - len(kept)
    return (*kept, f"... (and {more} more)") if more else kept


def bounded_source(source: Source) -> Source:
    """The source, with bounded texts."""
    texts: dict[str, Any] = {name: bounded_text(getattr(source, name)) for name in _OF_SOURCE}
    return replace(source, **texts)


def bounded(event: AuditEvent) -> AuditEvent:
    """The record, with bounded texts and lists."""
    fields: dict[str, Any] = {name: bounded_text(getattr(event, name)) for name in _TEXTS}
    fields |= {name: bounded_list(getattr(event, name)) for name in _LISTS}
    return replace(event, source=bounded_source(event.source), **fields)
