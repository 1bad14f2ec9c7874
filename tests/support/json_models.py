"""pydicom's DICOM JSON Model of a file, and ours made comparable with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom


def theirs_of(path: Path) -> dict[str, Any]:
    """pydicom's, element by element: it gives up on a number that is none."""
    data_set = pydicom.dcmread(path, stop_before_pixels=True)
    answer = {}
    for tag in list(data_set.keys()):
        try:
            answer[f"{tag:08X}"] = data_set[tag].to_json_dict(None, 1024)
        except ValueError:
            answer[f"{tag:08X}"] = {"vr": data_set[tag].VR, "Value": [str(data_set[tag].value)]}
    return answer


def with_our_differences(attributes: dict[str, Any]) -> dict[str, Any]:
    """pydicom's answer with the differences that `core.json_model` lists."""
    answer = {}
    for key, original in attributes.items():
        if key.endswith("0000"):
            continue
        entry = dict(original)
        if entry["vr"] == "SQ":
            entry["Value"] = [with_our_differences(item) for item in entry["Value"]]
        elif key == "00080005" and "Value" in entry:
            entry["Value"] = ["ISO_IR 192"]
        elif entry["vr"] == "PN" and "Value" in entry:
            entry["Value"] = [{k: v for k, v in name.items() if v} for name in entry["Value"]]
        elif "Value" in entry:
            entry["Value"] = [None if value == "" else value for value in entry["Value"]]
        if entry.get("Value") == []:
            del entry["Value"]
        answer[key] = entry
    return answer


def comparable(
    ours: dict[str, Any], theirs: dict[str, Any], base: str, path: str = ""
) -> dict[str, Any]:
    """Ours, with bulk data put back in place; their addresses begin with `base`."""
    answer = {}
    for key, original in ours.items():
        entry = original
        other = theirs.get(key, {})
        if "BulkDataURI" in entry:
            assert entry["BulkDataURI"] == f"{base}{path}{key}"
            entry = {"vr": entry["vr"], "InlineBinary": other.get("InlineBinary")}
        elif entry["vr"] == "SQ" and "Value" in entry:
            items = other.get("Value", [])
            assert len(items) == len(entry["Value"])
            entry = {
                "vr": "SQ",
                "Value": [
                    comparable(a, b, base, f"{path}{key}/{i}/")
                    for i, (a, b) in enumerate(zip(entry["Value"], items, strict=True))
                ],
            }
        answer[key] = entry
    return answer
