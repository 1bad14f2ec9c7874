"""What is kept of what others send is bounded in size, not in number alone."""

from __future__ import annotations

import pytest

from isocenter.core.cached import MAX_LENGTH, cached
from isocenter.core.errors import Invalid


def test_short_texts_are_kept_and_long_ones_are_not() -> None:
    calls: list[str] = []

    @cached(8)
    def length(text: str, more: tuple[str, ...] = ()) -> int:
        calls.append(text)
        return len(text) + len(more)

    short, long = "a" * MAX_LENGTH, "a" * (MAX_LENGTH + 1)
    assert [length(short), length(short), length(long), length(long)] == [512, 512, 513, 513]
    assert length("b", ("c",) * MAX_LENGTH) == length("b", ("c",) * MAX_LENGTH)
    assert calls == [short, long, long, "b", "b"]
    assert length.__name__ == "length"


def test_errors_are_not_kept() -> None:
    calls: list[str] = []

    @cached(8)
    def refused(text: str) -> str:
        calls.append(text)
        raise Invalid("no")

    for _ in range(2):
        with pytest.raises(Invalid):
            refused("a")
    assert len(calls) == 2
