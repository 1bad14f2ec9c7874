"""What the audit role offers: reading the trail, proving it, and what officers keep beside it.

Writing goes through the log (`runtime.audit_log`). `app.py` hands out the local service or its
gRPC client, as it does those of `core.apis`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from isocenter.core.audit import AuditFilter, By, Entry, Tally
from isocenter.core.errors import Invalid
from isocenter.core.events import Source

MAX_DAYS = 36_600  # of a saved search


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain, as it was sealed."""

    chain: str
    last: int  # number of its last record
    head: str  # digest of that
    seal: str  # SHA-256 of the seal's file
    at: str  # when it was sealed, or published; ISO 8601 in UTC


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that seals are signed with."""

    number: int
    id: str  # SHA-256 of the public key: its fingerprint
    since: str  # ISO 8601 in UTC
    introduced_by: str  # `id` of the key before it; its own, if none vouches for it


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed."""

    what: str
    chain: str = ""
    first: int = 0  # records that it is about
    last: int = 0
    since: str = ""  # their times, ISO 8601 in UTC
    until: str = ""

    def __str__(self) -> str:
        where = f"{self.chain} {self.first}-{self.last}: " if self.chain else ""
        times = f" ({self.since} to {self.until})" if self.since else ""
        return f"{where}{self.what}{times}"


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a verification is, or its result."""

    records: int = 0  # verified
    total: int = 0  # records that are sealed, about
    segments: int = 0
    chains: tuple[str, ...] = ()
    expired: int = 0  # records that retention removed
    since: str = ""  # of the earliest record, ISO 8601 in UTC
    until: str = ""
    keys: tuple[PublicKey, ...] = ()
    findings: tuple[Finding, ...] = ()
    done: bool = False

    @property
    def of_nothing(self) -> bool:
        """Whether there was nothing sealed: then it does not say that all is there."""
        return not self.chains and not self.findings


@dataclass(frozen=True, slots=True)
class TrailState:
    """The trail at one glance."""

    heads: tuple[Head, ...]
    keys: tuple[PublicKey, ...]
    records: int  # in the index
    sealed: int  # records, those that expired among them
    problems: tuple[str, ...] = ()  # why records wait, or are not all found now
    holds: int = 0  # while there is one, nothing expires
    waiting: int = 0  # events in the log that are not sealed yet


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A search that somebody wants to make again. Raises `Invalid` for days that cannot be."""

    name: str
    which: AuditFilter
    by: Source
    at: datetime  # UTC
    days: int = 0  # instead of `which.since`: the last so many days

    def __post_init__(self) -> None:
        if not 0 <= self.days <= MAX_DAYS:
            raise Invalid(f"the last {self.days} days are not from 1 to {MAX_DAYS}")
        if self.days and self.which.since:
            raise Invalid("days and since both say when it begins", fix="give one of them")

    def made(self, now: datetime) -> AuditFilter:
        """The filter as it is now; the last days begin with a whole minute."""
        if not self.days:
            return self.which
        since = (now - timedelta(days=self.days)).replace(second=0, microsecond=0)
        return replace(self.which, since=since)


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold."""

    name: str
    reason: str
    by: Source
    at: datetime  # UTC


class AuditTrail(Protocol):
    """The trail. None of this leaves a record of its own: who asks does that before
    (`runtime.audit_reading`)."""

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """Newest first; `before` is the id of the last record of the page before. Raises `Invalid`
        for a page that is empty or too long."""
        ...

    async def count(self, which: AuditFilter) -> int:
        """How many records there are. Exact."""
        ...

    async def get(self, record: str) -> Entry:
        """The record with this id. Raises `NotFound`."""
        ...

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """How many records there are for each combination of keys that occurs. Exact."""
        ...

    async def story(self, instance: str) -> Sequence[Entry]:
        """Everything that happened to an object, oldest first: the records that name the instance,
        and those of its series and study that name no instances, or not all. Raises `Invalid` for
        what is no UID."""
        ...

    async def prove(self, record: str) -> bytes:
        """The file of an inclusion proof. Raises `NotFound`, also while the record is not
        sealed, `Corrupted`."""
        ...

    def verify(
        self, trust: Sequence[str] = (), heads: Sequence[Head] = ()
    ) -> AsyncIterator[Verification]:
        """Verify everything that is sealed; the last answer is the result. `trust`: fingerprints of
        keys that are known from elsewhere; `heads`: what was published."""
        ...

    async def state(self) -> TrailState:
        """The trail at one glance."""
        ...

    async def saved(self) -> Sequence[SavedSearch]:
        """Saved searches, by name."""
        ...

    async def save(self, search: SavedSearch) -> None:
        """Keep a search, in place of one of the same name. Raises `Invalid` for its name."""
        ...

    async def forget(self, name: str) -> None:
        """Remove a saved search. Raises `NotFound`."""
        ...

    async def holds(self) -> Sequence[Hold]:
        """The legal holds, by name."""
        ...

    async def hold(self, hold: Hold) -> None:
        """Stop expiry; durable on return. Raises `Conflict` for a name in use, `Invalid`."""
        ...

    async def release(self, name: str) -> None:
        """End a legal hold. Raises `NotFound`."""
        ...
