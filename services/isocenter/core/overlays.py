"""Overlays: corrections of an object's header, kept beside it and applied on the way out.

An overlay says what attributes of the data set are; the object stays as it came, so their earlier
values need not be kept twice. Applying it makes a new header in the same transfer syntax, with an
item of the Original Attributes Sequence (PS3.3 C.12.1.1.9) that holds the earlier values, byte for
byte. What follows the header is passed through. Deflated data sets have no overlays.

The blob is JSON, the same for the same corrections whenever they are made: the time is in its key.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from isocenter.core.charset import Charset
from isocenter.core.dictionary import UNDEFINED
from isocenter.core.elements import (
    Element,
    Structure,
    Truncated,
    broken,
    head,
    head_of_item,
    skip,
    structure_of,
)
from isocenter.core.errors import Corrupted
from isocenter.core.identity import ObjectName, OverlayName
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.matching import JsonAttributes
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import lookup

CHARACTER_SET = 0x00080005
PATIENT_ID = 0x00100020
ORIGINAL_ATTRIBUTES = 0x04000561
_MODIFIED_ATTRIBUTES = 0x04000550
_MODIFIED_AT = 0x04000562
_MODIFYING_SYSTEM = 0x04000563
_SOURCE_OF_PREVIOUS_VALUES = 0x04000564
_REASON = 0x04000565

_COERCE = "COERCE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DELIMITER = 8  # bytes of what ends a sequence of undefined length
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True, slots=True)
class Overlay:
    """Corrections of one object."""

    attributes: JsonAttributes  # what they are now, DICOM JSON Model; texts only
    header_length: int  # of the object's header, bytes
    source: str  # who sent the earlier values (0400,0564)
    system: str  # who corrected them (0400,0563)
    key: str = ""  # under which it is kept

    @property
    def content(self) -> bytes:
        """The blob."""
        fields = {
            "attributes": self.attributes,
            "header_length": self.header_length,
            "source": self.source,
            "system": self.system,
        }
        return json.dumps(
            fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ).encode()

    def kept(self, name: ObjectName, made: int) -> Overlay:
        """It, as it is kept beside its object."""
        return replace(self, key=OverlayName(name, made, self.digest).key)

    @property
    def digest(self) -> str:
        """SHA-256 of the blob."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def made(self) -> datetime:
        """When it was kept, UTC."""
        name = OverlayName.from_key(self.key)
        return _EPOCH + timedelta(microseconds=name.made if name else 0)

    @property
    def tags(self) -> tuple[int, ...]:
        """Of the attributes, in their order."""
        return tuple(sorted(int(key, 16) for key in self.attributes))

    @property
    def patient_id(self) -> str | None:
        """Patient ID as corrected, None if it is not."""
        entry = self.attributes.get(f"{PATIENT_ID:08X}")
        return None if entry is None else str(entry.get("Value", [""])[0])


def decode_overlay(key: str, content: bytes) -> Overlay:
    """The overlay of a blob. Raises `Corrupted`."""
    try:
        said = json.loads(content)
        fields = {name: said[name] for name in ("attributes", "header_length", "source", "system")}
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupted(f"{key} is no overlay", fix="run `isocenter verify`") from error
    return Overlay(**fields, key=key)


def microseconds(moment: datetime) -> int:
    """A UTC time as keys of overlays have it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


# --- headers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element of the top level is in a header."""

    element: Element
    begin: int
    end: int


def places(header: Buffer, transfer_syntax: str) -> list[Place]:
    """The elements of a header, in their order. Raises `Unprocessable`."""
    structure = structure_of(lookup(transfer_syntax))
    found: list[Place] = []
    position, end = 0, len(header)
    try:
        while position < end:
            element = structure.element(header, position, end)
            behind = skip(header, element, end, structure, MAX_DEPTH)
            found.append(Place(element, position, behind))
            position = behind
    except Truncated as error:
        raise broken("its header is cut off", position) from error
    return found


def value_of(header: Buffer, place: Place) -> bytes:
    """The value of an element as it stands."""
    _, _, length, value = place.element
    return bytes(header[value : place.end - (_DELIMITER if length == UNDEFINED else 0)])


def charset_of(header: Buffer, found: Mapping[int, Place]) -> Charset:
    """The character set that a header says it has."""
    place = found.get(CHARACTER_SET)
    return charset_named("" if place is None else value_of(header, place).decode("iso8859-1"))


def charset_named(value: str) -> Charset:
    """The character set of a value of (0008,0005)."""
    return Charset.of(value.strip("\0 ").split("\\"))


def apply(header: bytes, transfer_syntax: str, overlay: Overlay) -> bytes:
    """The header with the corrections in it. Raises `Unprocessable`, `Corrupted`."""
    structure = structure_of(lookup(transfer_syntax))
    elements = places(header, transfer_syntax)
    found = {place.element[0]: place for place in elements}
    try:
        new = _corrected(header, found, structure, overlay)
        new[ORIGINAL_ATTRIBUTES] = _original_attributes(header, found, structure, overlay)
    except (UnicodeError, KeyError, TypeError, ValueError) as error:
        raise Corrupted(
            "an overlay does not fit its object", fix="send the object again"
        ) from error
    return _merged(header, elements, new)


def _merged(header: bytes, elements: Sequence[Place], new: Mapping[int, bytes]) -> bytes:
    """The elements, with the new ones in place of those that were there."""
    # Group Length (gggg,0000) is retired and may be left out (PS3.5 7.2); here it would be wrong.
    stale = {tag & 0xFFFF0000 for tag in new}
    pieces: list[Buffer] = []
    waiting = deque(sorted(new))
    for place in elements:
        tag = place.element[0]
        while waiting and waiting[0] < tag:
            pieces.append(new[waiting.popleft()])
        if tag not in new and tag not in stale:
            pieces.append(memoryview(header)[place.begin : place.end])
    pieces += (new[tag] for tag in waiting)
    return b"".join(pieces)


def _corrected(
    header: bytes, found: Mapping[int, Place], structure: Structure, overlay: Overlay
) -> dict[int, bytes]:
    """The elements of the corrected attributes."""
    named = overlay.attributes.get(f"{CHARACTER_SET:08X}")
    charset = charset_named("\\".join(named["Value"])) if named else charset_of(header, found)
    return {
        int(key, 16): _element(structure, int(key, 16), entry["vr"], encoded(entry, charset))
        for key, entry in overlay.attributes.items()
    }


def encoded(entry: Mapping[str, Any], charset: Charset) -> bytes:
    """The value of a text attribute of the DICOM JSON Model. Raises `UnicodeError`."""
    return b"\\".join(charset.encode(_text(value)) for value in entry.get("Value", ()))


def _text(value: str | Mapping[str, str] | None) -> str:
    if isinstance(value, Mapping):
        return "=".join(value.get(group, "") for group in _GROUPS).rstrip("=")
    return value or ""


def _element(structure: Structure, tag: int, vr: str, value: bytes) -> bytes:
    padded = value + b" " * (len(value) % 2)
    return head(structure, tag, vr, len(padded)) + padded


def _original_attributes(
    header: bytes, found: Mapping[int, Place], structure: Structure, overlay: Overlay
) -> bytes:
    """The sequence that the object has, with one item more."""
    earlier = b"".join(
        header[found[tag].begin : found[tag].end]
        if tag in found
        else head(structure, tag, overlay.attributes[f"{tag:08X}"]["vr"], 0)
        for tag in overlay.tags
    )
    modified = _sequence(structure, _MODIFIED_ATTRIBUTES, _item(structure, earlier))
    made = overlay.made.strftime("%Y%m%d%H%M%S.%f+0000")
    texts = (
        (_MODIFIED_AT, "DT", made),
        (_MODIFYING_SYSTEM, "LO", overlay.system),
        (_SOURCE_OF_PREVIOUS_VALUES, "LO", overlay.source),
        (_REASON, "CS", _COERCE),
    )
    rest = (_element(structure, tag, vr, text.encode("ascii")) for tag, vr, text in texts)
    item = _item(structure, b"".join((modified, *rest)))
    place = found.get(ORIGINAL_ATTRIBUTES)
    there = b"" if place is None else value_of(header, place)
    return _sequence(structure, ORIGINAL_ATTRIBUTES, there + item)


def _item(structure: Structure, content: bytes) -> bytes:
    return head_of_item(structure, len(content)) + content


def _sequence(structure: Structure, tag: int, content: bytes) -> bytes:
    return head(structure, tag, "SQ", len(content)) + content


# --- data sets -----------------------------------------------------------------------------------


async def corrected(
    data_set: AsyncIterable[Buffer], transfer_syntax: str, overlay: Overlay
) -> AsyncIterator[Buffer]:
    """A data set with the corrections in its header. Raises `Unprocessable`, `Corrupted`."""
    begun = bytearray()
    over = False
    async for chunk in data_set:
        if over:
            yield chunk
            continue
        begun += chunk
        if len(begun) >= overlay.header_length:
            over = True
            with memoryview(begun) as view:
                header = bytes(view[: overlay.header_length])
                rest = bytes(view[overlay.header_length :])
            begun = bytearray()
            yield apply(header, transfer_syntax, overlay)
            if rest:
                yield rest
    if not over:
        raise Corrupted("an object is shorter than its overlay says", fix="run `isocenter verify`")
