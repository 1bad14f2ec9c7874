"""The profile `demo`: one pod, embedded parts, one volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.chart import PROFILES, Installed, Release, answered
from support.files import find_instances
from support.harness import wait_until
from support.work import store

pytestmark = pytest.mark.timeout(600)

PODS = "app.kubernetes.io/component=all"


@pytest.fixture(scope="module")
def installed(release: Release) -> Installed:
    """The demo, ready, with its studies."""
    release.install("--values", str(PROFILES / "demo.yaml"))
    return release.reach()


def test_the_chart_tests_itself(release: Release, installed: Installed) -> None:
    assert "Phase:          Succeeded" in release.test()


def test_demo_studies_are_there(installed: Installed) -> None:
    def modalities() -> set[str]:
        """They come one after the other, and the instances of each too."""
        studies = installed.search("/studies?PatientName=PHANTOM*")
        return {modality for study in studies for modality in study["00080061"]["Value"]}

    wait_until(lambda: {"CT", "MR", "US", "DX", "PT"} <= modalities(), 60, "all demo studies")


def test_what_dcmtk_stores_survives_its_pod(
    release: Release, installed: Installed, tmp_path: Path
) -> None:
    series = store(installed, tmp_path / "sent", 8)
    (pod,) = release.place.pods(PODS)
    release.place.kubectl("delete", "pod", pod, "--grace-period", "0", "--force")
    wait_until(lambda: pod not in release.place.pods(PODS), 60, "another pod")
    wanted = sorted(series.files)
    found = answered(lambda: find_instances(installed, series.study))
    wait_until(lambda: sorted(found() or ()) == wanted, 120, "the same instances")


def test_upgrade_keeps_the_data_and_uninstall_leaves_the_volume(
    release: Release, installed: Installed
) -> None:
    before = installed.search("/studies")
    release.install("--values", str(PROFILES / "demo.yaml"), "--set", "settings.log.level=debug")
    studies = answered(lambda: installed.search("/studies"))
    wait_until(lambda: studies() == before, 60, "the same studies")
    release.uninstall()
    assert release.place.get("pvc")["items"], "uninstalling removed the images"
