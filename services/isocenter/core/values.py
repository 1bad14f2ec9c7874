"""Values of elements as they stand in the DICOM JSON Model (PS3.18 F.2.3), by VR.

Every converter takes the raw value, the character set and the byte order, and gives the list of
values; an empty list for an empty value. One that does not fit raises `struct.error`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from isocenter.core.charset import Charset

Converter = Callable[[bytes, Charset, str], list[Any]]

BINARY_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])


def _values(parts: list[str]) -> list[Any]:
    """Empty values among several are null; nothing but one empty value is no value."""
    if len(parts) == 1:
        return parts if parts[0] else []
    return [part or None for part in parts]


def _text_values(raw: bytes, charset: Charset, _: str) -> list[Any]:
    text = charset.decode(raw)
    if "\\" not in text:
        text = text.rstrip("\0 ")
        return [text] if text else []
    return _values([part.rstrip("\0 ") for part in text.split("\\")])


def _single_text(raw: bytes, charset: Charset, _: str) -> list[Any]:
    text = charset.decode(raw).rstrip("\0 ")
    return [text] if text else []


def _person_names(raw: bytes, charset: Charset, _: str) -> list[Any]:
    text = charset.decode(raw.rstrip(b"\0 "))
    if not text:
        return []
    return [_person_name(name) for name in text.split("\\")]


def _person_name(name: str) -> dict[str, str] | None:
    groups = name.split("=")
    kinds = ("Alphabetic", "Ideographic", "Phonetic")
    return {kind: group for kind, group in zip(kinds, groups, strict=False) if group} or None


def _strings(raw: bytes, _: Charset, __: str) -> list[Any]:
    text = raw.decode("iso8859-1").rstrip(" \0")
    if "\\" not in text:
        return [text] if text else []
    return _values(text.split("\\"))


def _ae_titles(raw: bytes, _: Charset, __: str) -> list[Any]:
    return _values([part.strip() for part in raw.decode("iso8859-1").strip("\0").split("\\")])


def _uri(raw: bytes, _: Charset, __: str) -> list[Any]:
    text = raw.decode("iso8859-1").rstrip()
    return [text] if text else []


def integer(text: str) -> int | float | str | None:
    """One value of an IS; a text that is no number stays one."""
    try:
        number: int | float | str | None = int(text)
    except ValueError:
        number = decimal(text)
        if isinstance(number, float) and number.is_integer():
            number = int(number)
    # JSON readers have 64 bits at most; an IS has 32 (PS3.5 6.2).
    return text.strip() if isinstance(number, int) and abs(number) >> 63 else number


def decimal(text: str) -> float | str | None:
    """One value of a DS; a text that is no number stays one."""
    try:
        number = float(text)
    except ValueError:
        return text.strip() or None
    return number if math.isfinite(number) else text.strip()


def _integers(raw: bytes, _: Charset, __: str) -> list[Any]:
    text = raw.decode("iso8859-1").rstrip(" \0")
    return [integer(part) for part in text.split("\\")] if text else []


def _decimals(raw: bytes, _: Charset, __: str) -> list[Any]:
    text = raw.decode("iso8859-1").strip().rstrip(" \0")
    return [decimal(part) for part in text.split("\\")] if text else []


def _numbers(code: str, size: int) -> Converter:
    def convert(raw: bytes, _: Charset, order: str) -> list[Any]:
        return list(struct.unpack(f"{order}{len(raw) // size}{code}", raw))

    return convert


def _reals(code: str, size: int) -> Converter:
    def convert(raw: bytes, _: Charset, order: str) -> list[Any]:
        numbers = struct.unpack(f"{order}{len(raw) // size}{code}", raw)
        return [number if math.isfinite(number) else str(number) for number in numbers]

    return convert


def _tags(raw: bytes, _: Charset, order: str) -> list[Any]:
    numbers = struct.unpack(f"{order}{len(raw) // 4 * 2}H", raw[: len(raw) // 4 * 4])
    return [f"{g:04X}{e:04X}" for g, e in zip(numbers[::2], numbers[1::2], strict=True)]


CONVERTERS: Mapping[str, Converter] = {
    **dict.fromkeys(("LO", "SH", "UC"), _text_values),
    **dict.fromkeys(("LT", "ST", "UT"), _single_text),
    **dict.fromkeys(("AS", "CS", "DA", "DT", "TM", "UI"), _strings),
    "AE": _ae_titles,
    "AT": _tags,
    "DS": _decimals,
    "FD": _reals("d", 8),
    "FL": _reals("f", 4),
    "IS": _integers,
    "PN": _person_names,
    "SL": _numbers("i", 4),
    "SS": _numbers("h", 2),
    "SV": _numbers("q", 8),
    "UL": _numbers("I", 4),
    "UR": _uri,
    "US": _numbers("H", 2),
    "UV": _numbers("Q", 8),
}
