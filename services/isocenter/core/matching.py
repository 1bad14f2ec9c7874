"""DICOM matching (PS3.4 C.2.2.2): what a search asks for.

Every index adapter implements these rules; the contract suite compares them with `matches`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

# DICOM JSON Model (PS3.18 F.2): {"00100020": {"vr": "LO", "Value": ["ID"]}}, tags upper-case.
JsonAttributes = dict[str, dict[str, Any]]


class Level(Enum):
    """Query/Retrieve levels (PS3.4 C.6)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    INSTANCE = "IMAGE"


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key. The matching type follows from the VR and the values.

    `values` are as in the identifier, split at backslashes, in Unicode; no values (or empty
    ones) is universal matching. Sequence matching has one item of keys in `items`.
    """

    tag: str  # eight upper-case hexadecimal digits
    vr: str
    values: tuple[str, ...] = ()
    items: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """A search of one level of one partition.

    Keys of any level at or above the searched one may be given (relational queries); a key that
    is not searchable (`core.attributes`) is ignored by adapters, edges warn about it.
    """

    level: Level
    keys: tuple[Key, ...] = ()
    partition: str = "main"
    include: tuple[str, ...] = ()  # tags to answer with, beside the level's default ones
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False  # PS3.4 C.2.2.2.1.1: also match names by their words' beginnings
