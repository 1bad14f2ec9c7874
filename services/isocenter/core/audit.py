"""The audit trail as its index and its readers know it: filters, places in the chain, counts.

`AuditIndex` is a port as those of `core.ports`: every adapter passes the same suite.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Protocol

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome

_WORD = re.compile(r"[\w.\-@:/^]+")
WORD_LENGTH = 128


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record stands: its chain, and its number in it, from 1."""

    chain: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in its place."""

    event: AuditEvent
    place: Place


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records; empty fields match everything, all others must match."""

    since: datetime | None = None
    until: datetime | None = None  # before
    actions: tuple[AuditAction, ...] = ()
    outcomes: tuple[AuditOutcome, ...] = ()
    who: str = ""  # user, AE title, host or TLS subject, exactly
    patient_id: str = ""
    study: str = ""
    instance: str = ""
    place: str = ""  # site, partition or destination, exactly
    text: str = ""  # words, each of which begins a word of the record (`words_of`)


class By(Enum):
    """What records are counted by."""

    HOUR = "hour"  # UTC; keys as 2026-11-26T17
    WHO = "who"  # `Source.who`
    ACTION = "action"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many records agree in what they were counted by."""

    keys: tuple[str, ...]  # one for each `By` that was asked for
    count: int


class AuditIndex(Protocol):
    """Records so that they can be found; disposable: it is filled again from the segments.

    A record has one id, and is held once: that which is appended again is held in its new place,
    and nothing else of it changes.
    """

    async def append(self, entries: Sequence[Entry]) -> None:
        """Durable, and found by searches, on return."""
        ...

    async def places(self, ids: Sequence[str]) -> Mapping[str, Place]:
        """Where the records with these ids stand; those that are not held are left out. Sees what
        was appended before."""
        ...

    async def reach(self) -> Mapping[str, int]:
        """The highest number held of each chain."""
        ...

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """Newest first, in a stable total order; `before` is the id of the last record of the page
        before. One that is not known answers from the beginning."""
        ...

    async def get(self, record: str) -> Entry:
        """The record with this id. Raises `NotFound`."""
        ...

    async def count(self, which: AuditFilter) -> int:
        """How many records there are. Exact."""
        ...

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """How many records there are for each combination of keys that occurs, in the order of the
        keys. Exact."""
        ...

    async def expire(self, chain: str, through: int, since: int = 1) -> int:
        """Forget the records of a chain from number `since` to number `through`; answers with how
        many."""
        ...

    def earlier(self) -> AsyncIterator[Sequence[AuditEvent]]:
        """The records that an index of a version without segments holds beside this one, oldest
        first; none if there is no such index. Nothing of it is changed."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


def names_of(event: AuditEvent) -> frozenset[str]:
    """The names by which `AuditFilter.who` finds a record."""
    source = event.source
    named = (source.user, source.ae_title.strip(" "), source.host, source.tls_subject)
    return frozenset(named) - {""}


def places_of(event: AuditEvent) -> frozenset[str]:
    """The names by which `AuditFilter.place` finds a record."""
    return frozenset((event.site, event.partition, event.destination.strip(" "))) - {""}


@lru_cache(maxsize=4096)  # most texts of a record are those of many others
def words(text: str) -> tuple[str, ...]:
    """The words of a text, by which it is found: without case and accents, at most WORD_LENGTH
    characters each. Dots, hyphens, colons, slashes and @ are parts of words, as of UIDs."""
    if text.isascii():
        bare = text.lower()
    else:
        # Twice, since either step leaves what the other one changes, as of the sign for "TEL".
        folded = unicodedata.normalize("NFKD", text).casefold()
        plain = unicodedata.normalize("NFKD", folded)
        bare = "".join(char for char in plain if not unicodedata.combining(char))
    return tuple([word[:WORD_LENGTH] for word in _WORD.findall(bare)])


def words_of(event: AuditEvent) -> list[str]:
    """What `AuditFilter.text` looks at, each word once, sorted."""
    source = event.source
    texts = (
        event.detail, event.query, event.error, event.destination, event.site, event.partition,
        event.process, event.trace, event.action.value, event.outcome.value, source.protocol,
        source.purpose, source.called_ae_title, *names_of(event), *event.patient_ids,
    )  # fmt: skip
    return sorted({word for text in texts for word in words(text)})
