"""Character repertoires (PS3.5 6.1, PS3.3 C.12.1.1.2) by pydicom's tables, never failing.

An unknown Specific Character Set is read as ISO 8859-1, bytes that are not of the character set
become U+FFFD: what came is kept in the object, and the rest of the text stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import (
    convert_encodings,
    decode_bytes,
    default_encoding,
    encode_string,
    python_encoding,
)
from pydicom.valuerep import TEXT_VR_DELIMS

_ESCAPE = 0x1B
_GB_2312 = "\x1b$)A"  # ISO 2022 IR 58
LATIN_9 = "ISO_IR 203"  # younger than pydicom's table
_MISSPELLED = re.compile(r"ISO[ -]IR.[0-9]{1,3}|ISO.2022.IR.[0-9]{1,3}")


class Charset:
    """The character sets of a data set or item."""

    __slots__ = ("_encodings", "_first")

    def __init__(self, encodings: Sequence[str]) -> None:
        self._encodings = list(encodings)
        self._first = self._encodings[0]

    @staticmethod
    def of(values: Sequence[str | None]) -> Charset:
        """The one of the values of (0008,0005)."""
        return _charset(tuple(value or "" for value in values))

    def decode(self, raw: bytes) -> str:
        """Text of LO, LT, PN, SH, ST, UC and UT, with escape sequences resolved."""
        if _ESCAPE in raw:
            # pydicom takes Python's codec for one that resolves this escape sequence.
            return decode_bytes(raw, self._encodings, TEXT_VR_DELIMS).replace(_GB_2312, "")
        if raw.isascii():
            return raw.decode("ascii")
        return raw.decode(self._first, "replace")

    def encode(self, text: str) -> bytes:
        """The bytes that `decode` makes this text of. Raises `UnicodeError` if there are none."""
        if text.isascii():
            return text.encode("ascii")  # all repertoires have it in G0 (PS3.5 6.1.2.1)
        if len(self._encodings) == 1:
            raw = text.encode(self._first)
        else:
            raw = encode_string(text, self._encodings)
        if self.decode(raw) != text:
            raise UnicodeError("these characters are not in the character set")
        return raw


def is_character_set(value: str) -> bool:
    """Whether this is one value, or several with backslashes between, of (0008,0005)."""
    return all(term in python_encoding for term in value.split("\\"))


DEFAULT_CHARSET = Charset([default_encoding])


@lru_cache(maxsize=256)
def _charset(values: tuple[str, ...]) -> Charset:
    if not any(values):
        return DEFAULT_CHARSET
    return Charset(convert_encodings([_defined_term(value.strip()) for value in values]))


def _defined_term(value: str) -> str:
    """The value, if it is a defined term or a misspelling of one that pydicom corrects. Other
    values are not handed on: pydicom would take the name of any codec of Python's."""
    if value == LATIN_9:
        return "iso8859_15"
    if value in python_encoding or _MISSPELLED.fullmatch(value):
        return value
    return "ISO_IR 100"
