"""Prints docs/monitoring.md: the dashboards and the alerts that the chart has."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from tables import table

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("monitoring.md")
RULES = ROOT / "charts/isocenter/files/rules/isocenter.yaml"
DASHBOARDS = "charts/isocenter/files/dashboards"
FIRST = "overview"


def main() -> None:
    """Write the page to standard output."""
    text = TEXT.read_text(encoding="utf-8")
    tables = {"{dashboards}": _dashboards(), "{alerts}": _alerts()}
    for place, rows in tables.items():
        text = text.replace(place, "\n".join(rows))
    sys.stdout.write(text)


def _dashboards() -> Iterator[str]:
    paths = sorted((ROOT / DASHBOARDS).glob("*.json"), key=_place)
    pages = ((path, json.loads(path.read_text(encoding="utf-8"))) for path in paths)
    rows = (
        (f"[{page['title']}](../{DASHBOARDS}/{path.name})", page["description"])
        for path, page in pages
    )
    return table(("dashboard", "what for"), rows)


def _place(path: Path) -> tuple[bool, str]:
    return path.stem != FIRST, path.stem


def _alerts() -> Iterator[str]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = (rule for group in groups for rule in group["rules"] if "alert" in rule)
    rows = (
        (
            f"[{rule['alert']}](runbooks/{rule['alert']}.md)",
            rule["labels"]["severity"],
            rule.get("for", "at once"),
            _meaning(rule["alert"]),
        )
        for rule in rules
    )
    return table(("alert", "severity", "after", "it means"), rows)


def _meaning(alert: str) -> str:
    """The first paragraph of its runbook."""
    _, meaning, *_ = (ROOT / f"docs/runbooks/{alert}.md").read_text(encoding="utf-8").split("\n\n")
    return " ".join(meaning.split())


if __name__ == "__main__":
    main()
