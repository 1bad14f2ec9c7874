"""Writes docs/dicom.md, on the standard output: infra/docs/dicom.md with what the code says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tables import filled

from isocenter.core.attributes import BY_TAG, ORDERS
from isocenter.core.matching import MULTIPLE_VRS
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.dimse.tls import PROFILE


def main() -> None:
    """Write the page to the standard output."""
    sys.stdout.write(filled(Path(__file__).with_name("dicom.md"), PARTS))


PARTS: Mapping[str, Callable[[], str]] = {
    "storage count": lambda: str(len(STORAGE_SOP_CLASSES)),
    "tls profile": lambda: f"{PROFILE.section}, *{PROFILE.name}*",
    "orders": lambda: ", ".join(f"`{BY_TAG[tag].keyword}`" for tag in ORDERS),
    "multiple": lambda: ", ".join(sorted(MULTIPLE_VRS)),
}

if __name__ == "__main__":
    main()
