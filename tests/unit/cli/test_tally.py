"""What a verb sums up at its end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from isocenter.cli.progress import MAX_EXAMPLES, Tally
from isocenter.core.errors import Unavailable


def _summed(*refusals: tuple[str, str], sizes: tuple[int, ...] = ()) -> tuple[Tally, str]:
    text = io.StringIO()
    with Tally(Console(file=text, soft_wrap=True), "sent", "instances", 10) as tally:
        for size in sizes:
            tally.add(size)
        for what, reason in refusals:
            tally.refuse(what, reason)
    return tally, text.getvalue()


def test_what_was_done_is_counted_with_its_size_and_rate() -> None:
    tally, text = _summed(sizes=(1_000_000, 2_000_000))
    assert (tally.done, tally.bytes, tally.refused) == (2, 3_000_000, 0)
    assert "sent: 2 instances, 3.0 MB in " in text
    assert "MB/s" in text
    assert "refused" not in text


def test_refusals_are_grouped_by_reason_with_one_example_each() -> None:
    tally, text = _summed(("a.dcm", "broken"), ("b.dcm", "broken"), ("c.dcm", "no UID"))
    assert tally.refused == 3
    assert "refused: 3" in text
    assert "2 x broken" in text
    assert "for example a.dcm" in text
    assert "b.dcm" not in text
    assert "1 x no UID" in text


def test_the_list_of_reasons_is_bounded_and_the_most_frequent_come_first() -> None:
    reasons = [(f"{n}.dcm", f"reason {n}") for n in range(MAX_EXAMPLES + 5)]
    _, text = _summed(*reasons, ("again.dcm", "reason 7"))
    assert text.count(" x reason") == MAX_EXAMPLES
    assert "and 5 more reasons" in text
    assert text.index("2 x reason 7") < text.index("1 x reason 0")


def test_square_brackets_in_names_are_shown_as_they_are() -> None:
    _, text = _summed(("[red]/x.dcm", "expected [1.2.3]"))
    assert "[red]/x.dcm" in text
    assert "expected [1.2.3]" in text


def test_work_that_an_error_ends_is_summed_up_all_the_same() -> None:
    text = io.StringIO()
    tally = Tally(Console(file=text, soft_wrap=True), "sent", "instances")
    tally.add(20_000)
    with pytest.raises(Unavailable), tally:
        raise Unavailable("the peer is gone")
    assert "sent: 1 instances, 20.0 kB in " in text.getvalue()
    assert "ended before all was done" in text.getvalue()


def test_work_that_an_error_ends_at_its_beginning_has_no_summary() -> None:
    text = io.StringIO()
    with pytest.raises(Unavailable), Tally(Console(file=text), "sent", "instances"):
        raise Unavailable("there is no peer")
    assert text.getvalue() == ""


def test_without_a_terminal_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = io.StringIO()
    clock = iter(range(0, 1000, 4))  # seconds; every look at the clock takes four
    monkeypatch.setattr("isocenter.cli.progress.time.monotonic", lambda: next(clock))
    with Tally(Console(file=text, soft_wrap=True), "verified", "objects", 5) as tally:
        for _ in range(5):
            tally.add()
        told = text.getvalue().splitlines()
    assert told
    assert all(line.startswith("verified: ") and " of 5 objects so far" in line for line in told)
