"""What an export says of itself: what was asked, by whom, and how the trail stood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Head, TrailState, Verification
from isocenter.core.events import Source


@dataclass(frozen=True, slots=True)
class Heading:
    """The circumstances of an export."""

    which: AuditFilter
    by: Source
    at: datetime  # UTC
    total: int  # records, when it was asked
    state: TrailState
    verification: Verification | None = None
    trust: tuple[str, ...] = ()  # fingerprints that the verification was told
    site: str = ""
    language: str = "en"  # of `runtime.audit_texts.LANGUAGES`


def heads_digest(heads: Iterable[Head]) -> str:
    """One digest of the ends of all chains: SHA-256 of a line for each, in the order of their
    names: chain, number, digest and seal with spaces between them."""
    lines = sorted(f"{head.chain} {head.last} {head.head} {head.seal}\n" for head in heads)
    return sha256("".join(lines).encode()).hexdigest()
