"""Coercion of attributes (PS3.4 B.4.1.1): rules as data, and what they make of a header.

Rules are for attributes of the top level before Pixel Data that hold a short text. UIDs, what
describes pixels, and what tells of earlier changes may never be coerced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydicom.datadict import tag_for_keyword

from isocenter.core.charset import Charset, is_character_set
from isocenter.core.dictionary import standard_vr
from isocenter.core.errors import Invalid
from isocenter.core.json_model import to_json
from isocenter.core.matching import JsonAttributes
from isocenter.core.overlays import (
    CHARACTER_SET,
    ORIGINAL_ATTRIBUTES,
    Place,
    charset_named,
    encoded,
    places,
    value_of,
)
from isocenter.core.transfer_syntax import lookup
from isocenter.core.values import CONVERTERS

# PS3.5 table 6.2-1: characters that a value may have; of a person's name, each component group.
LENGTHS: Mapping[str, int] = {"AE": 16, "CS": 16, "LO": 64, "PN": 64, "SH": 16}
_CODE = re.compile(r"[A-Z0-9 _]*")

# What is said of the object's own encoding, pixels and history, by group and by attribute.
_FORBIDDEN_GROUPS: Mapping[int, str] = {
    0x0002: "describes the file",
    0x0028: "describes pixels",
    0x0400: "tells of earlier changes and signatures",
    0x2050: "describes how pixels are shown",
}
_FORBIDDEN: Mapping[int, str] = {CHARACTER_SET: "is set with `character_set`"}

_ESCAPE = "\\u001b"  # as JSON writes it: of ISO 2022, which the default repertoire has not
_UNREADABLE = "\ufffd"
_LONGEST = 4096  # bytes of a value that is looked at

Change = Callable[[str, Any], str]


def _trimmed_leading(value: str, characters: str) -> str:
    return value.lstrip(characters) or value[-1:]


def _mapped(value: str, table: Mapping[str, str]) -> str:
    if value in table:
        return table[value]
    for old, new in table.items():
        begin, star, end = old.partition("*")
        long_enough = len(value) >= len(begin) + len(end)
        if star and long_enough and value.startswith(begin) and value.endswith(end):
            return new.replace("*", value[len(begin) : len(value) - len(end)])
    return value


# What a rule does with each value that is not empty.
CHANGES: Mapping[str, Change] = {
    "trim": lambda value, _: value.strip(" "),
    "trim_leading": _trimmed_leading,
    "map": _mapped,
    "prefix": lambda value, text: value if value.startswith(text) else text + value,
    "suffix": lambda value, text: value if value.endswith(text) else value + text,
}
SET_IF_ABSENT = "set_if_absent"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with one attribute."""

    tag: int
    operation: str  # one of `CHANGES`, or `SET_IF_ABSENT`
    argument: Any

    @property
    def vr(self) -> str:
        """Of the attribute."""
        return standard_vr(self.tag)


def rule(keyword: str, operation: str, argument: Any) -> Rule:  # noqa: ANN401 (by the operation)
    """A rule that may be. Raises `Invalid`."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise Invalid(
            f"{keyword!r} is no attribute", fix="write its keyword of PS3.6, as PatientID"
        )
    why = _FORBIDDEN.get(tag) or _FORBIDDEN_GROUPS.get(tag >> 16)
    if why:
        raise Invalid(f"{keyword} may not be coerced: it {why}", fix="leave the rule out")
    made = Rule(tag, operation, argument)
    if made.vr not in LENGTHS:
        raise Invalid(
            f"{keyword} has VR {made.vr}, which may not be coerced",
            fix=f"coerce attributes of VR {', '.join(LENGTHS)}",
        )
    for text in _texts(argument):
        plain = text.isascii() and text.isprintable() and "\\" not in text
        if not plain or not fits(made.vr, text.replace("*", "")):
            raise Invalid(
                f"{text!r} cannot be part of {keyword}, which has VR {made.vr}",
                fix="write ASCII without backslash that fits the VR (PS3.5 6.2)",
            )
    return made


def _texts(argument: object) -> Sequence[str]:
    if isinstance(argument, Mapping):
        return [text for pair in argument.items() for text in pair]
    return [argument] if isinstance(argument, str) else []


def fits(vr: str, value: str) -> bool:
    """Whether a value may be one of a VR."""
    if vr == "CS" and not _CODE.fullmatch(value):
        return False
    return all(len(group) <= LENGTHS[vr] for group in value.split("=" if vr == "PN" else "\\"))


@dataclass(frozen=True, slots=True)
class Coercions:
    """What is done with the objects of one source."""

    rules: tuple[Rule, ...] = ()
    character_set: str = ""  # for objects whose own says nothing, or nothing true; empty: none


class Evaluated(NamedTuple):
    """What rules make of a header."""

    attributes: JsonAttributes  # what becomes another, DICOM JSON Model
    unfit: Sequence[int]  # attributes that stay: what the rules make of them fits no VR


def evaluate(header: bytes, transfer_syntax: str, coercions: Coercions) -> Evaluated:
    """Apply the rules in their order. Raises `Unprocessable`."""
    syntax = lookup(transfer_syntax)
    found = {place.element[0]: place for place in places(header, transfer_syntax)}
    told = found.get(ORIGINAL_ATTRIBUTES)
    if syntax.deflated or (told is not None and told.element[1] != "SQ"):
        return Evaluated({}, ())  # a header of its own cannot be written
    changed: JsonAttributes = {}
    stated = _text_at(header, found, CHARACTER_SET)
    if coercions.character_set and _unreadable(header, transfer_syntax, stated):
        stated = coercions.character_set
        changed[f"{CHARACTER_SET:08X}"] = {"vr": "CS", "Value": stated.split("\\")}
    charset = charset_named(stated)
    unfit: list[int] = []
    for tag in dict.fromkeys(one.tag for one in coercions.rules):
        rules = [one for one in coercions.rules if one.tag == tag]
        before = _values(header, found, tag, charset)
        after = before
        for one in rules:
            after = _changed(one, after)
        if after == before:
            continue
        entry = _entry(standard_vr(tag), after, charset)
        if entry is None:
            unfit.append(tag)
        else:
            changed[f"{tag:08X}"] = entry
    return Evaluated(changed, unfit)


def _unreadable(header: bytes, transfer_syntax: str, stated: str) -> bool:
    """Whether there is text that the stated character set does not tell how to read."""
    text = json.dumps(to_json(header, transfer_syntax), ensure_ascii=False)
    if text.isascii() and _ESCAPE not in text:
        return False
    return not stated or not is_character_set(stated) or _UNREADABLE in text


def _text_at(header: bytes, found: Mapping[int, Place], tag: int) -> str:
    place = found.get(tag)
    return "" if place is None else value_of(header, place).decode("iso8859-1").strip("\0 ")


def _values(
    header: bytes, found: Mapping[int, Place], tag: int, charset: Charset
) -> Sequence[str] | None:
    """The values of an attribute; none if it is absent or empty; None: too long to be looked at."""
    place = found.get(tag)
    if place is None:
        return ()
    raw = value_of(header, place)
    if len(raw) > _LONGEST:
        return None
    text = charset.decode(raw).rstrip("\0 ")
    return tuple(part.rstrip("\0 ") for part in text.split("\\")) if text else ()


def _changed(one: Rule, values: Sequence[str] | None) -> Sequence[str] | None:
    if values is None:
        return None
    if one.operation == SET_IF_ABSENT:
        return values or (one.argument,)
    change = CHANGES[one.operation]
    return tuple(value and change(value, one.argument) for value in values)


def _entry(vr: str, values: Sequence[str] | None, charset: Charset) -> dict[str, Any] | None:
    """The attribute as `to_json` tells it, if it can be written."""
    if values is None or not all(fits(vr, value) for value in values):
        return None
    try:
        raw = charset.encode("\\".join(values))
        entry = {"vr": vr, "Value": CONVERTERS[vr](raw, charset, "<")}
        return entry if encoded(entry, charset) == raw else None
    except UnicodeError:
        return None
