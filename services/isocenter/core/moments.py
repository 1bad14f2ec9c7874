"""Dates and times that belong together, as C-FIND may have negotiated to match them: as one moment
(PS3.4 C.2.2.2.5.4), and in the requester's time zone (C.2.2.2.1.3).

Indices match dates and times each by itself, as objects have them. So the index is asked for a
superset (`Moments.keys`), and what it finds is converted and matched once more (`Moments.answer`).

Objects without Timezone Offset From UTC (0008,0201) are in no known time zone: their dates and
times match, and are answered, as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from isocenter.core.errors import Invalid
from isocenter.core.matching import Criterion, JsonAttributes, Key, joined, parse
from isocenter.core.terms import interval_of

TIMEZONE = "00080201"

# Attributes of VR DA and TM that are one moment, of `core.attributes.TABLE`. A birth date has
# no time zone: it is a day of the calendar, wherever the patient is.
ZONED: Mapping[str, str] = {
    "00080020": "00080030",  # Study
    "00080021": "00080031",  # Series
    "00080022": "00080032",  # Acquisition
    "00080023": "00080033",  # Content
    "00400244": "00400245",  # Performed Procedure Step Start
}
PAIRS: Mapping[str, str] = {**ZONED, "00100030": "00100032"}
DATE_TIMES = ("0008002A",)  # Acquisition DateTime

_OFFSET = re.compile(r"([+-])([01][0-9])([0-5][0-9])")
_NO_OFFSET = re.compile(r"([0-9]{4,14}(\.[0-9]{1,6})?)?", re.ASCII)
_ABOVE = "\U0010ffff"  # every term
_FARTHEST = timedelta(days=2)  # dates of one moment, at -1200 and at +1400
_LOWEST, _HIGHEST = timedelta(hours=-12), timedelta(hours=14)
_MOMENT = len("YYYYMMDDHHMMSSFFFFFF")


def zone_of(text: str) -> timezone | None:
    """The time zone of a value of (0008,0201); None for an empty one. Raises `Invalid`."""
    text = text.strip(" \0")
    if not text:
        return None
    if found := _OFFSET.fullmatch(text):
        sign, hours, minutes = found.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
        if _LOWEST <= offset <= _HIGHEST:
            return timezone(offset)
    raise Invalid(
        "the value of (0008,0201) is no offset from UTC",
        fix="write it as +0100 or -0500, from -1200 to +1400 (PS3.5 6.2, DT)",
    )


class Moments:
    """The date and time keys of one search."""

    def __init__(
        self,
        keys: Sequence[Key],
        searchable: Collection[str],
        *,
        combined: bool = False,
        zone: timezone | None = None,
    ) -> None:
        """`searchable`: the tags that narrow the search; the others are left as they are.
        `zone`: of the keys and answers. Raises `Invalid` for keys that cannot be matched."""
        self._zone = zone
        self._searchable = searchable
        self._keys = {key.tag: key for key in keys}
        self._ranges: list[tuple[str, str, str, str]] = []  # date, time, lowest and highest moment
        self._criteria: list[Criterion] = []  # of converted attributes
        for date, time in PAIRS.items() if combined else ():
            self._combine(date, time)
        if zone is not None:
            for date, time in ZONED.items():
                self._convert(date, time)
            for tag in DATE_TIMES:
                self._convert_date_time(tag, zone)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys for the index: all that the request matches, and perhaps more, matches them."""
        return tuple(self._keys.values())

    @property
    def include(self) -> tuple[str, ...]:
        """What the answers of the index must have beside what was asked for."""
        tags = [tag for date, time, *_ in self._ranges for tag in (date, time)]
        if self._zone is not None:
            tags += [TIMEZONE, *ZONED, *ZONED.values(), *DATE_TIMES]
        return tuple(dict.fromkeys(tag for tag in tags if tag in self._searchable))

    def answer(self, found: JsonAttributes) -> JsonAttributes | None:
        """What the index found, in the time zone asked for; None if it does not match."""
        if self._zone is not None:
            found = _in_zone(found, self._zone)
        for date, time, low, high in self._ranges:
            moment = _first_term("DA", found, date), _first_term("TM", found, time)
            if not all(moment) or not low <= "".join(moment) <= high:
                return None
        matched = all(c.accepts(self._compared(c.tag, found)) for c in self._criteria)
        return found if matched else None

    def _compared(self, tag: str, found: JsonAttributes) -> dict[str, Any] | None:
        """An attribute as it is compared: a date-time without an offset as one of the requester's
        time zone."""
        element = found.get(tag)
        if element is None or tag not in DATE_TIMES or self._zone is None:
            return element
        values = [_with_offset(str(value), self._zone) for value in element.get("Value") or ()]
        return {**element, "Value": values}

    def _combine(self, date: str, time: str) -> None:
        """Take a pair out of the keys if both are ranges of the same form."""
        dates, times = self._narrowing(date), self._narrowing(time)
        if not (dates and times and {date, time} <= set(self._searchable)):
            return
        if not (_is_range(dates) and _is_range(times)):
            return
        (first, last), (begin, end) = _range(dates.values[0]), _range(times.values[0])
        if (bool(first), bool(last)) != (bool(begin), bool(end)):
            return
        low = _term("DA", first, 0) + _term("TM", begin, 0)
        high = _term("DA", last, 1) + _term("TM", end, 1) if last else _ABOVE
        if low > high:
            raise Invalid(
                f"the first moment of the range in ({date[:4]},{date[4:]}) and"
                f" ({time[:4]},{time[4:]}) is later than the last"
            )
        self._ranges.append((date, time, low, high))
        self._widen(date)
        self._drop(time)

    def _convert(self, date: str, time: str) -> None:
        """Match what is left of a pair after conversion."""
        if any(date == combined for combined, *_ in self._ranges):
            return
        for tag, settle in ((date, self._widen), (time, self._drop)):
            key = self._narrowing(tag)
            criterion = parse(key) if key is not None else None
            if criterion is not None:
                self._criteria.append(criterion)
                settle(tag)

    def _convert_date_time(self, tag: str, zone: timezone) -> None:
        key = self._narrowing(tag)
        if key is None:
            return
        asked = replace(key, values=tuple(_with_offset(value, zone) for value in key.values))
        if criterion := parse(asked):
            self._criteria.append(criterion)
            self._drop(tag)

    def _narrowing(self, tag: str) -> Key | None:
        """The key, if it narrows the search."""
        key = self._keys.get(tag)
        if key is None or tag not in self._searchable or parse(key) is None:
            return None
        return key

    def _drop(self, tag: str) -> None:
        """Leave the attribute to `answer`."""
        self._keys[tag] = replace(self._keys[tag], values=())

    def _widen(self, date: str) -> None:
        """Two days more on either side, for what in another time zone is on another day."""
        if self._zone is None or date not in ZONED:
            return
        key = self._keys[date]
        spans = [_range(value) for value in key.values if value.strip(" \0")]
        values = [(_shifted(first, -_FARTHEST), _shifted(last, _FARTHEST)) for first, last in spans]
        universal = any(not (first or last) for first, last in values)
        ranges = () if universal else tuple(f"{first}-{last}" for first, last in values)
        self._keys[date] = replace(key, values=ranges)


# --- keys ----------------------------------------------------------------------------------------


def _is_range(key: Key) -> bool:
    return len(key.values) == 1 and "-" in key.values[0]


def _range(value: str) -> tuple[str, str]:
    """First and last value of a DA or TM key, empty where the range is open; of a single value
    twice itself."""
    first, hyphen, last = (part.strip(" \0") for part in value.partition("-"))
    return (first, last) if hyphen else (first, first)


def _term(vr: str, value: str, end: int) -> str:
    interval = interval_of(vr, value)
    return interval[end] if interval else ""


def _shifted(value: str, shift: timedelta) -> str:
    """A date some days off; empty for an open end, and where the calendar ends."""
    if not value:
        return ""
    try:
        return f"{datetime.strptime(_term('DA', value, 0), '%Y%m%d') + shift:%Y%m%d}"  # noqa: DTZ007
    except OverflowError:
        return ""


def _with_offset(value: str, zone: timezone) -> str:
    """A DT key of which the values that lack an offset have that of the time zone."""
    value = value.strip(" \0")
    offset = offset_text(zone)
    if _NO_OFFSET.fullmatch(value):
        return value + offset if value else value
    if interval_of("DT", value):
        return value  # of the form YYYY-ZZZZ, or with its offset
    parts = [part.strip() for part in value.split("-")]
    if len(parts) != 2 or not all(map(_NO_OFFSET.fullmatch, parts)):
        return value
    return "-".join(part + offset if part else "" for part in parts)


# --- attributes of answers -----------------------------------------------------------------------


def offset_text(zone: timezone) -> str:
    """A time zone as a value of (0008,0201)."""
    return f"{datetime(2000, 1, 1, tzinfo=zone):%z}"


def _in_zone(found: JsonAttributes, zone: timezone) -> JsonAttributes:
    """The attributes with their dates and times in another time zone, if it is known in which they
    are. A date without a time stays, and so does a time without a date."""
    try:
        own = zone_of(joined(found.get(TIMEZONE)))
    except Invalid:
        own = None
    if own is None:
        return {tag: element for tag, element in found.items() if tag != TIMEZONE}
    moved = {**found, TIMEZONE: {"vr": "SH", "Value": [offset_text(zone)]}}
    for date, time in ZONED.items():
        terms = _first_term("DA", found, date), _first_term("TM", found, time)
        if all(terms) and (at := _moment("".join(terms), own, zone)):
            moved[date] = {"vr": "DA", "Value": [f"{at:%Y%m%d}"]}
            moved[time] = {"vr": "TM", "Value": [_text_of(f"{at:%H%M%S}", at)]}
    for tag in DATE_TIMES:
        value = joined(found.get(tag)).strip(" \0")
        # Only where it says the second; coarser ones are no moment.
        if len(value) >= len("YYYYMMDDHHMMSS") and _NO_OFFSET.fullmatch(value):
            term = value.replace(".", "").ljust(_MOMENT, "0")
            if at := _moment(term, own, zone):
                text = _text_of(f"{at:%Y%m%d%H%M%S}", at) + offset_text(zone)
                moved[tag] = {"vr": "DT", "Value": [text]}
    return moved


def _first_term(vr: str, found: JsonAttributes, tag: str) -> str:
    values = found.get(tag, {}).get("Value") or ("",)
    return _term(vr, str(values[0]), 0)


def _moment(term: str, own: timezone, zone: timezone) -> datetime | None:
    """A moment, as a term of a date and one of a time, in another time zone; None if the calendar
    has no such moment."""
    second = min(term[12:14], "59")  # a leap second
    try:
        at = datetime.strptime(term[:12] + second + term[14:], "%Y%m%d%H%M%S%f")  # noqa: DTZ007
        return at.replace(tzinfo=own).astimezone(zone)
    except (ValueError, OverflowError):
        return None


def _text_of(text: str, at: datetime) -> str:
    return f"{text}.{at:%f}" if at.microsecond else text
