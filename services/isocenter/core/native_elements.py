"""What the Native DICOM Model is made of (PS3.19 A.1.5 and A.1.6): which elements stand where,
how values are written in them, and how private blocks are known by their creators.

`core.native_model` writes and reads whole documents with it.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isocenter.core.dictionary import LONG_VRS, SHORT_VRS, private_vr, standard_vr
from isocenter.core.errors import Invalid
from isocenter.core.matching import JsonAttributes
from isocenter.core.values import BINARY_VRS, decimal, integer

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

CHILDREN: Mapping[str, frozenset[str]] = {
    "": frozenset({"NativeDicomModel"}),
    "NativeDicomModel": frozenset({"DicomAttribute"}),
    "Item": frozenset({"DicomAttribute"}),
    "DicomAttribute": frozenset({"Value", "Item", "PersonName", "BulkData", "InlineBinary"}),
    "PersonName": frozenset(GROUPS),
    **dict.fromkeys(GROUPS, frozenset(COMPONENTS)),
}
TEXTS = frozenset({"Value", "InlineBinary", *COMPONENTS})
NUMBERED = frozenset({"Value", "Item", "PersonName"})

_CHILD_OF = {"SQ": "Item", "PN": "PersonName", **dict.fromkeys(BINARY_VRS, "InlineBinary")}
_VRS = SHORT_VRS | LONG_VRS
_RANGES: Mapping[str, range] = {
    "SS": range(-(2**15), 2**15), "US": range(2**16),
    "SL": range(-(2**31), 2**31), "UL": range(2**32),
    "SV": range(-(2**63), 2**63), "UV": range(2**64),
}  # fmt: skip
_REALS = {"FL": struct.Struct("<f"), "FD": struct.Struct("<d")}
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_ODD = frozenset("13579BDF")
_BLOCKS = range(0x10, 0x100)  # PS3.5 7.8.1


def creators_of(attributes: JsonAttributes) -> Mapping[str, str]:
    """The creator of each reserved private block; blocks as in the first six digits of their
    tags, `001110`, in order."""
    found: dict[str, str] = {}
    for tag, entry in attributes.items():
        if tag[3] in _ODD and int(tag[4:], 16) in _BLOCKS:
            values = entry.get("Value")
            if values and values[0]:
                found[tag[:4] + tag[6:]] = str(values[0]).strip(" ")
    return dict(sorted(found.items()))


# --- attributes that are being read --------------------------------------------------------------


@dataclass(slots=True)
class OpenAttribute:
    """A DicomAttribute element of which the end has not been read."""

    tag: int
    vr: str
    creator: str  # empty for what is not private, and for private creator elements
    child: str = ""  # what its children are
    values: list[Any] = field(default_factory=list)
    bulk: str = ""  # uri of BulkData

    @classmethod
    def of(cls, given: Mapping[str, str]) -> OpenAttribute:
        """From the XML attributes of the element. Raises `Invalid`."""
        text = given.get("tag", "").strip()
        if not _TAG.fullmatch(text):
            raise Invalid("a DicomAttribute has no tag of eight hexadecimal digits")
        tag = int(text, 16)
        creator = given.get("privateCreator", "").strip(" ") if tag >> 16 & 1 else ""
        vr = given.get("vr", "").strip() or _known_vr(tag, creator)
        attribute = cls(tag, vr, creator)
        if vr not in _VRS:
            raise Invalid(f"attribute {attribute.name} has an unknown VR", fix="see PS3.5 6.2")
        return attribute

    @property
    def name(self) -> str:
        """As error texts name it."""
        return f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"

    def begin(self, child: str, given: Mapping[str, str]) -> None:
        """One of its children begins. Raises `Invalid`."""
        one_more = child in NUMBERED and child == self.child
        allowed = child in ("BulkData", _CHILD_OF.get(self.vr, "Value"))
        if not allowed or (self.child and not one_more):
            raise Invalid(
                f"attribute {self.name} of VR {self.vr} cannot have this {child}",
                fix="see PS3.19 table A.1.5-2",
            )
        self.child = child
        if child in NUMBERED and given.get("number", "").strip() != str(len(self.values) + 1):
            raise Invalid(f"each {child} of attribute {self.name} needs its number, from 1")
        if child == "BulkData":
            self.bulk = given.get("uri", "").strip()
            if not self.bulk:
                raise Invalid(f"BulkData of attribute {self.name} has no uri")

    def add_text(self, text: str) -> None:
        """What stood in a Value or in InlineBinary. Raises `Invalid`."""
        read = _base64 if self.child == "InlineBinary" else _value
        try:
            self.values.append(read(self.vr, text) if text else None)
        except (ValueError, OverflowError) as error:
            raise Invalid(
                f"{self.child} of attribute {self.name} is not of VR {self.vr}"
            ) from error

    def entry(self) -> dict[str, Any]:
        """As it stands in the DICOM JSON Model."""
        if self.bulk:
            return {"vr": self.vr, "BulkDataURI": self.bulk}
        if not self.values or self.values == [None]:
            return {"vr": self.vr}
        if self.child == "InlineBinary":
            return {"vr": self.vr, "InlineBinary": self.values[0]}
        return {"vr": self.vr, "Value": self.values}


def _known_vr(tag: int, creator: str) -> str:
    """By the dictionaries; of a choice the one whose values are bytes, if there is one."""
    found = private_vr(tag, creator) if creator else standard_vr(tag)
    return found if found in _VRS else {"US or SS": "US"}.get(found, "OW")


def _value(vr: str, text: str) -> str | int | float | None:
    """Raises `ValueError`, `OverflowError`."""
    if vr in _RANGES:
        number = int(text)
        if number not in _RANGES[vr]:
            raise ValueError
        return number
    if vr in _REALS:
        real: float = _REALS[vr].unpack(_REALS[vr].pack(float(text)))[0]
        return real if math.isfinite(real) else str(real)
    if vr == "AT":
        if not _TAG.fullmatch(text.strip()):
            raise ValueError
        return text.strip().upper()
    return integer(text) if vr == "IS" else decimal(text) if vr == "DS" else text


def _base64(_: str, text: str) -> str | None:
    """Raises `ValueError`."""
    packed = "".join(text.split())
    try:
        base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise ValueError from error
    return packed or None


# --- data sets that are being read ---------------------------------------------------------------


@dataclass(slots=True)
class OpenDataSet:
    """A data set of which the end has not been read."""

    attributes: JsonAttributes = field(default_factory=dict)
    private: list[OpenAttribute] = field(default_factory=list)  # until all creators are known

    def add(self, attribute: OpenAttribute) -> None:
        """Raises `Invalid` if it is there already."""
        if attribute.creator:
            self.private.append(attribute)
        elif attribute.tag & 0xFFFF:  # no group length (PS3.19 A.1.1)
            self._put(attribute.tag, attribute.entry())

    def close(self) -> JsonAttributes:
        """The attributes, in the order of their tags. Raises `Invalid`."""
        blocks: dict[int, dict[int, str]] = {}  # by group: the creator of each block
        for attribute in self.private:
            group = attribute.tag >> 16
            if group not in blocks:
                known = creators_of(self.attributes).items()
                blocks[group] = {int(at[4:], 16): creator for at, creator in known
                                 if int(at[:4], 16) == group}  # fmt: skip
            block = self._block(attribute, blocks[group])
            self._put(attribute.tag & 0xFFFF00FF | block << 8, attribute.entry())
        return dict(sorted(self.attributes.items()))

    def _put(self, tag: int, entry: dict[str, Any]) -> None:
        key = f"{tag:08X}"
        if key in self.attributes:
            raise Invalid(f"attribute ({key[:4]},{key[4:]}) is there twice in one data set")
        self.attributes[key] = entry

    def _block(self, attribute: OpenAttribute, blocks: dict[int, str]) -> int:
        """The block of a private element: its creator's, one that is reserved now if need be."""
        given = attribute.tag >> 8 & 0xFF  # 0 where the standard is followed
        known = [block for block, creator in blocks.items() if creator == attribute.creator]
        if known:
            return given if given in known else min(known)
        places = [given, *_BLOCKS] if given in _BLOCKS else _BLOCKS
        free = next((block for block in places if block not in blocks), None)
        if free is None:
            raise Invalid(f"attribute {attribute.name} finds no free block in its private group")
        blocks[free] = attribute.creator
        self._put(attribute.tag & 0xFFFF0000 | free, {"vr": "LO", "Value": [attribute.creator]})
        return free
