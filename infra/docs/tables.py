"""Tables of Markdown, and templates that they are put into, for the pages made from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_MARK = re.compile(r"<!-- ([a-z][a-z -]*) -->")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table_text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as one text."""
    return "\n".join(table(head, rows))


def filled(template: Path, parts: Mapping[str, Callable[[], str]]) -> str:
    """A template with its marks, `<!-- name -->`, replaced. A mark that no part fills, and a part
    that no mark asks for, end the program."""
    text = template.read_text(encoding="utf-8")
    if differing := {*_MARK.findall(text)} ^ {*parts}:
        raise SystemExit(f"{template}: marks and parts differ: {', '.join(sorted(differing))}")
    origin = f"infra/docs/{template.name} and the code"
    note = f"<!-- Written by `make docs` from {origin}; do not edit. -->\n\n"
    return note + _MARK.sub(lambda mark: parts[mark[1]](), text)


def hexadecimal(number: int) -> str:
    """A status, as the pages write it."""
    return f"0x{number:04X}"
