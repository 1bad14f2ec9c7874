"""Deletions and SIGKILL: what was acknowledged is hidden, what is hidden comes back whole."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import httpx
import pytest

from support.clients import dcmtk
from support.files import Series, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.kills import kills

KILLS = kills(4, 12)
SLICES = 25


class Deleter(threading.Thread):
    """Deletes studies one after the other, and remembers which deletions were acknowledged."""

    def __init__(self, isocenter: Isocenter, pending: list[Series]) -> None:
        super().__init__(daemon=True)
        self.isocenter = isocenter
        self.pending = pending
        self.begun = threading.Event()
        self.acknowledged: list[Series] = []

    def run(self) -> None:
        while self.pending:
            series = self.pending[0]
            self.begun.set()
            try:
                url = f"{self.isocenter.dicomweb}/studies/{series.study}"
                answer = httpx.delete(url, timeout=60)
            except httpx.HTTPError:
                return  # killed
            assert answer.status_code in (200, 404), answer.text
            self.pending.pop(0)
            self.acknowledged.append(series)


def _retrieved(isocenter: Isocenter, study: str) -> set[str]:
    answer = httpx.get(f"{isocenter.dicomweb}/studies/{study}/metadata", timeout=60)
    if answer.status_code == 404:
        return set()
    return {one["00080018"]["Value"][0] for one in answer.json()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_in_the_middle_of_deletions_leave_no_half_truth(tmp_path: Path) -> None:
    rounds = random.Random(20261126)
    settings = {"process.workers": 1, "indexing.orphan_seconds": 3600}
    isocenter = Isocenter(tmp_path / "data", settings=settings)
    studies = [write_series(tmp_path / f"sent{n}", SLICES) for n in range(4 * KILLS)]
    interrupted = 0
    try:
        isocenter.start()
        for series in studies:
            assert dcmtk("storescu", isocenter, "+sd", series.folder).code == 0
        pending, gone = list(studies), []
        for _ in range(KILLS):
            deleter = Deleter(isocenter, pending)
            deleter.start()
            deleter.begun.wait(20)
            deleter.join(rounds.uniform(0.01, 0.25))
            interrupted += deleter.is_alive()
            isocenter.kill()
            deleter.join(30)
            gone += deleter.acknowledged
            isocenter.start()
        for series in gone:
            assert find_instances(isocenter, series.study) == []
            assert _retrieved(isocenter, series.study) == set()
        for series in studies:
            wait_until(
                lambda study=series.study: (
                    set(find_instances(isocenter, study)) == _retrieved(isocenter, study)
                ),
                60,
                "what is found is what is retrieved",
            )
        Deleter(isocenter, pending).run()
        assert isocenter.search("/instances?limit=1") == []
        _all_come_back(isocenter, studies)
    finally:
        isocenter.kill()
    assert interrupted >= KILLS // 2


def _all_come_back(isocenter: Isocenter, studies: list[Series]) -> None:
    listed = httpx.get(f"{isocenter.http_url}/api/deletions", timeout=60).json()["deletions"]
    for one in listed:
        url = f"{isocenter.http_url}/api/deletions/{one['id']}/restore"
        assert httpx.post(url, timeout=60).status_code == 200
    for series in studies:
        wait_until(
            lambda series=series: set(find_instances(isocenter, series.study)) == set(series.files),
            60,
            "the study is back",
        )
    kept = isocenter.objects.contents()
    by_uid = {key.split("/")[4]: content for key, content in kept.items()}
    for series in studies:
        for uid, path in series.files.items():
            assert by_uid[uid].endswith(data_set_bytes(path))
