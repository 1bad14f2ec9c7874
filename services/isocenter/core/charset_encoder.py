"""Text in the character sets of a Specific Character Set (0008,0005), code extensions by ISO 2022
included (PS3.5 6.1.2, PS3.3 C.12.1.1.2). `core.charset` reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

# At these the character set of the first value is active again (PS3.5 6.1.2.5.3).
_DELIMITERS = re.compile(r"([\\\r\n\f\t])")
_NAME_DELIMITERS = re.compile(r"([\\^=\r\n\f\t])")
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})

_TO_ASCII, _TO_ROMAJI = b"\x1b(B", b"\x1b(J"


@dataclass(frozen=True, slots=True)
class _Set:
    """One character set, and how it is invoked."""

    encode: Callable[[str], bytes]  # raises UnicodeEncodeError
    escape: bytes = b""
    instead_of_ascii: bool = False  # in G0, where ASCII is otherwise


def _codec(name: str) -> Callable[[str], bytes]:
    return lambda text: text.encode(name)


def _halfwidth(text: str) -> bytes:
    """JIS X 0201: ASCII, but for backslash and tilde, and halfwidth katakana."""
    if any(c in "\\~" or not ("\uff61" <= c <= "\uff9f" or c.isascii()) for c in text):
        raise UnicodeEncodeError("shift_jis", text, 0, len(text), "not in JIS X 0201")
    return text.encode("shift_jis")


def _double_byte(codec: str, escape: bytes) -> Callable[[str], bytes]:
    """What a codec of Python's puts between this escape sequence and the one back to ASCII."""

    def encode(text: str) -> bytes:
        encoded = text.encode(codec)
        inner = encoded.removeprefix(escape).removesuffix(_TO_ASCII)
        if len(inner) + len(escape) + len(_TO_ASCII) != len(encoded) or b"\x1b" in inner:
            raise UnicodeEncodeError(codec, text, 0, len(text), "not in this character set")
        return inner

    return encode


# Numbers of ISO-IR registrations; the right half of an 8-bit table, in G1.
_SINGLE_BYTE: Mapping[str, tuple[str, bytes]] = {
    "100": ("latin_1", b"\x1b-A"),
    "101": ("iso8859_2", b"\x1b-B"),
    "109": ("iso8859_3", b"\x1b-C"),
    "110": ("iso8859_4", b"\x1b-D"),
    "144": ("iso8859_5", b"\x1b-L"),
    "127": ("iso8859_6", b"\x1b-G"),
    "126": ("iso8859_7", b"\x1b-F"),
    "138": ("iso8859_8", b"\x1b-H"),
    "148": ("iso8859_9", b"\x1b-M"),
    "203": ("iso8859_15", b"\x1b-b"),
    "166": ("tis_620", b"\x1b-T"),
}
_ASCII = _Set(_codec("ascii"), _TO_ASCII)
_WITHOUT_EXTENSIONS: Mapping[str, _Set] = {
    "": _ASCII,
    "ISO_IR 6": _ASCII,
    "ISO_IR 13": _Set(_halfwidth),
    **{f"ISO_IR {number}": _Set(_codec(name)) for number, (name, _) in _SINGLE_BYTE.items()},
    "ISO_IR 192": _Set(_codec("utf_8")),
    "GB18030": _Set(_codec("gb18030")),
    "GBK": _Set(_codec("gbk")),
}
_EXTENSIONS: Mapping[str, _Set] = {
    "": _ASCII,
    "ISO 2022 IR 6": _ASCII,
    "ISO 2022 IR 13": _Set(_halfwidth, b"\x1b)I"),
    **{
        f"ISO 2022 IR {number}": _Set(_codec(name), escape)
        for number, (name, escape) in _SINGLE_BYTE.items()
    },
}
_DOUBLE_BYTE: Mapping[str, _Set] = {
    "ISO 2022 IR 87": _Set(_double_byte("iso2022_jp", b"\x1b$B"), b"\x1b$B", True),
    "ISO 2022 IR 159": _Set(_double_byte("iso2022_jp_2", b"\x1b$(D"), b"\x1b$(D", True),
    "ISO 2022 IR 149": _Set(_codec("euc_kr"), b"\x1b$)C"),
    "ISO 2022 IR 58": _Set(_codec("gb2312"), b"\x1b$)A"),
}
_ALL_EXTENSIONS = {**_EXTENSIONS, **_DOUBLE_BYTE}


class Encoder:
    """Writes text in the character sets of one value of (0008,0005)."""

    def __init__(self, sets: Sequence[_Set], ascii_escape: bytes = _TO_ASCII) -> None:
        self._sets = sets
        self._ascii_escape = ascii_escape

    @staticmethod
    def of(values: Sequence[str]) -> Encoder | None:
        """The one of the values of (0008,0005); None if one of them is no defined term, or they
        do not go together."""
        return _encoder(tuple(value.strip() for value in values))

    def encode(self, text: str, vr: str) -> bytes:
        """The values of an element, backslashes between them. Raises `UnicodeEncodeError` for
        characters that the character sets, or VRs of the default repertoire, do not have."""
        if text.isascii():
            return text.encode("ascii")
        if vr not in _TEXT_VRS:
            # An object's value may break its VR; what it holds then is told as it was read.
            return text.encode("iso8859_1", "replace")
        if len(self._sets) == 1:
            return self._sets[0].encode(text)
        parts = (_NAME_DELIMITERS if vr == "PN" else _DELIMITERS).split(text)
        return b"".join(map(self._part, parts))

    def _part(self, text: str) -> bytes:
        """Text without delimiters, from the first character set back to it."""
        first = active = self._sets[0]
        encoded = bytearray()
        for character in text:
            try:
                encoded += active.encode(character)
            except UnicodeEncodeError:
                code, following = self._set_of(character)
                encoded += self._leave(active) + self._enter(active, following) + code
                active = following
        if active is not first:
            encoded += self._leave(active)
            encoded += first.escape if first.escape != _TO_ASCII else b""
        return bytes(encoded)

    def _set_of(self, character: str) -> tuple[bytes, _Set]:
        for one in self._sets:
            try:
                return one.encode(character), one
            except UnicodeEncodeError:
                continue
        raise UnicodeEncodeError("ISO 2022", character, 0, 1, "not in the character sets")

    def _leave(self, active: _Set) -> bytes:
        return self._ascii_escape if active.instead_of_ascii else b""

    def _enter(self, active: _Set, following: _Set) -> bytes:
        """ASCII is in G0 already, but after a set that takes its place."""
        if following.escape == _TO_ASCII:
            return b"" if active.instead_of_ascii else _TO_ASCII
        return following.escape


@lru_cache(maxsize=256)
def _encoder(values: tuple[str, ...]) -> Encoder | None:
    if not values:
        return None
    if len(values) == 1:
        if double := _DOUBLE_BYTE.get(values[0]):
            return Encoder((_ASCII, double))  # never a first value, though often met as one
        single = _WITHOUT_EXTENSIONS.get(values[0]) or _EXTENSIONS.get(values[0])
        return Encoder((single,)) if single else None
    first = values[0].replace("ISO_IR", "ISO 2022 IR")
    sets = [_ALL_EXTENSIONS.get(value) for value in (first, *values[1:])]
    known = [one for one in sets if one is not None]
    if len(known) != len(sets):
        return None
    return Encoder(known, _TO_ROMAJI if first == "ISO 2022 IR 13" else _TO_ASCII)
