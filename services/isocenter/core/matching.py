"""DICOM matching (PS3.4 C.2.2.2): what a search asks for, and whether attributes answer it.

Every index adapter implements these rules; the contract suite compares them with `matches`.

- Every value becomes one or more canonical terms (`core.terms`). A key matches an attribute if one
  of its values matches one of the attribute's terms. Text other than names is case-sensitive, as
  C.2.2.2.1 has it.
- A key without values, with empty ones, or `*` is universal, also where the attribute is absent;
  any other key does not match an absent or empty attribute.
- Several values are a list of UID (C.2.2.2.2), and for other VRs alternatives; with multiple value
  matching (C.2.2.2.8) all of them must match.
- A time without minutes or seconds is the whole hour or minute, in single values and at the upper
  end of a range. Date and time keys are matched independently. A range of times whose first is the
  later one crosses midnight, which C.2.2.2.5 does not have; of dates it is malformed.
- Fuzzy matching of names (C.2.2.2.1.1): also names of which some word, for each word of the key,
  begins with it or sounds like it, in any order.

Answers come in a total order (`order_key`): patients by ID and issuer; studies newest first, then
by UID; series and instances by their study's (and series') order, their number and UID.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from isocenter.core.cached import cached
from isocenter.core.errors import Invalid
from isocenter.core.terms import (
    INTEGERS,
    LEADING_SPACE_COUNTS,
    TIMES,
    fuzzy_terms,
    interval_of,
    normalise_name,
    sound_of,
    terms,
    words_of,
)

if TYPE_CHECKING:  # it is made of what is here
    from isocenter.core.scope import Scope

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
class Order:
    """One of the attributes by which studies are put in order: by its first term
    (`core.attributes.order_term`), those without any first."""

    tag: str  # of `core.attributes.ORDERS`
    descending: bool = False


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
    fuzzy: bool = False  # PS3.4 C.2.2.2.1.1: names also by their words, in any order
    every_value: bool = False  # PS3.4 C.2.2.2.8: all values of a key must match, not one of them
    order: tuple[Order, ...] = ()  # STUDY level: instead of the usual order; equal ones by UID
    scope: Scope | None = None  # of what may be answered (`core.scope`); None: everything


# --- keys ----------------------------------------------------------------------------------------


WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
MULTIPLE_VRS = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})  # C.2.2.2.8


@dataclass(frozen=True, slots=True)
class Equal:
    """Single value matching (C.2.2.2.1)."""

    term: str

    def accepts(self, term: str) -> bool:
        """Whether a canonical term matches."""
        return term == self.term


@dataclass(frozen=True, slots=True)
class Between:
    """Range matching (C.2.2.2.5), both ends included; `high` may be above every term."""

    low: str
    high: str

    def accepts(self, term: str) -> bool:
        """Whether a canonical term matches."""
        return self.low <= term <= self.high


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Wild card matching (C.2.2.2.4) of a whole term."""

    pattern: str  # `*`: any characters, `?`: one
    carets: int = 0  # of a name's pattern: components that a name may leave empty at its end

    @property
    def prefix(self) -> str:
        """What every matching term starts with."""
        return re.split(r"[*?]", self.pattern, maxsplit=1)[0].rstrip("^" if self.carets else "")

    def accepts(self, term: str) -> bool:
        """Whether a canonical term matches."""
        padded = term + "^" * (self.carets - term.count("^"))
        return _expression(self.pattern).fullmatch(padded) is not None


@cached(1024)
def _expression(pattern: str) -> re.Pattern[str]:
    escaped = ["".join("." if c == "?" else re.escape(c) for c in p) for p in pattern.split("*")]
    if len(escaped) == 1:
        return re.compile(escaped[0], re.DOTALL)
    first, *middle, last = escaped
    # Atomic groups: the leftmost place of a part is as good as any other, so nothing is tried
    # twice and a hostile pattern costs no more than others.
    found = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)


Test = Equal | Between | Wildcard


@dataclass(frozen=True, slots=True)
class Word:
    """Fuzzy matching of one word."""

    start: str
    sound: str  # empty: only what begins with the word matches

    def accepts(self, term: str) -> bool:
        """Whether one of a name's `fuzzy_terms` matches."""
        return term.startswith(self.start) or (term == self.sound and bool(term))


_ABOVE = "\U0010ffff"  # every term


@dataclass(frozen=True, slots=True)
class Criterion:
    """A key that narrows a search, ready for matching."""

    tag: str
    vr: str
    alternatives: tuple[tuple[Test, ...], ...] = ()  # one of them; all tests, each by some term
    words: tuple[Word, ...] = ()  # fuzzy: or each by some word of the name
    items: tuple[Criterion, ...] = ()  # SQ: all by one item

    def accepts(self, attribute: dict[str, Any] | None) -> bool:
        """Whether an attribute in the DICOM JSON Model matches."""
        if attribute is None:
            return False
        if self.vr == "SQ":
            values = attribute.get("Value") or ()
            return any(all(c.accepts(item.get(c.tag)) for c in self.items) for item in values)
        found = terms(self.vr, attribute)
        for tests in self.alternatives:
            if all(any(map(test.accepts, found)) for test in tests):
                return True
        if not self.words:
            return False
        of_name = fuzzy_terms(attribute)
        return all(any(map(word.accepts, of_name)) for word in self.words)


def counting(search: Search) -> Search:
    """The same search without limit, offset and order, answering with as little as possible."""
    return replace(search, limit=None, offset=0, order=(), include=(), include_all=False)


def parse(key: Key, *, fuzzy: bool = False, every_value: bool = False) -> Criterion | None:
    """A key as a criterion, or None for universal matching. Raises `Invalid`."""
    if key.vr == "SQ":
        found = (parse(item, fuzzy=fuzzy, every_value=every_value) for item in key.items)
        items = tuple(c for c in found if c)
        return Criterion(key.tag, key.vr, items=items) if items else None
    empty = " \0=^" if key.vr == "PN" else " \0"  # a name of delimiters alone is none
    values = [value for value in key.values if value.strip(empty)]
    if not values or any(set(value.strip(" \0")) == {"*"} for value in values):
        return None
    alternatives = tuple(tests for value in values for tests in _alternatives(key, value))
    if every_value and key.vr in MULTIPLE_VRS:
        alternatives = (tuple(test for tests in alternatives for test in tests),)
    words = _words(values[0]) if fuzzy and key.vr == "PN" and len(values) == 1 else ()
    return Criterion(key.tag, key.vr, alternatives, words)


def criterion_of(search: Search, key: Key) -> Criterion | None:
    """A key of a search as a criterion. Raises `Invalid`."""
    return parse(key, fuzzy=search.fuzzy, every_value=search.every_value)


def _words(value: str) -> tuple[Word, ...]:
    wild = "*" in value or "?" in value
    words = dict.fromkeys(words_of(value))
    return tuple(Word(word, "" if wild else sound_of(word)) for word in words)


def _alternatives(key: Key, value: str) -> Sequence[tuple[Test, ...]]:
    if key.vr == "PN":
        groups = map(normalise_name, value.split("="))
        return (tuple(_text_test(group, group.count("^")) for group in groups if group),)
    if key.vr in TIMES:
        return [(test,) for test in _time_tests(key, value.strip(" \0"))]
    if "*" in value or "?" in value:
        if key.vr not in WILDCARD_VRS:
            raise _malformed(key, "wild cards are not allowed in this value representation")
        text = value.rstrip(" ") if key.vr in LEADING_SPACE_COUNTS else value.strip(" ")
        return ((Wildcard(text),),)
    interval = interval_of(key.vr, value)
    if interval is None or (key.vr in INTEGERS and "." in interval[0]):
        raise _malformed(key, "the value is no number")
    return ((Equal(interval[0]),),)


def _text_test(term: str, carets: int) -> Test:
    return Wildcard(term, carets) if "*" in term or "?" in term else Equal(term)


def _time_tests(key: Key, value: str) -> Sequence[Test]:
    """One test, or two of which one must hold."""
    if single := _moments(key.vr, value):
        return [Equal(single[0]) if single[0] == single[1] else Between(*single)]
    # A hyphen may also belong to a DT's offset from UTC: take the split where both sides are read.
    for at in (i for i, c in enumerate(value) if c == "-"):
        first, last = value[:at].strip(), value[at + 1 :].strip()
        low = _moments(key.vr, first) if first else ("", "")
        high = _moments(key.vr, last) if last else (_ABOVE, _ABOVE)
        if not low or not high or not (first or last):
            continue
        if low[0] <= high[1]:
            return [Between(low[0], high[1])]
        if key.vr == "TM":
            return [Between(low[0], _ABOVE), Between("", high[1])]
        raise _malformed(key, "the first value of the range is later than the last")
    raise _malformed(key, f"expected a value of {key.vr} or a range first-last, -last or first-")


def _moments(vr: str, value: str) -> tuple[str, str] | None:
    """`interval_of` a time in a key, of which a date must be one of the calendar."""
    found = interval_of(vr, value)
    if found and vr == "DA":
        try:
            datetime.strptime(found[0], "%Y%m%d")  # noqa: DTZ007 - only whether there is such a day
        except ValueError:
            return None
    return found


def _malformed(key: Key, reason: str) -> Invalid:
    return Invalid(
        f"key ({key.tag[:4]},{key.tag[4:]}) of VR {key.vr} cannot be matched: {reason}",
        fix="see PS3.4 C.2.2.2 and PS3.5 6.2",
    )


# --- the reference -------------------------------------------------------------------------------


def matches(attributes: JsonAttributes, search: Search) -> bool:
    """Whether an entity with these attributes, those of the levels above included, is an answer.

    Every key counts, whatever its level: leave out those that are not searchable.
    """
    criteria = (criterion_of(search, key) for key in search.keys)
    return all(c.accepts(attributes.get(c.tag)) for c in criteria if c)


_DESCENDING = str.maketrans("0123456789", "9876543210")
_NO_NUMBER = 2**31  # above every IS, which has 32 bits (PS3.5 table 6.2-1)


def order_key(level: Level, attributes: JsonAttributes) -> tuple[Any, ...]:
    """Where an answer stands among the others of its level and partition."""
    if level is Level.PATIENT:
        return tuple(joined(attributes.get(tag)) for tag in ("00100020", "00100021"))
    key: list[Any] = [study_order(attributes)]
    if level in (Level.SERIES, Level.INSTANCE):
        key += [number(attributes.get("00200011")), joined(attributes.get("0020000E"))]
    if level is Level.INSTANCE:
        key += [number(attributes.get("00200013")), joined(attributes.get("00080018"))]
    return tuple(key)


def study_order(attributes: JsonAttributes) -> str:
    """A text by which studies sort: newest first, undated last, then by UID."""
    date = (terms("DA", attributes.get("00080020")) or ("0" * 8,))[0]
    time = (terms("TM", attributes.get("00080030")) or ("0" * 12,))[0]
    return (date + time).translate(_DESCENDING) + joined(attributes.get("0020000D"))


def joined(attribute: dict[str, Any] | None) -> str:
    """An attribute's values as one text, separated by backslashes."""
    return "\\".join(str(value) for value in (attribute or {}).get("Value") or ())


def number(attribute: dict[str, Any] | None) -> int:
    """An IS as it sorts, absent ones last."""
    values = (attribute or {}).get("Value")
    return max(-_NO_NUMBER, min(int(values[0]), _NO_NUMBER)) if values else _NO_NUMBER
