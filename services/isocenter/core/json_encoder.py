"""The DICOM JSON Model (PS3.18 F.2) as a data set in Explicit VR Little Endian: what
`core.json_model` reads, the other way round.

Text is written in UTF-8 (PS3.18 F.2.1), which Specific Character Set then says. Group lengths are
left out (PS3.5 7.2), elements stand in the order of their tags, sequences get defined lengths.
What the model does not allow is an error, never a guess.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydicom.valuerep import format_number_as_ds

from isocenter.core.dictionary import LONG_VRS, SHORT_VRS, UNDEFINED, standard_vr
from isocenter.core.elements import EXPLICIT, head, head_of_item
from isocenter.core.errors import Unprocessable
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.matching import JsonAttributes
from isocenter.core.values import BINARY_VRS

CHARSET = "00080005"
_UTF_8 = "ISO_IR 192"
_CHARSET_TAG = 0x00080005
_FIRST_GROUP, _LAST_GROUP = 0x0004, 0xFFFD
_TAG = re.compile(r"[0-9A-F]{8}")
_VRS = SHORT_VRS | LONG_VRS
_FORMS = frozenset({"Value", "BulkDataURI", "InlineBinary"})
# PS3.18 F.2.7: of these, values may be elsewhere.
_BULK_VRS = BINARY_VRS | {
    "DS", "FL", "FD", "IS", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "US", "UT", "UV",
}  # fmt: skip
_TEXT_PADDED = frozenset({"DS", "IS", "LT", "ST", "UC", "UT"})


class Range(NamedTuple):
    """Bytes that are somewhere else, where whoever asked for the encoding knows."""

    offset: int
    length: int


Piece = bytes | Range


@dataclass(frozen=True, slots=True)
class Bulk:
    """The value behind a BulkDataURI."""

    vr: str
    pieces: Sequence[Piece]  # of even length in all
    encapsulated: bool = False  # the pieces are items, the delimiter included

    @property
    def length(self) -> int:
        """As it stands before the value."""
        return UNDEFINED if self.encapsulated else size_of(self.pieces)


Resolve = Callable[[str, str, str], Bulk]  # of the path of an element, its VR and its URI


def size_of(pieces: Sequence[Piece]) -> int:
    """Bytes that the pieces stand for."""
    return sum(one.length if isinstance(one, Range) else len(one) for one in pieces)


def encode(
    attributes: JsonAttributes, resolve: Resolve, max_depth: int = MAX_DEPTH
) -> Sequence[Piece]:
    """The data set, with values that are elsewhere as `resolve` gives them. Paths are those of
    `json_model.to_json`. Raises `Unprocessable`, and what `resolve` raises."""
    writer = _Writer(resolve, max_depth)
    elements = writer.elements(attributes, "", 0)
    given = attributes.get(CHARSET, {}).get("Value")
    if given or writer.beyond_ascii:
        elements[_CHARSET_TAG] = [_element(_CHARSET_TAG, "CS", _UTF_8.encode())]
    return _joined([piece for tag in sorted(elements) for piece in elements[tag]])


class _Writer:
    """One encoding."""

    def __init__(self, resolve: Resolve, max_depth: int) -> None:
        self._resolve = resolve
        self._max_depth = max_depth
        self.beyond_ascii = False

    def elements(
        self, attributes: JsonAttributes, path: str, depth: int
    ) -> dict[int, Sequence[Piece]]:
        """The elements of a data set or item, by tag."""
        if depth > self._max_depth:
            raise Unprocessable(
                f"sequences are nested more than {self._max_depth} deep",
                fix="nest them less deep",
            )
        if not isinstance(attributes, dict):
            raise Unprocessable("a data set or item is no JSON object", fix="see PS3.18 F.2.2")
        found: dict[int, Sequence[Piece]] = {}
        for key, entry in attributes.items():
            tag = _tag(key)
            if tag & 0xFFFF == 0 or (depth and tag == _CHARSET_TAG):
                continue  # group lengths; items have the character set of the data set
            found[tag] = self._element(tag, key, _checked(tag, key, entry), path, depth)
        return found

    def _element(
        self, tag: int, key: str, entry: Mapping[str, Any], path: str, depth: int
    ) -> Sequence[Piece]:
        vr: str = entry["vr"]
        if "BulkDataURI" in entry:
            uri = entry["BulkDataURI"]
            if vr not in _BULK_VRS or not isinstance(uri, str):
                raise _wrong(key, vr, "has a BulkDataURI that is no text, or a VR that cannot")
            bulk = self._resolve(path + key, vr, uri)
            return [head(EXPLICIT, tag, bulk.vr, bulk.length), *bulk.pieces]
        if "InlineBinary" in entry:
            return [_element(tag, vr, _inline(key, vr, entry["InlineBinary"]))]
        values = entry.get("Value", [])
        if not isinstance(values, list):
            raise _wrong(key, vr, "has a Value that is no array")
        if vr == "SQ":
            return self._sequence(tag, key, values, path, depth)
        if values in ([], [None]):
            return [_element(tag, vr, b"")]
        write = _WRITERS.get(vr)
        if write is None:
            raise _wrong(key, vr, "has a Value; binary values are InlineBinary or BulkDataURI")
        try:
            value = write(values)
        except (ValueError, TypeError, OverflowError, struct.error, AttributeError) as error:
            raise _wrong(key, vr, "has a value that does not fit its VR") from error
        self.beyond_ascii = self.beyond_ascii or (vr in _UNICODE and not value.isascii())
        return [_element(tag, vr, value)]

    def _sequence(
        self, tag: int, key: str, values: list[Any], path: str, depth: int
    ) -> Sequence[Piece]:
        content: list[Piece] = []
        for number, item in enumerate(values):
            inner = self.elements(item, f"{path}{key}/{number}/", depth + 1)
            pieces = [piece for one in sorted(inner) for piece in inner[one]]
            content += (head_of_item(EXPLICIT, size_of(pieces)), *pieces)
        # Nested sequences would hold as many pieces as elements.
        return [head(EXPLICIT, tag, "SQ", size_of(content)), *_joined(content)]


def _tag(key: object) -> int:
    if not isinstance(key, str) or not _TAG.fullmatch(key):
        raise Unprocessable(
            "an attribute's name is no tag", fix="write tags as 00100020 (PS3.18 F.2.2)"
        )
    tag = int(key, 16)
    if not _FIRST_GROUP <= tag >> 16 <= _LAST_GROUP:
        raise Unprocessable(f"({key[:4]},{key[4:]}) does not belong to a data set")
    return tag


def _checked(tag: int, key: str, entry: object) -> Mapping[str, Any]:
    """An attribute object that has one form of value and a VR that its tag may have."""
    if not isinstance(entry, dict):
        raise Unprocessable(f"attribute {key} is no JSON object", fix="see PS3.18 F.2.2")
    vr = entry.get("vr")
    if not isinstance(vr, str) or vr not in _VRS:
        raise Unprocessable(f"attribute {key} has no VR that is known", fix="see PS3.5 6.2")
    if len(_FORMS & entry.keys()) > 1:
        raise _wrong(key, vr, "has more than one of Value, BulkDataURI and InlineBinary")
    known = "UN" if tag >> 16 & 1 else standard_vr(tag)
    if vr != "UN" and known != "UN" and vr not in known.split(" or "):
        raise _wrong(key, vr, f"has another VR in PS3.6, {known}")
    return entry


def _wrong(key: str, vr: str, what: str) -> Unprocessable:
    return Unprocessable(f"attribute {key} with VR {vr} {what}", fix="see PS3.18 F.2")


def _element(tag: int, vr: str, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if vr in _WRITERS and vr != "UI" else b"\0"
    return head(EXPLICIT, tag, vr, len(value)) + value


def padding(vr: str, length: int) -> bytes:
    """What makes a bulk value of this length even (PS3.5 7.1.1)."""
    if length % 2 == 0:
        return b""
    return b" " if vr in _TEXT_PADDED else b"\0"


def _inline(key: str, vr: str, text: object) -> bytes:
    if vr not in BINARY_VRS or not isinstance(text, str):
        raise _wrong(key, vr, "has InlineBinary that is no text, or a VR that is not binary")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(key, vr, "has InlineBinary that is not Base64") from error


def _joined(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """The same with neighbouring bytes in one."""
    joined: list[Piece] = []
    held: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, Range):
            joined += (b"".join(held), piece)
            held = []
        else:
            held.append(piece)
    joined.append(b"".join(held))
    return [piece for piece in joined if piece]


# --- values: all of an element, by its VR; what does not fit raises -------------------------------

Write = Callable[[list[Any]], bytes]


def _part(text: object) -> str:
    """One of several texts."""
    if text is None:
        return ""
    if not isinstance(text, str) or "\\" in text:
        raise ValueError
    return text


def _texts(values: list[Any]) -> bytes:
    return "\\".join(map(_part, values)).encode()


def _strings(values: list[Any]) -> bytes:
    return "\\".join(map(_part, values)).encode("ascii")


def _one(values: list[Any]) -> str:
    (text,) = values
    if not isinstance(text, str):
        raise TypeError
    return text


def _text(values: list[Any]) -> bytes:
    return _one(values).encode()


def _uri(values: list[Any]) -> bytes:
    return _one(values).encode("ascii")


def _names(values: list[Any]) -> bytes:
    return "\\".join(map(_name, values)).encode()


def _name(value: dict[str, Any] | None) -> str:
    groups = [_part((value or {}).get(kind)) for kind in ("Alphabetic", "Ideographic", "Phonetic")]
    if any("=" in group for group in groups):
        raise ValueError
    return "=".join(groups).rstrip("=")


_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,20}\s*")
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_MAX_DS = 16  # characters (PS3.5 6.2)


def _integer(value: object) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ValueError
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _integer_string(value: object) -> str:
    if value is None:
        return ""
    number = _integer(value)
    struct.pack("<i", number)  # PS3.5 6.2: 32 bits
    return str(number)


def _integer_strings(values: list[Any]) -> bytes:
    return "\\".join(map(_integer_string, values)).encode()


def _decimal_string(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError
        return value if len(value) <= _MAX_DS else str(format_number_as_ds(float(value)))
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    text = str(value)
    return (
        text
        if len(text) <= _MAX_DS and _DECIMAL.fullmatch(text)
        else str(format_number_as_ds(float(value)))
    )


def _decimal_strings(values: list[Any]) -> bytes:
    return "\\".join(map(_decimal_string, values)).encode("ascii")


def _numbers(code: str) -> Write:
    def write(values: list[Any]) -> bytes:
        return struct.pack(f"<{len(values)}{code}", *map(_integer, values))

    return write


def _real(value: object) -> float:
    """`NaN` and infinities are texts, since JSON has no numbers for them."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _reals(code: str) -> Write:
    def write(values: list[Any]) -> bytes:
        return struct.pack(f"<{len(values)}{code}", *map(_real, values))

    return write


def _tags(values: list[Any]) -> bytes:
    if not all(
        isinstance(value, str) and re.fullmatch("[0-9A-Fa-f]{8}", value) for value in values
    ):
        raise ValueError
    return b"".join(struct.pack("<HH", int(one[:4], 16), int(one[4:], 16)) for one in values)


_UNICODE = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_WRITERS: Mapping[str, Write] = {
    **dict.fromkeys(("LO", "SH", "UC"), _texts),
    **dict.fromkeys(("LT", "ST", "UT"), _text),
    **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "TM", "UI"), _strings),
    "AT": _tags,
    "DS": _decimal_strings,
    "FD": _reals("d"),
    "FL": _reals("f"),
    "IS": _integer_strings,
    "PN": _names,
    "SL": _numbers("i"),
    "SS": _numbers("h"),
    "SV": _numbers("q"),
    "UL": _numbers("I"),
    "UR": _uri,
    "US": _numbers("H"),
    "UV": _numbers("Q"),
}
