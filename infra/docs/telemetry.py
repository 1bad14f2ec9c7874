"""Prints docs/telemetry.md: the metrics and spans as the code has them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tables import table

from isocenter.runtime.instruments import METRICS
from isocenter.runtime.spans import SPANS

INTRODUCTION = Path(__file__).with_name("telemetry.md")


def main() -> None:
    """Write the page to standard output."""
    metrics = (
        (
            f"`{row.name}`",
            f"`{row.in_prometheus}`",
            row.kind.value,
            f"`{row.unit}`",
            _names(row.labels),
            row.what,
        )
        for row in METRICS
    )
    spans = ((f"`{row.name}`", row.parent, _names(row.attributes), row.what) for row in SPANS)
    parts = [
        INTRODUCTION.read_text(encoding="utf-8"),
        "## Metrics\n",
        *table(("name", "in Prometheus", "kind", "unit", "labels", "what it tells"), metrics),
        "\n## Spans\n",
        *table(("name", "below", "attributes", "what it is"), spans),
    ]
    sys.stdout.write("\n".join(parts) + "\n")


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
