"""DICOM matching (PS3.4 C.2.2.2): what a search asks for, and whether attributes answer it.

Every index adapter implements these rules; the contract suite compares them with `matches`.

- Every value becomes one or more canonical *terms* (`terms`): texts without insignificant
  padding, names without case and accents, dates, times and numbers in one form. A key matches an
  attribute if one of its values matches one of the attribute's terms. Text other than names is
  case-sensitive, as C.2.2.2.1 has it.
- A key without values, with empty ones, or `*` is universal, also where the attribute is absent;
  any other key does not match an absent or empty attribute.
- Several values are a list of UID (C.2.2.2.2), and for other VRs alternatives (C.2.2.2.8).
- A time without minutes or seconds is the whole hour or minute, in single values and at the upper
  end of a range. Date and time keys are matched independently.

Answers come in a total order (`order_key`): patients by ID and issuer; studies newest first, then
by UID; series and instances by their study's (and series') order, their number and UID.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import Any

from isocenter.core.errors import Invalid

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


# --- terms ---------------------------------------------------------------------------------------

_NUMBERS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "SV", "UV"})
_WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_LEADING_SPACE_COUNTS = frozenset({"LT", "ST", "UT", "UC", "UR"})  # PS3.5 table 6.2-1
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "\u0131": "i", "ð": "d", "þ": "th"}
)
_KANA_MARKS = frozenset("\u3099\u309a")  # they tell syllables apart; they are not accents
_WORDS = re.compile(r"[^\W_]+")
_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?")
_DT = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"([+-]\d{4})?"
)
_COMPONENT_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@lru_cache(maxsize=4096)
def normalise_name(group: str) -> str:
    """One component group of a person name as it is compared: without case, accents, padding,
    width variants and trailing empty components."""
    text = unicodedata.normalize("NFKD", group.casefold()).translate(_LETTERS)
    text = "".join(c for c in text if c in _KANA_MARKS or not unicodedata.combining(c))
    text = unicodedata.normalize("NFC", text.casefold())
    return "^".join(" ".join(part.split()) for part in text.split("^")).rstrip("^")


def name_words(attribute: dict[str, Any] | None) -> tuple[str, ...]:
    """The distinct words of a person name's component groups, normalised."""
    found = (_WORDS.findall(term) for term in terms("PN", attribute))
    return tuple(dict.fromkeys(word for words in found for word in words))


def terms(vr: str, attribute: dict[str, Any] | None) -> tuple[str, ...]:
    """The distinct canonical texts of an attribute's values; malformed values have none."""
    values: Sequence[Any] = (attribute or {}).get("Value") or ()
    found: list[str] = []
    for value in values:
        if isinstance(value, dict):
            groups = (value.get(group) for group in _COMPONENT_GROUPS)
            found += [normalise_name(group) for group in groups if group]
        elif value is not None and (interval := _interval(vr, value)):
            found.append(interval[0])
    return tuple(dict.fromkeys(term for term in found if term))


def _interval(vr: str, value: object) -> tuple[str, str] | None:
    """First and last term of what a value means, the same for all but imprecise times."""
    if vr in _NUMBERS:
        return _number(value)
    text = str(value).replace("\0", "")
    text = text.rstrip(" ") if vr in _LEADING_SPACE_COUNTS else text.strip(" ")
    if vr in _TIMES:
        return _TIMES[vr](text)
    return text, text


def _number(value: object) -> tuple[str, str] | None:
    try:
        number = float(str(value))
        text = str(int(number)) if number.is_integer() else repr(number)
    except (ValueError, OverflowError):
        return None
    return text, text


def _date(text: str) -> tuple[str, str] | None:
    found = _DA.fullmatch(text)
    if not found:
        return None
    year, month, day = found.groups()
    if not ("01" <= month <= "12" and "01" <= day <= "31"):
        return None
    return year + month + day, year + month + day


def _time(text: str) -> tuple[str, str] | None:
    found = _TM.fullmatch(text)
    if not found:
        return None
    hour, minute, second, fraction = found.groups()
    if hour > "23" or (minute or "00") > "59" or (second or "00") > "60":
        return None
    given = hour + (minute or "") + (second or "") + (fraction or "")
    return given.ljust(12, "0"), given + "235959999999"[len(given) :]


def _date_time(text: str) -> tuple[str, str] | None:
    found = _DT.fullmatch(text)
    if not found:
        return None
    *parts, fraction, offset = found.groups()
    numbers = [int(part) for part in parts if part]
    zone = UTC
    try:
        if offset:
            sign = -1 if offset[0] == "-" else 1
            zone = timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])))
        microsecond = int((fraction or "0").ljust(6, "0"))
        low = datetime(*_padded(numbers), microsecond, tzinfo=zone)
        high = _end_of(low, len(numbers), fraction)
        return _stamp(low), _stamp(high)
    except (ValueError, OverflowError):
        return None


def _padded(numbers: list[int]) -> tuple[int, int, int, int, int, int]:
    year, month, day, hour, minute, second = numbers + [1, 1, 1, 0, 0, 0][len(numbers) :]
    return year, month, day, hour, minute, min(second, 59)


def _end_of(low: datetime, precision: int, fraction: str | None) -> datetime:
    if precision == 1:
        return low.replace(month=12, day=31, hour=23, minute=59, second=59, microsecond=999999)
    if precision == 2:
        following = (low.replace(day=28) + timedelta(days=4)).replace(day=1)
        return following - timedelta(microseconds=1)
    units = {3: "days", 4: "hours", 5: "minutes", 6: "seconds"}
    step = timedelta(**{units[precision]: 1})
    if fraction:
        step = timedelta(microseconds=10 ** (6 - len(fraction)))
    return low + step - timedelta(microseconds=1)


def _stamp(moment: datetime) -> str:
    at = moment.astimezone(UTC)
    return f"{at.year:04}{at:%m%d%H%M%S%f}"


_TIMES: dict[str, Callable[[str], tuple[str, str] | None]] = {
    "DA": _date, "TM": _time, "DT": _date_time,
}  # fmt: skip


# --- keys ----------------------------------------------------------------------------------------


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


@lru_cache(maxsize=512)
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
_ABOVE = "\U0010ffff"  # every term


@dataclass(frozen=True, slots=True)
class Criterion:
    """A key that narrows a search, ready for matching."""

    tag: str
    vr: str
    alternatives: tuple[tuple[Test, ...], ...] = ()  # one of them; all tests, each by some term
    words: tuple[str, ...] = ()  # fuzzy: or every word begins a word of the name
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
        return bool(self.words) and self._begins(name_words(attribute))

    def _begins(self, words: tuple[str, ...]) -> bool:
        return all(any(word.startswith(start) for word in words) for start in self.words)


def parse(key: Key, *, fuzzy: bool = False) -> Criterion | None:
    """A key as a criterion, or None for universal matching. Raises `Invalid`."""
    if key.vr == "SQ":
        items = tuple(c for item in key.items if (c := parse(item, fuzzy=fuzzy)))
        return Criterion(key.tag, key.vr, items=items) if items else None
    values = [value for value in key.values if value.strip(" \0")]
    if not values or any(set(value.strip(" \0")) == {"*"} for value in values):
        return None
    alternatives = tuple(_alternative(key, value) for value in values)
    words: list[str] = []
    if fuzzy and key.vr == "PN" and len(values) == 1:
        words = _WORDS.findall(normalise_name(values[0].replace("=", "^")))
    return Criterion(key.tag, key.vr, alternatives, tuple(dict.fromkeys(words)))


def _alternative(key: Key, value: str) -> tuple[Test, ...]:
    if key.vr == "PN":
        groups = [normalise_name(group) for group in value.split("=")]
        return tuple(_text_test(group, group.count("^")) for group in groups if group)
    if key.vr in _TIMES:
        return (_time_test(key, value.strip(" \0")),)
    if "*" in value or "?" in value:
        if key.vr not in _WILDCARD_VRS:
            raise _malformed(key, "wild cards are not allowed in this value representation")
        text = value.rstrip(" ") if key.vr in _LEADING_SPACE_COUNTS else value.strip(" ")
        return (Wildcard(text),)
    interval = _interval(key.vr, value)
    if interval is None:
        raise _malformed(key, "the value is no number")
    return (Equal(interval[0]),)


def _text_test(term: str, carets: int) -> Test:
    return Wildcard(term, carets) if "*" in term or "?" in term else Equal(term)


def _time_test(key: Key, value: str) -> Test:
    read = _TIMES[key.vr]
    if single := read(value):
        return Equal(single[0]) if single[0] == single[1] else Between(*single)
    # A hyphen may also belong to a DT's offset from UTC: take the split where both sides are read.
    for at in (i for i, c in enumerate(value) if c == "-"):
        first, last = value[:at].strip(), value[at + 1 :].strip()
        low = read(first) if first else ("", "")
        high = read(last) if last else (_ABOVE, _ABOVE)
        if low and high and (first or last):
            return Between(low[0], high[1])
    raise _malformed(key, f"expected a value of {key.vr} or a range first-last, -last or first-")


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
    criteria = (parse(key, fuzzy=search.fuzzy) for key in search.keys)
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
