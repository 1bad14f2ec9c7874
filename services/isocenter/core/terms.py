"""Canonical terms: the texts as which the values of attributes are compared (PS3.4 C.2.2.2).

Indices keep the terms of what they hold, and keys are made of terms too (`core.matching`): names
without case and accents, dates, times and numbers in one form, texts without insignificant padding.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from isocenter.core.cached import cached

INTEGERS = frozenset({"IS", "US", "SS", "UL", "SL", "SV", "UV"})
_NUMBERS = INTEGERS | {"DS", "FL", "FD"}
LEADING_SPACE_COUNTS = frozenset({"LT", "ST", "UT", "UC", "UR"})  # PS3.5 table 6.2-1
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "\u0131": "i", "ð": "d", "þ": "th"}
)
_KANA_MARKS = frozenset("\u3099\u309a")  # they tell syllables apart; they are not accents
_WORDS = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([Ee][+-]?[0-9]{1,3})?")
_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DT = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"([+-]\d{4})?",
    re.ASCII,
)
_SOUNDS = {
    letter: str(digit)
    for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), 1)
    for letter in letters
}
_COMPONENT_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@cached(4096)
def normalise_name(group: str) -> str:
    """One component group of a person name as it is compared: without case, accents, padding,
    width variants and trailing empty components."""
    text = unicodedata.normalize("NFKD", group.casefold()).translate(_LETTERS)
    text = "".join(c for c in text if c in _KANA_MARKS or not unicodedata.combining(c))
    text = unicodedata.normalize("NFC", text.casefold())
    return "^".join(" ".join(part.split()) for part in text.split("^")).rstrip("^")


def words_of(name: str) -> list[str]:
    """The words of a person name, normalised, whatever component and group they are in."""
    return _WORDS.findall(normalise_name(name.replace("=", "^")))


def fuzzy_terms(attribute: dict[str, Any] | None) -> tuple[str, ...]:
    """The distinct words of a person name's component groups, and how they sound."""
    found = [word for term in terms("PN", attribute) for word in _WORDS.findall(term)]
    return tuple(dict.fromkeys([*found, *filter(None, map(sound_of, found))]))


@cached(4096)
def sound_of(word: str) -> str:
    """Soundex of a normalised word, not cut off after three digits; with a tilde in front, which
    no word has. Empty for words of other letters than a to z, and of less than three."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return ""
    code, last = f"~{word[0]}", _SOUNDS.get(word[0], "")
    for letter in word[1:]:
        if letter in "hw":  # they do not part letters that sound alike, as vowels do
            continue
        sound = _SOUNDS.get(letter, "")
        code += sound if sound != last else ""
        last = sound
    return code


def terms(vr: str, attribute: dict[str, Any] | None) -> tuple[str, ...]:
    """The distinct canonical texts of an attribute's values; malformed values have none."""
    values: Sequence[Any] = (attribute or {}).get("Value") or ()
    found: list[str] = []
    for value in values:
        if isinstance(value, dict):
            groups = (value.get(group) for group in _COMPONENT_GROUPS)
            found += [normalise_name(group) for group in groups if group]
        elif value is not None and (interval := interval_of(vr, value)):
            found.append(interval[0])
    return tuple(dict.fromkeys(term for term in found if term))


def interval_of(vr: str, value: object) -> tuple[str, str] | None:
    """First and last term of what a value means, the same for all but imprecise times; None for
    a value that is none of this VR."""
    return _interval(vr, str(value))


@cached(8192)
def _interval(vr: str, text: str) -> tuple[str, str] | None:
    if vr in _NUMBERS:
        return _number(text.strip(" \0"))
    text = text.replace("\0", "")
    text = text.rstrip(" ") if vr in LEADING_SPACE_COUNTS else text.strip(" ")
    if vr in TIMES:
        return TIMES[vr](text)
    return text, text


def _number(text: str) -> tuple[str, str] | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    if math.isinf(number):
        return None
    text = str(int(number)) if number.is_integer() else repr(number)
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


TIMES: dict[str, Callable[[str], tuple[str, str] | None]] = {
    "DA": _date, "TM": _time, "DT": _date_time,
}  # fmt: skip
