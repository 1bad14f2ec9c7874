"""Frame range keys of PS3.4 Y.3.2."""

from __future__ import annotations

import pytest

from isocenter.core.errors import Invalid, IsocenterError, NotFound
from isocenter.core.frame_selection import FrameRange, Kind

TIMES = [0.0, 0.5, 1.0, 1.5, 2.0]


def frames(kind: Kind, *values: float, count: int = 5) -> tuple[int, ...]:
    return FrameRange(kind, values).frames(count, lambda: TIMES)


@pytest.mark.parametrize(
    ("kind", "values", "count", "expected"),
    [
        (Kind.SIMPLE, (1,), 5, (1,)),
        (Kind.SIMPLE, (2, 3, 5), 5, (2, 3, 5)),
        (Kind.SIMPLE, (2, 9), 5, (2,)),
        (Kind.CALCULATED, (1, 5, 1), 5, (1, 2, 3, 4, 5)),
        (Kind.CALCULATED, (1, 4, 2), 5, (1, 3)),
        (Kind.CALCULATED, (2, 9, 3, 12, 0xFFFFFFFF, 5), 25, (2, 5, 8, 12, 17, 22)),  # of the note
        (Kind.CALCULATED, (2, 3, 1, 7, 8, 1), 5, (2, 3)),  # a range behind the end is ignored
        (Kind.TIME, (0.5, 1.5), 5, (2, 3, 4)),
        (Kind.TIME, (0.6, 60), 5, (3, 4, 5)),
    ],
)
def test_the_frames_that_are_asked_for(kind, values, count, expected) -> None:
    assert frames(kind, *values, count=count) == expected


@pytest.mark.parametrize(
    ("kind", "values", "error"),
    [
        (Kind.SIMPLE, (0, 1), Invalid),
        (Kind.SIMPLE, (2, 2), Invalid),
        (Kind.SIMPLE, (3, 2), Invalid),
        (Kind.SIMPLE, (1.5,), Invalid),
        (Kind.SIMPLE, (float("inf"),), Invalid),
        (Kind.SIMPLE, (6, 7), NotFound),
        (Kind.CALCULATED, (1, 2), Invalid),
        (Kind.CALCULATED, (1, 3, 0), Invalid),
        (Kind.CALCULATED, (3, 1, 1), Invalid),
        (Kind.CALCULATED, (0, 3, 1), Invalid),
        (Kind.CALCULATED, (1, 3, 1, 3, 5, 1), Invalid),
        (Kind.CALCULATED, (1, 0xFFFFFFFF, 1, 3, 5, 1), Invalid),  # only the last has no end
        (Kind.CALCULATED, (6, 8, 1), NotFound),
        (Kind.TIME, (1.0,), Invalid),
        (Kind.TIME, (2.0, 1.0), Invalid),
        (Kind.TIME, (7.0, 8.0), NotFound),
        (Kind.TIME, (float("nan"), 8.0), NotFound),
    ],
)
def test_what_is_no_frame_range_is_told_from_frames_that_are_not_there(
    kind, values, error: type[IsocenterError]
) -> None:
    with pytest.raises(error):
        frames(kind, *values)


def test_a_range_without_an_end_costs_no_more_than_there_are_frames() -> None:
    assert len(frames(Kind.CALCULATED, 1, 0xFFFFFFFF, 1, count=1000)) == 1000
