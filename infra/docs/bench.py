"""Puts the newest measurements into README.md: `python infra/docs/bench.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LATEST = ROOT / "bench/results/latest.json"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def main() -> None:
    """Rewrite the section between the marks."""
    page = ROOT / "README.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_table(text: str) -> str:
    """The page with the table of the newest measurements."""
    section = f"{BEGIN}\n{table()}{END}"
    return re.sub(f"{BEGIN}.*?{END}", lambda _: section, text, flags=re.DOTALL)


def table() -> str:
    """One line a row."""
    rows = json.loads(LATEST.read_text(encoding="utf-8"))
    lines = ["| work | unit | Isocenter | peer | peer is | ratio |", "|---|---|---:|---:|---|---:|"]
    lines += [
        f"| `{row['name']}` | {row['unit']} | {row['ours']:.4g} | {row['peer']:.4g} "
        f"| {row['peer_name']} | {row['ratio']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
