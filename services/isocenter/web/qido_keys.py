"""The query of a QIDO-RS request (PS3.18 8.3.4 and 10.6.1) as a search. Sections are PS3.18's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.datadict import tag_for_keyword

from isocenter.core.attributes import BUILT_IN, BY_TAG, DEPTH, ORDERS, Attribute, Attributes
from isocenter.core.cached import cached
from isocenter.core.dictionary import creator_of, standard_vr
from isocenter.core.errors import Invalid
from isocenter.core.identity import DEFAULT_PARTITION, is_uid
from isocenter.core.matching import Key, Level, Order, Search, parse
from isocenter.web.problems import shown

PATIENT_ID = "00100020"
ANSWERED_BY_US = frozenset({"00081190", "00080056", "00080005"})  # in every answer, or not needed

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_BOOLEANS = {"true": True, "false": False}
_SEPARATORS = {"UI": re.compile(r"[,\\]")}
_BACKSLASH = re.compile(r"\\")

Step = tuple[str, str]  # tag and VR of an attribute


@dataclass(slots=True)
class Asked:
    """What the parameters ask for, before it becomes a `Search`."""

    level: Level
    table: Attributes
    named_creators: Mapping[str, str]  # by the tag of the Private Creator
    keys: dict[str, Key] = field(default_factory=dict)
    sequences: dict[str, dict[str, Key]] = field(default_factory=dict)
    creators: dict[str, tuple[str, Key]] = field(default_factory=dict)  # tag -> as named, key
    include: dict[str, None] = field(default_factory=dict)
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    every_value: bool = False
    order: tuple[Order, ...] = ()
    empty_values: bool = False  # asked for; nothing here matches them
    ignored: dict[str, None] = field(default_factory=dict)  # attributes, as the client named them
    added: dict[str, str] = field(default_factory=dict)  # tag in the table -> what we call it
    unfilled: list[str] = field(default_factory=list)  # tags of those that do not find everything

    def row_of(self, tag: str) -> Attribute | None:
        """The row of the table for an attribute that the query names."""
        creator = self.named_creators.get(creator_of(tag), "") if self.named_creators else ""
        row = self.table.named(tag, creator)
        if row and row.added and DEPTH[row.level] <= DEPTH[self.level]:
            self.added[row.tag] = row.keyword
        return row

    def values(self, tag: str) -> tuple[str, ...]:
        """The values that an attribute is asked for; none if it does not narrow the search."""
        key = self.keys.get(tag)
        return key.values if key is not None and any(key.values) else ()

    def search(self) -> Search:
        """The search, with sequence keys as one item each."""
        sequences = [
            Key(tag, "SQ", items=tuple(items.values())) for tag, items in self.sequences.items()
        ]
        creators = [key for _, key in self.creators.values()]
        return Search(
            level=self.level,
            keys=(*self.keys.values(), *sequences, *creators),
            partition=DEFAULT_PARTITION,
            include=tuple(self.include),
            include_all=self.include_all,
            limit=self.limit,
            offset=self.offset,
            fuzzy=self.fuzzy,
            every_value=self.every_value,
            order=self.order,
        )


@cached(4096)
def attribute(name: str) -> Step | None:
    """Tag and VR of an attribute given by keyword or tag; None if it is neither.

    A tag that is not in PS3.6 has VR UN: well-formed, but nothing we could match.
    """
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name) if name else None
    if tag is None:
        return None
    text = f"{tag:08X}"
    vr = "LO" if creator_of(text) == text else standard_vr(tag)
    return text, vr.partition(" ")[0]


@cached(4096)
def path(name: str) -> tuple[Step, ...]:
    """The attributes that a name leads through: `keyword`, `tag`, or one in the items of a sequence
    as `sequence.attribute` (8.3.4.1); nothing if it is no such name."""
    steps = [attribute(step) for step in name.split(".")] if len(name) <= 200 else []
    found = tuple(step for step in steps if step)
    whole = len(found) == len(steps) and all(vr in ("SQ", "UN") for _, vr in found[:-1])
    return found if whole else ()


def read(
    level: Level,
    parameters: list[tuple[str, str]],
    fixed: dict[str, str],
    max_results: int,
    table: Attributes = BUILT_IN,
) -> Asked:
    """The query's parameters, with the UIDs of the address (by tag) as further keys.

    Raises `Invalid` naming the parameter. Attributes that nothing here can match or answer with
    are left out and named in `ignored`.
    """
    asked = Asked(level, table, _creators(parameters))
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
    _settle_creators(asked)
    if asked.include_all and level is not Level.INSTANCE:  # those have all, from their metadata
        rows = (row for row in table.added if DEPTH[row.level] <= DEPTH[level])
        asked.added |= {row.tag: row.keyword for row in rows}
    asked.limit = min(max_results, max_results if asked.limit is None else asked.limit)
    return asked


# --- keys ----------------------------------------------------------------------------------------


def _creators(parameters: list[tuple[str, str]]) -> Mapping[str, str]:
    """The Private Creators that the query names, wherever it does, by their tag."""
    return {
        path(name)[0][0]: value.strip()
        for name, value in parameters
        if value and name not in _OPTIONS and _is_creator(name)
    }


@cached(4096)
def _is_creator(name: str) -> bool:
    steps = path(name)
    return len(steps) == 1 and creator_of(steps[0][0]) == steps[0][0]


@cached(4096)
def _steps(name: str) -> tuple[Step, ...]:
    """The attributes that a parameter's name leads through. Raises `Invalid`."""
    steps = path(name)
    if not steps:
        raise Invalid(
            f"parameter {shown(name)} is neither known here nor an attribute",
            fix="name attributes by keyword or by tag (PS3.18 8.3.4.1)",
        )
    return steps


def _read_key(asked: Asked, name: str, value: str, fixed: dict[str, str]) -> None:
    steps = _steps(name)
    (tag, vr), *inner = steps
    row = asked.row_of(tag) if len(steps) < 3 else None
    row = asked.table.searchable(row.tag, asked.level) if row else None
    if tag in asked.keys or tag in asked.creators:
        where = "the address" if tag in fixed else "the query"
        raise Invalid(f"parameter {shown(name)} is already given in {where}")
    if row is None and creator_of(tag) == tag and value:
        asked.creators[tag] = name, _key(name, tag, vr, value)
    elif row is None:
        _include(asked, name, steps, narrows=bool(value))
    elif inner:
        _read_item_key(asked, name, value, row, inner[0])
    elif row.vr == "SQ" and not value:
        asked.include[tag] = None
    else:
        asked.keys[tag] = _key(name, tag, row.vr, value)
        if row.tag not in fixed:
            asked.include[tag] = None


def _read_item_key(asked: Asked, name: str, value: str, row: Attribute, item: Step) -> None:
    """A key of the items of a sequence."""
    tag, vr = item
    if tag not in row.items:
        asked.ignored[name] = None
        return
    items = asked.sequences.setdefault(row.tag, {})
    if tag in items:
        raise Invalid(f"parameter {shown(name)} is given twice")
    items[tag] = _key(name, tag, vr, value)
    asked.include[row.tag] = None


def _key(name: str, tag: str, vr: str, value: str) -> Key:
    if "\0" in value or len(value) > 65_536:
        raise Invalid(f"the value of parameter {shown(name)} is not allowed")
    if vr == "SQ" and value:
        raise Invalid(
            f"parameter {shown(name)} is a sequence, which has no value of its own",
            fix="name an attribute of its items: sequence.attribute (PS3.18 8.3.4.1)",
        )
    values = tuple(_SEPARATORS.get(vr, _BACKSLASH).split(value)) if value else ()
    if vr == "UI" and not all(uid in ("", "*") or is_uid(uid) for uid in values):
        raise Invalid(
            f"the value of parameter {shown(name)} is no list of UIDs", fix="see PS3.5 9.1"
        )
    key = Key(tag, vr, values)
    try:
        parse(key)
    except Invalid as error:
        raise Invalid(f"parameter {shown(name)}: {error.message}", fix=error.fix) from None
    return key


def _settle_creators(asked: Asked) -> None:
    """Private elements are answered with their Private Creators; one that is asked for says whose
    elements are wanted (8.3.4.3), and is of no use without any."""
    wanted = {creator_of(tag) for tag in asked.include} - {""}
    for tag, (name, _) in list(asked.creators.items()):
        if tag not in wanted:
            del asked.creators[tag]
            asked.ignored[name] = None
    asked.include |= dict.fromkeys(sorted(wanted))


# --- attributes to answer with -------------------------------------------------------------------


def _include(asked: Asked, name: str, steps: tuple[Step, ...], *, narrows: bool) -> None:
    """One more attribute; of the items of a sequence all are answered."""
    (tag, _), *inner = steps
    row = asked.row_of(tag)
    if row is None and tag in ANSWERED_BY_US:
        return
    # What is not in the table is answered, from the metadata of the instances, but not matched.
    answered = not narrows
    if row:
        kept = not inner or (len(inner) == 1 and inner[0][0] in row.items)
        answered = kept and DEPTH[row.level] <= DEPTH[asked.level]
    if answered:
        asked.include[tag] = None
    if narrows or not answered:
        asked.ignored[name] = None


def _includefield(asked: Asked, value: str) -> None:
    for name in value.split(","):
        if name == "all":
            asked.include_all = True
        elif steps := path(name):
            _include(asked, name, steps, narrows=False)
        else:
            asked.ignored[name] = None


# --- the other parameters ------------------------------------------------------------------------


def _number(name: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise Invalid(f"parameter {name} must be a number of 0 or more, of 9 digits at most")
    return int(value)


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in _BOOLEANS:
        raise Invalid(f"parameter {name} must be true or false")
    return _BOOLEANS[value.lower()]


def _limit(asked: Asked, value: str) -> None:
    asked.limit = _number("limit", value)


def _offset(asked: Asked, value: str) -> None:
    asked.offset = _number("offset", value)


def _fuzzymatching(asked: Asked, value: str) -> None:
    asked.fuzzy = _boolean("fuzzymatching", value)


def _emptyvaluematching(asked: Asked, value: str) -> None:
    asked.empty_values = _boolean("emptyvaluematching", value)


def _multiplevaluematching(asked: Asked, value: str) -> None:
    asked.every_value = _boolean("multiplevaluematching", value)


def _orderby(asked: Asked, value: str) -> None:
    """Our extension: the order of studies, `-` in front of an attribute for a descending one."""
    if asked.level is not Level.STUDY:
        raise Invalid("parameter orderby is for searches for studies only")
    orders: dict[str, Order] = {}
    for name in value.split(","):
        steps = path(name.removeprefix("-"))
        if len(steps) != 1 or steps[0][0] not in ORDERS or steps[0][0] in orders:
            known = ", ".join(BY_TAG[tag].keyword for tag in ORDERS)
            raise Invalid(
                f"parameter orderby: {shown(name)} is none of {known}, or is given twice",
                fix="write them with commas between them, and a - in front of descending ones",
            )
        orders[steps[0][0]] = Order(steps[0][0], descending=name.startswith("-"))
    asked.order = tuple(orders.values())


def _accept(asked: Asked, value: str) -> None:
    """Read by `negotiation`."""
    del asked, value


_OPTIONS = {
    "includefield": _includefield,
    "limit": _limit,
    "offset": _offset,
    "fuzzymatching": _fuzzymatching,
    "emptyvaluematching": _emptyvaluematching,
    "multiplevaluematching": _multiplevaluematching,
    "orderby": _orderby,
    "accept": _accept,
}
