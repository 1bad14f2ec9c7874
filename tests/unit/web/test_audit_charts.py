"""Figures of the audit pages: what is drawn is what was counted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.audit import Tally
from isocenter.web.audit_charts import (
    HEIGHT,
    LEVELS,
    activity,
    calendar,
    shares,
    strips,
    week,
)

FIRST = datetime(2026, 11, 20, tzinfo=UTC)
LAST = FIRST + timedelta(days=7) - timedelta(hours=1)


def tally(hours: int, count: int, *more: str) -> Tally:
    at = FIRST + timedelta(hours=hours)
    return Tally((at.strftime("%Y-%m-%dT%H"), *more), count)


def test_bars_are_as_high_as_their_hours_are_full() -> None:
    drawn = activity([tally(0, 10, "success"), tally(0, 5, "failure"), tally(0, 5, "minor-failure"),
                      tally(30, 1, "success")], FIRST, LAST)  # fmt: skip
    assert (drawn.width, drawn.peak, drawn.fullest, drawn.total) == (168, 20, FIRST, 21)
    bar = drawn.bars[0]
    assert (bar.well, bar.ill, bar.ill_top + bar.ill_height) == (10, 10, HEIGHT)
    assert bar.well_top + bar.well_height == bar.ill_top
    assert [(one.day, one.well, one.ill) for one in drawn.days[:3]] == [
        (date(2026, 11, 20), 10, 10), (date(2026, 11, 21), 1, 0), (date(2026, 11, 22), 0, 0),
    ]  # fmt: skip
    assert len(drawn.days) == 7


def test_without_records_there_is_nothing_to_draw() -> None:
    drawn = activity([], FIRST, LAST)
    assert (drawn.peak, drawn.fullest, drawn.total) == (0, None, 0)
    assert all(bar.well_height == bar.ill_height == 0 for bar in drawn.bars)
    assert (shares([]), strips({}, 24), calendar([], FIRST.date(), LAST.date(), 8)) == ([], [], [])


_COUNTS = st.lists(
    st.tuples(st.integers(0, 167), st.integers(1, 10**7), st.sampled_from(["success", "failure"])),
    unique_by=lambda one: (one[0], one[2]),
)


@given(_COUNTS)
def test_every_bar_is_within_the_plot_and_can_be_seen(made: list[tuple[int, int, str]]) -> None:
    drawn = activity([tally(*one) for one in made], FIRST, LAST)
    assert drawn.total == sum(count for _, count, _ in made)
    for bar in drawn.bars:
        assert 0 <= bar.well_top <= bar.ill_top <= HEIGHT
        assert bool(bar.well) == (bar.well_height >= 2)
        assert bool(bar.ill) == (bar.ill_height >= 2)


@given(st.dictionaries(st.text(), st.dictionaries(st.integers(0, 23), st.integers(0, 10**9))))
def test_shades_follow_the_counts(rows: dict[str, dict[int, int]]) -> None:
    cells = [cell for row in strips(rows, 24) for cell in row.cells]
    most = max((cell.count for cell in cells), default=0)
    for cell in cells:
        assert (cell.level == 0) == (cell.count == 0)
        assert cell.level <= LEVELS
        assert cell.count < most or cell.level in (0, LEVELS)


def test_a_week_has_a_row_for_each_day_from_monday_on() -> None:
    rows = week([tally(9, 4), tally(24 * 3 + 9, 2), tally(24 * 7 + 9, 1)])  # Fri, Mon, Fri
    assert [row.total for row in rows] == [2, 0, 0, 0, 5, 0, 0]
    assert rows[4].cells[9].count == 5


def test_a_calendar_has_those_with_most_records() -> None:
    rows = calendar(
        [tally(1, 3, "eva"), tally(30, 1, "eva"), tally(2, 9, "ida"), tally(3, 1, "joe")],
        FIRST.date(), LAST.date(), 2,
    )  # fmt: skip
    assert [(row.name, row.total, len(row.cells)) for row in rows] == [("ida", 9, 7), ("eva", 4, 7)]
    assert [cell.count for cell in rows[1].cells[:3]] == [3, 1, 0]


def test_shares_are_in_the_order_of_their_size() -> None:
    found = shares([Tally(("a",), 1), Tally(("b",), 8), Tally(("c",), 4)], 2)
    assert [(one.name, one.count, one.width) for one in found] == [("b", 8, 100.0), ("c", 4, 50.0)]
