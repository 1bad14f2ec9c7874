"""Matching keys as the audit trail tells them: `PatientName=MUELLER*&StudyDate=20260101-`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pydicom.datadict import keyword_for_tag

from isocenter.core.matching import Key

# What would break the line, or steer a terminal that shows it.
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")


@lru_cache(maxsize=4096)
def name_of(tag: str) -> str:
    """An attribute by its keyword, or by its tag where it has none. Tags have eight hexadecimal
    digits."""
    return keyword_for_tag(int(tag, 16)) or tag


def text_of(keys: Iterable[Key]) -> str:
    """The keys that narrow a search, on one line. Several values have backslashes between them; a
    key of the items of a sequence is `sequence.attribute`."""
    text = "&".join(_told("", keys))
    return text if text.isprintable() else text.translate(_CONTROLS)


def _told(above: str, keys: Iterable[Key]) -> list[str]:
    told = []
    for key in keys:
        if key.items:
            told += _told(f"{above}{name_of(key.tag)}.", key.items)
        elif any(key.values):
            told.append(f"{above}{name_of(key.tag)}=" + "\\".join(key.values))
    return told
