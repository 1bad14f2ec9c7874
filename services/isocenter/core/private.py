"""Private elements (PS3.5 7.8), which data sets have in whatever block is reserved for them there.

Where they are compared across data sets they have a name without a block, as PS3.6 writes it, and
their creator's: `0029xx10 ACME 1.0`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from isocenter.core.charset import Charset
from isocenter.core.dictionary import creator_of
from isocenter.core.matching import JsonAttributes, joined
from isocenter.core.values import CONVERTERS

_UTF_8, _LATIN_1 = Charset.of(["ISO_IR 192"]), Charset.of(["ISO_IR 100"])

Blocks = Mapping[tuple[str, str], list[str]]  # group and creator -> the blocks it has


def unblocked(tag: str, creator: str) -> str:
    """The name of a private element that a data set has under this tag."""
    return f"{tag[:4]}xx{tag[6:]} {creator}"


def in_block(name: str, creator_tag: str) -> str:
    """The tag of a named private element in the block that a Private Creator element reserves."""
    return f"{name[:4]}{creator_tag[6:]}{name[6:8]}"


def blocks_in(attributes: JsonAttributes) -> Blocks:
    """The blocks that are reserved in a data set."""
    found: dict[tuple[str, str], list[str]] = {}
    for tag, element in attributes.items():
        if tag[4:6] == "00" and creator_of(tag) == tag:
            found.setdefault((tag[:4], joined(element).strip()), []).append(tag)
    return found


def element_in(attributes: JsonAttributes, blocks: Blocks, name: str) -> dict[str, Any] | None:
    """A named private element of a data set."""
    creators = blocks.get((name[:4], name[9:]), ())
    found = (attributes.get(in_block(name, creator)) for creator in creators)
    return next((element for element in found if element is not None), None)


def free_block(group: str, taken: Iterable[str]) -> str:
    """A Private Creator tag of a group that is none of those taken."""
    used = set(taken)
    return next(tag for n in range(0x10, 0x100) if (tag := f"{group}00{n:02X}") not in used)


def values_as(vr: str, element: Mapping[str, Any]) -> object:
    """The values of an element in the DICOM JSON Model that is known to have a VR; of one that came
    as UN its bytes are read as that VR (PS3.5 6.2.2).

    The model does not tell in which character set these are: UTF-8, or else ISO 8859-1.
    """
    binary = element.get("InlineBinary")
    if element.get("vr") != "UN" or not isinstance(binary, str) or vr not in CONVERTERS:
        return element.get("Value")
    try:
        raw = base64.b64decode(binary, validate=True)
        return CONVERTERS[vr](raw, _charset_of(raw), "<")
    except (ValueError, struct.error):
        return None


def _charset_of(raw: bytes) -> Charset:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return _LATIN_1
    return _UTF_8
