"""Tables of PS3.18, as the tests' own copy (tests/data/dicomweb-tables.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydicom.datadict import tag_for_keyword

_TABLES = json.loads((Path(__file__).parents[1] / "data" / "dicomweb-tables.json").read_text())
FRAMES: Mapping[str, str] = {
    uid: media for uid, media in _TABLES["frames"].items() if uid != "source"
}


def payload(level: str) -> Mapping[str, str]:
    """Tag -> type of a level's attributes in answers to searches."""
    return {
        f"{tag_for_keyword(name):08X}": type_ for name, type_ in _TABLES["search"][level].items()
    }
