"""Six clients store one study at the same time, while it is searched without pause."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
from pydicom.uid import generate_uid

from support.clients import dcmtk
from support.files import Series, count_instances, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.requests import stow

CLIENTS, OWN, SHARED = 6, 30, 12


def _store_by_web(isocenter: Isocenter, files: Sequence[Path]) -> None:
    for path in files:
        answer = stow(isocenter, path)
        assert answer.status_code == 200, answer.text


def _store_by_dimse(isocenter: Isocenter, files: Sequence[Path]) -> None:
    outcome = dcmtk("storescu", isocenter, *files)
    assert outcome.code == 0, outcome.text


def _searched(isocenter: Isocenter, study: str, done: Event) -> list[int]:
    """The counts that a search told, one after the other."""
    told: list[int] = []
    url = f"{isocenter.dicomweb}/studies"
    with httpx.Client(timeout=60) as client:
        while not done.is_set():
            answer = client.get(url, params={"StudyInstanceUID": study})
            assert answer.status_code == 200, answer.text
            counts = [one["00201208"]["Value"][0] for one in answer.json()]
            listed = client.get(f"{url}/{study}/instances", params={"limit": 1000})
            assert listed.status_code == 200, listed.text
            uids = [one["00080018"]["Value"][0] for one in listed.json()]
            assert len(set(uids)) == len(uids)
            told += counts
    return told


def test_counts_end_exact_when_six_clients_store_one_study(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    study = generate_uid()
    every: list[Series] = [
        write_series(tmp_path / f"series-{n}", OWN, study=study, patient_id="P6")
        for n in range(CLIENTS)
    ]
    shared = write_series(tmp_path / "shared", SHARED, study=study, patient_id="P6")
    done = Event()
    stores = (_store_by_dimse, _store_by_web)
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        searching = threads.submit(_searched, isocenter, study, done)
        try:
            storing = [
                threads.submit(
                    stores[number % 2],
                    isocenter,
                    [*series.files.values(), *shared.files.values()],
                )
                for number, series in enumerate(every)
            ]
            for one in storing:
                one.result()
            total = CLIENTS * OWN + SHARED
            wait_until(lambda: count_instances(isocenter, study) == total, what="all are found")
        finally:
            done.set()
        told = searching.result()
    assert told == sorted(told), "what was found is found"
    assert max(told, default=0) <= total
    expected = {uid for series in (*every, shared) for uid in series.files}
    assert set(find_instances(isocenter, study)) == expected
    (one,) = isocenter.search(f"/studies?StudyInstanceUID={study}")
    assert one["00201206"]["Value"] == [CLIENTS + 1]
    for series in (*every, shared):
        (found,) = isocenter.search(f"/studies/{study}/series?SeriesInstanceUID={series.series}")
        assert found["00201209"]["Value"] == [series.count]
