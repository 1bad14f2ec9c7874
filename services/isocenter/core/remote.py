"""Other archives, as who searches them or fetches from them sees them, whatever they speak."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from isocenter.core.errors import Unavailable
from isocenter.core.matching import JsonAttributes, Key, Level
from isocenter.core.ports import Buffer

STUDY_UID = "0020000D"
SERIES_UID = "0020000E"
SOP_CLASS = "00080016"
INSTANCE_UID = "00080018"


class KeeperFailed(Unavailable):
    """Nothing more can be kept here now; it is not the other archive's doing."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance that another archive says it has."""

    series: str
    instance: str
    sop_class: str  # empty: not told


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that another archive begins to give, and how its data set is encoded."""

    sop_class: str
    instance: str
    transfer_syntax: str


class Receiver(Protocol):
    """Takes what another archive gives."""

    async def take(self, arrival: Arrival, data_set: AsyncIterable[Buffer]) -> None:
        """Durable on return. Raises `KeeperFailed`, other errors for this object alone, and those
        of `data_set` as they are."""
        ...


class RemoteArchive(Protocol):
    """One caller's way into another archive; one operation at a time.

    Errors: `Unavailable` and `DeadlineExceeded` for what may go better later, others for what
    will not.
    """

    def find(
        self, level: Level, keys: Sequence[Key], limit: int = 0
    ) -> AsyncGenerator[JsonAttributes, None]:
        """Search; keys without values are those to answer with. `limit` 0: all answers."""
        ...

    async def retrieve(
        self, study: str, wanted: Sequence[Listed], receiver: Receiver, *, whole: bool
    ) -> str:
        """Give these instances of a study to the receiver, or see that they come here by another
        way; `whole`: they are all of the study. Answers with what the archive says went wrong
        with some of them, in words."""
        ...

    async def close(self) -> None:
        """End what is open."""
        ...


class Keeper(Protocol):
    """Where fetched studies go."""

    async def take(self, study: str, arrival: Arrival, data_set: AsyncIterable[Buffer]) -> int:
        """Durable on return; bytes. The errors of `Ingest.store`."""
        ...

    async def kept(self, study: str) -> Collection[str]:
        """SOP Instance UIDs of what is kept of a study now."""
        ...


def by_series(wanted: Sequence[Listed]) -> Mapping[str, list[Listed]]:
    """The instances of each series."""
    found: dict[str, list[Listed]] = {}
    for one in wanted:
        found.setdefault(one.series, []).append(one)
    return found


def text_of(attributes: JsonAttributes, tag: str) -> str:
    """The first value of an attribute that is no name; empty if there is none."""
    values = attributes.get(tag, {}).get("Value") or [""]
    return "" if values[0] is None else str(values[0]).strip(" \0")
