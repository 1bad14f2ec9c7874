"""Versions N and N+1 with different schemas of the search index, side by side on real servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import HTTPError

import pytest

from support.files import Series, count_instances, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.newer_version import SCHEMA, Newer
from support.readers import Reader
from support.senders import DimseSender
from support.stack import Stack

pytestmark = pytest.mark.slow

NAME = "upgrade"


@pytest.fixture
def old(stack: Stack, tmp_path: Path) -> Iterator[Isocenter]:
    settings = {**stack.settings(NAME), "process.workers": 1}
    isocenter = Isocenter(tmp_path / "old", "up", settings)
    try:
        isocenter.prepare()
        isocenter.start()
        yield isocenter
    finally:
        isocenter.kill()


@pytest.fixture
def new(stack: Stack, tmp_path: Path) -> Iterator[Isocenter]:
    """Not prepared and not started."""
    isocenter = Newer(tmp_path / "new", "split", stack.settings(NAME))
    try:
        yield isocenter
    finally:
        isocenter.kill()


def store(isocenter: Isocenter, series: Series) -> Series:
    sender = DimseSender(isocenter, [series])
    sender.start()
    sender.join(120)
    assert not sender.pending, sender.refused
    return series


def searches(isocenter: Isocenter) -> bool:
    """Whether searches are answered: not while there is no index."""
    try:
        isocenter.search("/studies?limit=1")
    except HTTPError as error:
        if error.code != 503:
            raise
        return False
    return True


def found_by(isocenter: Isocenter, expected: Sequence[Series]) -> None:
    """Everything is findable, and counted exactly."""
    for series in expected:
        wait_until(
            lambda series=series: (
                sorted(find_instances(isocenter, series.study)) == sorted(series.files)
                and count_instances(isocenter, series.study) == series.count
            ),
            60,
            f"{series.count} instances of a study",
        )


@pytest.mark.timeout(600)
def test_versions_with_different_indices_serve_side_by_side_and_going_back_loses_nothing(
    old: Isocenter, new: Isocenter, tmp_path: Path
) -> None:
    series = iter([write_series(tmp_path / str(n), 20) for n in range(5)])
    before = store(old, next(series))
    found_by(old, [before])

    told = new.cli("check")
    assert told.returncode != 0
    assert "check --prepare" in told.stdout

    # The new index is filled while the old version stores and searches.
    during = next(series)
    reader, sender = Reader(old, before), DimseSender(old, [during], pause=0.05)
    reader.start()
    sender.start()
    new.prepare()
    sender.join(120)
    assert not sender.pending, sender.refused
    assert f"schema {SCHEMA - 1}" in new.cli("check", "--prepare").stdout

    # Side by side: what either stores is found by both.
    new.start()
    by_old, by_new = store(old, next(series)), store(new, next(series))
    everything = [before, during, by_old, by_new]
    found_by(old, everything)
    found_by(new, everything)

    # Back to the old version, and forward again.
    assert set(new.stop().values()) == {0}
    everything.append(store(old, next(series)))
    found_by(old, everything)
    reader.stop()
    assert reader.good["search"] > 10
    assert not reader.failed
    new.start()
    found_by(new, everything)
    assert "no open dead letters" in new.cli("dead list").stdout

    # A rebuild of the new version leaves the old one's index where it is.
    rebuilt = new.cli("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    found_by(new, everything)
    found_by(old, everything)


@pytest.mark.timeout(300)
def test_indexing_fills_the_index_of_a_version_that_nobody_prepared(
    old: Isocenter, new: Isocenter, tmp_path: Path
) -> None:
    before = store(old, write_series(tmp_path / "1", 20))
    found_by(old, [before])
    new.start()
    after = store(new, write_series(tmp_path / "2", 20))
    wait_until(lambda: searches(new), 60, "its index is filled")
    found_by(new, [before, after])
    found_by(old, [before, after])
