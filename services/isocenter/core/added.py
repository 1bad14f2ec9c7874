"""Attributes that an administrator makes searchable: rows for the table of `core.attributes`."""

from __future__ import annotations

import re

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from isocenter.core.attributes import BY_TAG, Attribute
from isocenter.core.dictionary import standard_vr
from isocenter.core.errors import Invalid
from isocenter.core.matching import Level
from isocenter.core.private import unblocked
from isocenter.core.values import CONVERTERS

LEVELS = {level.name: level for level in Level if level is not Level.PATIENT}

_TAG = re.compile(r"[0-9A-F]{8}")
_PRIVATE = re.compile(r"[0-9A-F]{3}[13579BDF](?:XX|1[0-9A-F]|[2-9A-F][0-9A-F])[0-9A-F]{2}")
_SEPARATORS = str.maketrans("", "", "(), ")
_MAX_CREATOR = 64  # of an LO (PS3.5 table 6.2-1)

# What is no attribute of an object, or in every answer of ours: character set, and what
# PS3.4 C.4.1.1.3.2 and PS3.18 table 10.6.3-3 add.
_NOT_OF_OBJECTS = frozenset(
    {"00080005", "00080052", "00080053", "00080054", "00080056", "00080058", "00081190"}
)
_FIRST_GROUP = 0x0008  # below it are commands, files and directories


def added(name: str, level: str, creator: str = "", vr: str = "") -> Attribute:
    """The row of an attribute that is named by keyword, by tag, or, with its Private Creator, by
    `ggggxxee`. The VR of a public one is that of PS3.6. Raises `Invalid`."""
    if level not in LEVELS:
        raise Invalid(f"{level!r} is no level", fix=f"write one of {', '.join(LEVELS)}")
    if creator:
        return _private(name, LEVELS[level], creator, vr)
    return _public(name, LEVELS[level], vr)


def _public(name: str, level: Level, vr: str) -> Attribute:
    tag = name.translate(_SEPARATORS).upper()
    if not _TAG.fullmatch(tag):
        number = tag_for_keyword(name) if name else None
        if number is None:
            raise Invalid(
                f"{name!r} is no keyword of PS3.6 and no tag",
                fix="write a keyword as StudyDescription, or eight hexadecimal digits as 00081030",
            )
        tag = f"{number:08X}"
    group = int(tag[:4], 16)
    if group % 2:
        raise Invalid(f"{name} is private", fix="name its creator too, and its vr")
    if row := BY_TAG.get(tag):
        raise Invalid(f"{name} is built in, at level {row.level.name}", fix="leave it out")
    known = standard_vr(int(tag, 16)).partition(" ")[0]
    keyword = keyword_for_tag(tag)
    if not keyword or group < _FIRST_GROUP or tag in _NOT_OF_OBJECTS:
        raise Invalid(f"{name} is no attribute of objects in PS3.6", fix="leave it out")
    if vr not in ("", known):
        raise Invalid(f"{name} has VR {known}, not {vr}", fix="leave vr out")
    return Attribute(tag, keyword, _matched(name, known), level, added=True)


def _private(name: str, level: Level, creator: str, vr: str) -> Attribute:
    tag = name.translate(_SEPARATORS).upper()
    if not _PRIVATE.fullmatch(tag) or int(tag[:4], 16) <= _FIRST_GROUP:
        raise Invalid(
            f"{name!r} is no private element of {creator}",
            fix="write an odd group, xx for the block, and the element, as 0029xx10 (PS3.5 7.8)",
        )
    if creator != creator.strip() or len(creator) > _MAX_CREATOR or not _is_plain(creator):
        raise Invalid(
            f"{creator!r} is no Private Creator",
            fix="write it without spaces around it: up to 64 characters of ASCII, no backslash",
        )
    if not vr:
        raise Invalid(f"{name} of {creator} has no vr", fix="write the VR that its makers tell")
    named = unblocked(tag, creator)
    return Attribute(named, named, _matched(name, vr), level, creator=creator, added=True)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "\\" not in text


def _matched(name: str, vr: str) -> str:
    if vr not in CONVERTERS:
        raise Invalid(
            f"{name} has VR {vr}, by which nothing can be searched",
            fix=f"add attributes of VR {', '.join(sorted(CONVERTERS))}",
        )
    return vr
