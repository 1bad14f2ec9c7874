"""What a part of ours costs: rows of ours against the same program without that part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import machine, rows
from bench.report import Result, compare
from bench.rows import Bench
from bench.server import Server
from isocenter.runtime.access_windows import WINDOW_SECONDS

ROUNDS = 5
# Of rows in which accesses are counted: turns outlast the windows they are counted in, so that what
# begins and ends with a window weighs the same on both sides.
WINDOW = int(1.5 * WINDOW_SECONDS)
WINDOW_ROUNDS = 3

Sides = tuple[Server, Server]  # with it, and without
Measure = Callable[[Bench, Sides], Sequence[Result]]


def cost(
    name: str, unit: str, measure: rows.Measure, *, without: str, rounds: int = ROUNDS
) -> Measure:
    """A row of `rows` on both sides in turns, after one that warms up. A turn begins when nobody
    computes: what a side does later does not slow the other. `without`: what the other is called.
    """

    def run(bench: Bench, sides: Sides) -> Sequence[Result]:
        found: tuple[list[float], list[float]] = ([], [])
        for turn in range(3 if bench.quick else rounds + 1):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                machine.wait_idle()
                found[side].append(measure(bench, sides[side], turn))
        return [compare(name, unit, found[0][1:], found[1][1:], without, less_is_better=False)]

    return run
