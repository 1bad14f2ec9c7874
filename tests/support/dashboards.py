"""The panels of all dashboards, as they are in the chart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "charts/isocenter/files/dashboards"


@dataclass(frozen=True)
class Shown:
    """One panel."""

    dashboard: str
    row: str
    title: str
    description: str
    unit: str
    expressions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.row}: {self.title}"


def _panels() -> Iterator[Shown]:
    for path in sorted(FOLDER.glob("*.json")):
        row = ""
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] == "row":
                row = panel["title"]
                continue
            yield Shown(
                path.stem,
                row,
                panel["title"],
                panel["description"],
                panel["fieldConfig"]["defaults"]["unit"],
                tuple(target["expr"] for target in panel["targets"]),
            )


PANELS = tuple(_panels())
