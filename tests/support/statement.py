"""docs/conformance.md as its reader takes it: the tables below a heading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/conformance.md"

Row = Mapping[str, str]  # by the head of the column


def rows(heading: str) -> list[Row]:
    """The rows of all tables below a heading, until the next one."""
    sections = re.split(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    found: list[Row] = []
    head: list[str] = []
    for line in texts[heading].splitlines():
        cells = [_plain(cell.strip()) for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells
        elif not set(line) <= set("|- "):
            found.append(dict(zip(head, cells, strict=True)))
    return found


def _plain(cell: str) -> str:
    """Without the marks of code, where all of it is code."""
    return re.sub("^`([^`]*)`$", r"\1", cell)


def transfer_syntaxes() -> dict[str, frozenset[str]]:
    """The lists of transfer syntaxes by name: `messages`, `objects`."""
    stated = rows("Transfer syntaxes")
    names = {name for row in stated for name in row["in the lists"].split(", ")}
    return {
        name: frozenset(row["UID"] for row in stated if name in row["in the lists"].split(", "))
        for name in names
    }


def accepted() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Abstract syntax -> the transfer syntaxes that are accepted, and our roles."""
    lists = transfer_syntaxes()
    return {
        row["UID"]: (lists[row["transfer syntaxes"]], frozenset(row["our role"].split(", ")))
        for heading in ("Presentation contexts", "Storage SOP classes")
        for row in rows(heading)
    }


def statuses(service: str) -> frozenset[int]:
    """All statuses that responses of a service may have."""
    return frozenset(int(row["status"], 16) for row in rows(service) if "status" in row)


def rejection(why: str) -> tuple[int, int, int]:
    """Result, source and reason with which an association is rejected."""
    (row,) = (row for row in rows("Association acceptance") if row.get("why") == why)
    result, source = (
        int(row[column].rpartition("(")[2].strip(")")) for column in ("result", "source")
    )
    return result, source, int(row["reason"])
