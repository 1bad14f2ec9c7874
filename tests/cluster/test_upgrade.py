"""From the released version before to this one and back, with each one's own chart and image, while
scanners send and doctors read."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.chart import PREVIOUS, PROFILES, Release
from support.kubernetes import fullest_disk, wait_for_rollout
from support.work import clients

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not PREVIOUS.is_dir(), reason="no chart of a version before; `make previous-image` makes it"
    ),
]

DEV = ("--set", "dev.enabled=true")
# The version before does not start where the disk of Elasticsearch is fuller than 0.85, whatever
# the limits of Elasticsearch are; less, since what the test itself keeps comes on top.
TOO_FULL = 0.84


def versions(release: Release) -> set[str]:
    """Of the pods that run."""
    pods = release.place.get("pods", "-l", "app.kubernetes.io/component in (gateway,web,indexing)")
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods["items"]}


def test_forward_and_back_while_work_goes_on(release: Release, tmp_path: Path) -> None:
    if (full := fullest_disk()) > TOO_FULL:
        pytest.skip(f"the version before does not run on a disk that is {full:.0%} full; make room")
    before = PREVIOUS / "profiles" / "small.yaml"
    release.install("--values", str(before), *DEV, chart=PREVIOUS)
    # It holds what this version adds to the bucket for something else's (docs/upgrading.md).
    unchecked = ("--set", "prepare.enabled=false")
    release.install("--values", str(before), *DEV, *unchecked, chart=PREVIOUS)
    (old,) = versions(release)
    installed = release.reach(servers=True)
    (tmp_path / "token").mkdir()
    installed.bring_token(tmp_path / "token")  # the version before lets everybody in
    with clients(installed, tmp_path / "up") as reference:
        release.install("--values", str(PROFILES / "small.yaml"), *DEV)
        wait_for_rollout(release.place)
    (new,) = versions(release)
    assert new != old
    assert "Phase:          Succeeded" in release.test()
    # Of what came meanwhile the index of the version before knows when its group has no lag, so the
    # reader looks at what both know all the time; what is sent is counted at the end.
    with clients(installed, tmp_path / "back", reference):
        release.rollback()
        wait_for_rollout(release.place)
    assert versions(release) == {old}
    release.uninstall()
