"""Acknowledged means kept: SIGKILL at random moments in the middle of stores, then counting."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.files import Series, write_series
from support.harness import Isocenter, wait_until
from support.kills import kills
from support.senders import DimseSender, Sender, StowSender, check_kept

KILLS = kills(6, 25)  # over each of the two protocols
SERIES = 6
SLICES = 40


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sender_type", [DimseSender, StowSender])
def test_nothing_acknowledged_is_lost_by_kills_in_the_middle_of_stores(
    tmp_path: Path, sender_type: type[Sender]
) -> None:
    rounds = random.Random(20260102)
    # What was durable and never announced is not to be found by itself while it is counted.
    settings = {"process.workers": 1, "indexing.orphan_seconds": 3600}
    isocenter = Isocenter(tmp_path / "data", settings=settings)
    acknowledged: dict[str, Path] = {}
    all_series: list[Series] = []
    kills_during_work = 0
    try:
        for number in range(KILLS):
            isocenter.start()
            series = [
                write_series(tmp_path / f"sent{number}-{one}", SLICES, rows=64)
                for one in range(SERIES)
            ]
            all_series += series
            sender = sender_type(isocenter, series)
            sender.start()
            wait_until(lambda sender=sender: sender.attempts > 0, 20, "storing began")
            sender.stopping.wait(rounds.uniform(0.01, 0.6))
            kills_during_work += bool(sender.pending)
            isocenter.kill()
            sender.stop()
            acknowledged |= sender.acknowledged
        isocenter.start()
        check_kept(isocenter, all_series, acknowledged)
    finally:
        isocenter.kill()
    assert kills_during_work >= KILLS // 2
    assert len(acknowledged) > KILLS
