"""VRs of data elements: the data dictionary (PS3.6) and private ones, by pydicom's tables."""

from __future__ import annotations

from functools import lru_cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, private_dictionary_VR

ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA, PIXEL_DATA = PIXEL_TAGS

# PS3.5 table 7.1-2: VRs with a 16-bit length; all others have 32 bits behind two reserved bytes.
SHORT_VRS = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FL",
        "FD",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])

_STANDARD: dict[int, str] = {tag: str(entry[0]) for tag, entry in DicomDictionary.items()}


@lru_cache(maxsize=4096)
def _repeating(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


def standard_vr(tag: int) -> str:
    """The VR in PS3.6, "UN" if the tag is not there; some are a choice, as "US or SS"."""
    return _STANDARD.get(tag) or _repeating(tag)


def creator_of(tag: str) -> str:
    """The tag of the Private Creator whose block holds a private element, its own of a Private
    Creator; empty for other elements (PS3.5 7.8.1). Tags have eight hexadecimal digits."""
    element = int(tag[4:], 16)
    if int(tag[:4], 16) % 2 == 0 or element < 0x10:
        return ""
    return f"{tag[:4]}00{element if element <= 0xFF else element >> 8:02X}"


@lru_cache(maxsize=4096)
def private_vr(tag: int, creator: str) -> str:
    """The VR that a private element is known to have, "UN" if it is not known."""
    try:
        return str(private_dictionary_VR(tag, creator))
    except KeyError:
        return "UN"
