"""The list of OWASP ASVS 5.0.0 in docs: each requirement of levels 1 and 2 is there once, and
answered."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/asvs.md"

# How many requirements of levels 1 and 2 each section has; those of level 3 stand behind them.
SECTIONS = {
    1: (2, 9, 11, 3, 2), 2: (3, 3, 4, 1), 3: (0, 2, 4, 6, 5, 0, 2), 4: (3, 1, 2, 4),
    5: (1, 3, 2, 3), 6: (3, 12, 4, 4, 5, 3, 0, 4), 7: (3, 4, 2, 5, 2, 2), 8: (2, 3, 1, 1),
    9: (3, 4), 10: (2, 2, 4, 11, 5, 2, 3), 11: (2, 3, 3, 4, 1, 1, 0), 12: (3, 2, 4),
    13: (1, 5, 2, 5), 14: (2, 4, 3), 15: (3, 3, 7, 0), 16: (1, 5, 4, 3, 3), 17: (1, 4, 2),
}  # fmt: skip
_ROW = re.compile(r"^\| (V[\d.]+) \| ([12]) \| (.+?) \| (.+) \|$", re.MULTILINE)


def test_every_requirement_is_answered() -> None:
    wanted = [
        f"V{chapter}.{section}.{number}"
        for chapter, counts in SECTIONS.items()
        for section, count in enumerate(counts, 1)
        for number in range(1, count + 1)
    ]
    rows = _ROW.findall(PAGE.read_text())
    assert [number for number, *_ in rows] == wanted
    assert len(wanted) == 253
    assert sum(level == "1" for _, level, *_ in rows) == 70


def test_every_answer_is_a_proof_a_reason_or_a_page() -> None:
    """Tests that are named exist: `test_docs` looks."""
    told = ("`tests/", "does not apply: ", "open", "](", "lint rule", "see V", "`secrets`")
    answers = {number: answer for number, _, _, answer in _ROW.findall(PAGE.read_text())}
    assert [number for number, answer in answers.items() if not any(t in answer for t in told)] == [
        # What others do, or what is plain.
        "V6.2.7", "V6.2.10", "V6.8.4", "V10.3.4", "V12.1.2", "V12.2.2",
    ]  # fmt: skip
