"""Identifiers of C-FIND, C-MOVE and C-GET (PS3.4 C.4): read into keys, and written from answers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isocenter.core import reader, transfer_syntax
from isocenter.core.attributes import BUILT_IN, DEPTH, Attribute, Attributes
from isocenter.core.charset_encoder import Encoder
from isocenter.core.dictionary import LONG_VRS, creator_of
from isocenter.core.errors import Mismatch
from isocenter.core.matching import JsonAttributes, Key, Level, Search, joined
from isocenter.core.moments import TIMEZONE, Moments, zone_of
from isocenter.core.private import values_as
from isocenter.gateway.extended import Matching

CHARACTER_SET = "00080005"
LEVEL = "00080052"
VIEW = "00080053"
RETRIEVE_AE_TITLE = "00080054"
AVAILABILITY = "00080056"
FAILED_UIDS = "00080058"

PATIENT_ID = "00100020"
STUDY_UID = "0020000D"
SERIES_UID = "0020000E"
INSTANCE_UID = "00080018"

FRAME = "FRAME"  # the level below IMAGE (PS3.4 Y.3.1)

ASCII = ("",)
UTF_8 = ("ISO_IR 192",)

# They steer the request; they are no attributes of what is searched (PS3.4 C.4.1.1.3).
_CONTROL = frozenset({CHARACTER_SET, LEVEL, VIEW, RETRIEVE_AE_TITLE, AVAILABILITY})
_LEVELS = {level.value: level for level in Level}
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_MAX_DEPTH = 8  # no key of any information model is nested deeper than two
_MAX_DS = 16  # PS3.5 table 6.2-1
_MAX_SHORT = 0xFFFE  # longest even value of a VR with a 16-bit length


@dataclass(frozen=True, slots=True)
class Identifier:
    """What a requester asks for."""

    level: Level
    keys: tuple[Key, ...]  # matching and return keys, without those that steer the request
    rows: Mapping[str, Attribute]  # of the table, for the keys that it has
    creators: frozenset[str]  # tags of the Private Creators of these
    charset: tuple[str, ...] = ()  # values of Specific Character Set
    frames: bool = False  # the level is FRAME: of frames of instances

    @property
    def unsupported(self) -> bool:
        """Whether a key is neither matched nor answered at this level (FF01, PS3.4 C.4.1.1.4)."""
        rows = (self.rows.get(key.tag) for key in self.keys if key.tag not in self.creators)
        return any(row is None or DEPTH[row.level] > DEPTH[self.level] for row in rows)

    @property
    def added(self) -> frozenset[str]:
        """The tags in the table of what an administrator has added to it."""
        return frozenset(row.tag for row in self.rows.values() if row.added)

    @property
    def narrowing(self) -> tuple[Key, ...]:
        """The keys that are not universal, for the audit trail."""
        return tuple(key for key in self.keys if any(key.values) or key.items)

    def values(self, tag: str) -> tuple[str, ...]:
        """The values of one key that are not empty; none if it is absent."""
        found = (key.values for key in self.keys if key.tag == tag)
        return tuple(value for value in next(found, ()) if value)

    def moments(self, matching: Matching) -> Moments:
        """The date and time keys as they are to be matched. Raises `Invalid`."""
        searchable = {
            tag for tag, row in self.rows.items() if DEPTH[row.level] <= DEPTH[self.level]
        }
        if not matching.zoned:
            return Moments(self.keys, searchable, combined=matching.combined)
        # Where it steers the matching it is not matched (C.2.2.2).
        zone = next(iter(self.values(TIMEZONE)), "")
        keys = tuple(key for key in self.keys if key.tag != TIMEZONE)
        return Moments(keys, searchable, combined=matching.combined, zone=zone_of(zone))

    def search(self, matching: Matching, moments: Moments) -> Search:
        """The search that answers a C-FIND. Keys above the level match too, whether or not
        relational queries were negotiated: a superset of the hierarchical method (C.4.1.3.1)."""
        asked = (key.tag for key in self.keys if key.tag in self.rows)
        return Search(
            level=self.level,
            keys=moments.keys,
            include=tuple(dict.fromkeys((*asked, *moments.include))),
            fuzzy=matching.fuzzy,
            every_value=matching.every_value,
        )

    def answer(self, found: JsonAttributes, ae_title: str) -> JsonAttributes:
        """The identifier of a pending response: every key that was asked for, of zero length
        where there is no value (C.4.1.1.3.2)."""
        answered: JsonAttributes = {
            LEVEL: {"vr": "CS", "Value": [self.level.value]},
            RETRIEVE_AE_TITLE: {"vr": "AE", "Value": [ae_title]},
            AVAILABILITY: {"vr": "CS", "Value": ["ONLINE"]},
        }
        for key in self.keys:
            answered[key.tag] = found.get(key.tag) or {"vr": key.vr}
            if key.tag in self.creators:
                answered[key.tag] = {"vr": key.vr, "Value": list(key.values)}
        return answered


def read(
    data: bytes,
    syntax: str,
    levels: Sequence[Level],
    table: Attributes = BUILT_IN,
    *,
    frames: bool = False,
) -> Identifier:
    """The identifier in a request, whose level may be FRAME with `frames`. Raises `Unprocessable`
    for what cannot be read, `Mismatch` for a level that is missing or not one of the information
    model's."""
    attributes = reader.to_json(data, syntax, max_depth=_MAX_DEPTH)
    asked = {
        tag: element
        for tag, element in attributes.items()
        if tag not in _CONTROL and not tag.endswith("0000")
    }
    rows = {
        tag: row
        for tag in asked
        if (row := table.named(tag, joined(attributes.get(creator_of(tag))).strip()))
    }
    keys = tuple(_key(tag, element, rows.get(tag)) for tag, element in asked.items())
    creators = frozenset(creator_of(tag) for tag, row in rows.items() if row.creator)
    charset = reader.charset_of(data, syntax)
    if frames and joined(attributes.get(LEVEL)).strip(" \0") == FRAME:
        return Identifier(Level.INSTANCE, keys, rows, creators, charset, frames=True)
    return Identifier(_level(attributes, levels), keys, rows, creators, charset)


def _level(attributes: JsonAttributes, levels: Sequence[Level]) -> Level:
    values = attributes.get(LEVEL, {}).get("Value") or [""]
    level = _LEVELS.get(str(values[0]).strip(" \0"))
    if level not in levels or len(values) != 1:
        known = ", ".join(level.value for level in levels)
        raise Mismatch(f"(0008,0052) must be one of {known}")
    assert level is not None
    return level


def _key(tag: str, element: Mapping[str, Any], row: Attribute | None = None) -> Key:
    vr: str = element["vr"]
    values: Any = element.get("Value") or ()
    if row is not None and row.creator:  # an implicit VR may have become UN
        vr, values = row.vr, values_as(row.vr, element) or ()
    if vr == "SQ":
        items = tuple(_key(*entry) for item in values[:1] for entry in item.items())
        return Key(tag, vr, items=items)
    return Key(tag, vr, tuple(_text(value) for value in values))


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "=".join(value.get(group) or "" for group in _NAME_GROUPS).rstrip("=")
    return "" if value is None else str(value).strip("\0")


# --- writing -------------------------------------------------------------------------------------


def write(attributes: JsonAttributes, syntax: str, charset: Sequence[str] = ()) -> bytes:
    """Attributes as a data set, with Specific Character Set where a text is not ASCII: `charset`
    (the requester's, C.4.1.1.3.2) if it has all characters, else UTF-8.

    `syntax` is one of `contexts.MESSAGE_TRANSFER_SYNTAXES`.
    """
    for values in (ASCII, tuple(charset), UTF_8):
        encoder = Encoder.of(values)
        if encoder is None:
            continue
        named = {} if values == ASCII else {CHARACTER_SET: {"vr": "CS", "Value": list(values)}}
        try:
            return _Writer(syntax, encoder).data_set({**attributes, **named})
        except UnicodeEncodeError:
            continue
    raise AssertionError("UTF-8 has all characters")


class _Writer:
    """One pass over attributes in the DICOM JSON Model."""

    def __init__(self, syntax: str, encoder: Encoder) -> None:
        known = transfer_syntax.lookup(syntax)
        self._encoder = encoder
        self._implicit = known.implicit_vr
        self._order = "<" if known.little_endian else ">"
        self._tag = struct.Struct(f"{self._order}HH")
        self._short = struct.Struct(f"{self._order}H")
        self._long = struct.Struct(f"{self._order}I")

    def data_set(self, attributes: JsonAttributes) -> bytes:
        """All elements, in the order of their tags (PS3.5 7.1)."""
        return b"".join(self._element(tag, attributes[tag]) for tag in sorted(attributes))

    def _element(self, tag: str, element: Mapping[str, Any]) -> bytes:
        vr: str = element["vr"]
        value = self._value(vr, element.get("Value") or ())
        head = self._tag.pack(int(tag[:4], 16), int(tag[4:], 16))
        if self._implicit:
            return head + self._long.pack(len(value)) + value
        if vr not in LONG_VRS and len(value) > _MAX_SHORT:
            vr = "UN"  # PS3.5 6.2.2: how a value too long for its VR's 16-bit length is written
        if vr in LONG_VRS:
            return head + vr.encode() + b"\0\0" + self._long.pack(len(value)) + value
        return head + vr.encode() + self._short.pack(len(value)) + value

    def _value(self, vr: str, values: Sequence[Any]) -> bytes:
        if vr == "SQ":
            return b"".join(self._item(item) for item in values)
        if vr in _NUMBERS:
            return self._numbers(_NUMBERS[vr], values)
        if vr == "AT":
            pairs = ((int(value[:4], 16), int(value[4:], 16)) for value in values)
            return b"".join(self._tag.pack(*pair) for pair in pairs)
        text = "\\".join(map(_TEXTS.get(vr, _text), values))
        encoded = self._encoder.encode(text, vr)
        return encoded + (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2)

    def _numbers(self, form: str, values: Sequence[Any]) -> bytes:
        number = struct.Struct(self._order + form)
        try:
            return b"".join(number.pack(value) for value in values if value is not None)
        except struct.error:
            return b""  # an object's value may be no value of the VR; then there is none to give

    def _item(self, item: JsonAttributes) -> bytes:
        body = self.data_set(item)
        return self._tag.pack(0xFFFE, 0xE000) + self._long.pack(len(body)) + body


def _decimal(value: object) -> str:
    """A DS of at most 16 characters."""
    text = _text(value)
    digits = _MAX_DS
    while len(text) > _MAX_DS and isinstance(value, float):
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


_NUMBERS = {
    "US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q",
}  # fmt: skip
_TEXTS: Mapping[str, Callable[[object], str]] = {"DS": _decimal}
