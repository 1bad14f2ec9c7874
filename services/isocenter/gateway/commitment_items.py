"""The data sets of Storage Commitment (PS3.4 tables J.3-1 and J.3-2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isocenter.core.events import SopReference
from isocenter.core.matching import JsonAttributes

WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"  # J.3.5
REQUEST_STORAGE_COMMITMENT = 1  # action type (J.3.2.1)
ALL_COMMITTED, FAILURES_EXIST = 1, 2  # event types (J.3.3.1)

TRANSACTION_UID = "00081195"
REFERENCED_SOPS = "00081199"
FAILED_SOPS = "00081198"
FAILURE_REASON = "00081197"
SOP_CLASS = "00081150"
SOP_INSTANCE = "00081155"


def reference(one: SopReference) -> JsonAttributes:
    """An item that names an instance."""
    return {
        SOP_CLASS: {"vr": "UI", "Value": [one.sop_class]},
        SOP_INSTANCE: {"vr": "UI", "Value": [one.instance]},
    }


def sequence(items: Sequence[JsonAttributes]) -> dict[str, Any]:
    """A sequence of these items."""
    return {"vr": "SQ", "Value": list(items)}


def items_of(attributes: JsonAttributes, tag: str) -> Sequence[JsonAttributes]:
    """The items of a sequence; none if it is absent or empty."""
    items: Sequence[JsonAttributes] = attributes.get(tag, {}).get("Value") or ()
    return items
