"""The query of a QIDO-RS request (PS3.18 8.3.4 and 10.6.1) as a search."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword

from isocenter.core.attributes import BY_TAG, DEPTH, Attribute, searchable
from isocenter.core.errors import Invalid
from isocenter.core.identity import DEFAULT_PARTITION, is_uid
from isocenter.core.matching import Key, Level, Search
from isocenter.web.problems import shown

PATIENT_ID = "00100020"
ANSWERED_BY_US = frozenset({"00081190", "00080056", "00080005"})  # in every answer, or not needed

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_BOOLEANS = {"true": True, "false": False}
_SEPARATORS = {"UI": re.compile(r"[,\\]")}
_BACKSLASH = re.compile(r"\\")


@dataclass(slots=True)
class Asked:
    """What the parameters ask for, before it becomes a `Search`."""

    level: Level
    keys: dict[str, Key] = field(default_factory=dict)
    sequences: dict[str, dict[str, Key]] = field(default_factory=dict)
    include: dict[str, None] = field(default_factory=dict)
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    ignored: dict[str, None] = field(default_factory=dict)  # attributes, as the client named them

    def search(self) -> Search:
        """The search, with sequence keys as one item each."""
        sequences = [
            Key(tag, "SQ", items=tuple(items.values())) for tag, items in self.sequences.items()
        ]
        return Search(
            level=self.level,
            keys=(*self.keys.values(), *sequences),
            partition=DEFAULT_PARTITION,
            include=tuple(self.include),
            include_all=self.include_all,
            limit=self.limit,
            offset=self.offset,
            fuzzy=self.fuzzy,
        )


@lru_cache(maxsize=4096)
def attribute(name: str) -> tuple[str, str] | None:
    """Tag and VR of an attribute given by keyword or tag; None if it is neither.

    A tag that is not in PS3.6 has VR UN: well-formed, but nothing we could match.
    """
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name) if name else None
    if tag is None:
        return None
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        vr = "UN"
    return f"{tag:08X}", vr.partition(" ")[0]


def read(
    level: Level, parameters: list[tuple[str, str]], fixed: dict[str, str], max_results: int
) -> Asked:
    """The query's parameters, with the UIDs of the address (by tag) as further keys.

    Raises `Invalid` naming the parameter. Attributes that nothing here can match or answer with
    are left out and named in `ignored`.
    """
    asked = Asked(level)
    for tag, uid in fixed.items():
        asked.keys[tag] = Key(tag, "UI", (uid,))
    given: set[str] = set()
    for name, value in parameters:
        read_option = _OPTIONS.get(name)
        if read_option is None:
            _read_key(asked, name, value, fixed)
            continue
        if name in given and name != "includefield":
            raise Invalid(f"parameter {name} is given twice")
        given.add(name)
        read_option(asked, value)
    asked.limit = min(max_results, max_results if asked.limit is None else asked.limit)
    return asked


@lru_cache(maxsize=4096)
def _named(name: str, level: Level) -> tuple[Attribute | None, list[tuple[str, str]]]:
    """The tags and VRs that a parameter's name leads through, and what it matches, if anything.

    Raises `Invalid`.
    """
    path = [attribute(step) for step in name.split(".")] if len(name) <= 200 else [None]
    steps = [step for step in path if step]
    if len(steps) < len(path):
        raise Invalid(
            f"parameter {shown(name)} is neither known here nor an attribute",
            fix="name attributes by keyword or by tag (PS3.18 8.3.4.1)",
        )
    return (searchable(steps[0][0], level) if len(steps) < 3 else None), steps


def _read_key(asked: Asked, name: str, value: str, fixed: dict[str, str]) -> None:
    row, steps = _named(name, asked.level)
    (tag, vr), *inner = steps
    if row is None:
        _include(asked, name, tag, narrows=bool(value))
        return
    if tag in asked.keys:
        where = "the address" if tag in fixed else "the query"
        raise Invalid(f"parameter {shown(name)} is already given in {where}")
    if not inner:
        asked.keys[tag] = _key(name, tag, row.vr, value)
        if row.tag not in fixed:
            asked.include[tag] = None
        return
    item_tag, item_vr = inner[0]
    items = asked.sequences.setdefault(tag, {})
    if vr != "SQ" or item_tag not in row.items:
        asked.ignored[name] = None
    elif item_tag in items:
        raise Invalid(f"parameter {shown(name)} is given twice")
    else:
        items[item_tag] = _key(name, item_tag, item_vr, value)


def _key(name: str, tag: str, vr: str, value: str) -> Key:
    if "\0" in value or len(value) > 65_536:
        raise Invalid(f"the value of parameter {shown(name)} is not allowed")
    values = tuple(_SEPARATORS.get(vr, _BACKSLASH).split(value)) if value else ()
    if vr == "UI" and not all(uid in ("", "*") or is_uid(uid) for uid in values):
        raise Invalid(
            f"the value of parameter {shown(name)} is no list of UIDs", fix="see PS3.5 9.1"
        )
    return Key(tag, vr, values)


def _include(asked: Asked, name: str, tag: str, *, narrows: bool) -> None:
    row = BY_TAG.get(tag)
    if row is None and tag in ANSWERED_BY_US:
        return
    # What is not in the table is answered, from the metadata of the instances, but not matched.
    answered = DEPTH[row.level] <= DEPTH[asked.level] if row else not narrows
    if answered:
        asked.include[tag] = None
    if narrows or not answered:
        asked.ignored[name] = None


def _includefield(asked: Asked, value: str) -> None:
    for name in value.split(","):
        if name == "all":
            asked.include_all = True
            continue
        found = attribute(name.partition(".")[0])
        if found is None:
            raise Invalid(
                f"includefield {shown(name)} is no attribute",
                fix="name attributes by keyword or by tag, or write includefield=all",
            )
        _include(asked, name, found[0], narrows=False)


def _number(name: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise Invalid(f"parameter {name} must be a number of 0 or more")
    return int(value)


def _limit(asked: Asked, value: str) -> None:
    asked.limit = _number("limit", value)


def _offset(asked: Asked, value: str) -> None:
    asked.offset = _number("offset", value)


def _fuzzymatching(asked: Asked, value: str) -> None:
    if value.lower() not in _BOOLEANS:
        raise Invalid("parameter fuzzymatching must be true or false")
    asked.fuzzy = _BOOLEANS[value.lower()]


def _accept(asked: Asked, value: str) -> None:
    """Read by `negotiation.accepted`."""
    del asked, value


_OPTIONS = {
    "includefield": _includefield,
    "limit": _limit,
    "offset": _offset,
    "fuzzymatching": _fuzzymatching,
    "accept": _accept,
}
