"""Looking after the backends that are servers: what `isocenter check` asks of their adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finding:
    """What `isocenter check` found out about one thing. `fix` is empty if it is as it should be."""

    what: str
    state: str
    fix: str = ""
    preparable: bool = False  # `isocenter check --prepare` does what `fix` says


class Upkeep(Protocol):
    """Looking after a backend that is shared by many processes. Every adapter of a server offers
    it beside its port; nothing else of the adapter makes topics, buckets or indices."""

    async def check(self) -> Sequence[Finding]:
        """Everything a process needs of the backend: it answers, its version, permissions, and what
        must have been made. Never raises `Unavailable`: that is a finding."""
        ...

    async def prepare(self) -> Sequence[str]:
        """Make what is missing and nothing else, safely repeatable, also by several at once; what
        was made, a line each."""
        ...
