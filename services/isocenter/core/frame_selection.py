"""Which frames a Composite Instance Root Retrieve at the FRAME level asks for (PS3.4 Y.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from isocenter.core.errors import Invalid, NotFound, Unsupported


class Kind(Enum):
    """The frame range keys, by their tags."""

    SIMPLE = "00081161"  # Simple Frame List
    CALCULATED = "00081162"  # Calculated Frame List
    TIME = "00081163"  # Time Range


class NotTimed(Unsupported):
    """Nothing in the instance says when its frames were taken."""


# Seconds of each frame after Content Time (0008,0033).
Times = Callable[[], Sequence[float]]


@dataclass(frozen=True, slots=True)
class FrameRange:
    """One frame range key of a request, with its values."""

    kind: Kind
    values: tuple[float, ...]

    def frames(self, count: int, times: Times) -> tuple[int, ...]:
        """The numbers, from 1, of those of `count` frames that are asked for, in their order.
        Raises `Invalid` for values that are no such key, `NotFound` if there is none of these
        frames, and what `times` raises."""
        frames = self._between(times) if self.kind is Kind.TIME else self._listed(count)
        if not frames:
            raise NotFound(f"none of these frames is there, the instance has {count}")
        return tuple(frames)

    def _listed(self, count: int) -> list[int]:
        if not all(value.is_integer() for value in map(float, self.values)):
            raise Invalid("a list of frames must be of whole numbers")
        numbers = [int(value) for value in self.values]
        if self.kind is Kind.CALCULATED:
            return _calculated(numbers, count)
        if numbers[0] < 1 or any(b <= a for a, b in pairwise(numbers)):
            raise Invalid("Simple Frame List must be frame numbers in rising order")
        return [number for number in numbers if number <= count]

    def _between(self, times: Times) -> list[int]:
        if len(self.values) != 2 or self.values[1] < self.values[0]:
            raise Invalid("Time Range must be a start and an end, in seconds")
        start, end = self.values
        return [number for number, time in enumerate(times(), 1) if start <= time <= end]


def _calculated(numbers: Sequence[int], count: int) -> list[int]:
    if len(numbers) % 3:
        raise Invalid("Calculated Frame List must be triples of numbers")
    frames: list[int] = []
    last = 0  # the end of the triple before
    for first, end, step in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        if first <= last or end < first or step < 1:
            raise Invalid("Calculated Frame List must be rising triples first, last, step")
        frames += range(first, min(end, count) + 1, step)
        last = end
    return frames
