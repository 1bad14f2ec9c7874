"""Writes the dashboards: `generate.py FOLDER` makes a file of each; without a folder, the chart's.

The same sources give the same files, byte for byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from capacity import CAPACITY
from consumers import AUDIT, INDEXING
from edges import CALLS, GATEWAY, WEB
from model import Variable
from overview import OVERVIEW
from roles import INGEST, QUERY, STORAGE, TRANSCODING
from traffic import TRAFFIC

from isocenter.runtime.instruments import PROCESS_READY

CHART = Path(__file__).parents[2] / "charts/isocenter/files/dashboards"
ROLES = (GATEWAY, WEB, INGEST, STORAGE, QUERY, TRANSCODING, INDEXING, AUDIT)
DASHBOARDS = (OVERVIEW, TRAFFIC, CAPACITY, *ROLES, CALLS)
CHOICES = tuple(Variable(label, PROCESS_READY.in_prometheus) for label in ("namespace", "site"))


def main() -> None:
    """Write all of them, and remove what is none any more."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHART
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for one in DASHBOARDS:
        text = json.dumps(one.json(CHOICES), indent=1, ensure_ascii=False)
        (folder / f"{one.name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
