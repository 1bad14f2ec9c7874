"""The profile `demo`: one pod, embedded parts, one volume."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.chart import PROFILES, Installed, Release, answered
from support.files import find_instances
from support.harness import wait_until
from support.work import store

pytestmark = pytest.mark.timeout(600)

DEMO = ("--values", str(PROFILES / "demo.yaml"))
PODS = "app.kubernetes.io/component=all"
POLICY = '[[rules]]\nname = "one"\n{} = ["search"]\n'


@pytest.fixture(scope="module")
def installed(release: Release) -> Installed:
    """The demo, ready, with its studies."""
    release.install(*DEMO)
    return release.reach()


def answer(installed: Installed, path: str, **headers: str) -> int:
    """The status with which the web role answers; 0 while nobody is there."""
    request = urllib.request.Request(f"{installed.http_url}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException):
        return 0


def test_nobody_comes_in_unknown_and_the_first_by_a_link(
    release: Release, installed: Installed
) -> None:
    assert answer(installed, "/dicomweb/studies") == 401
    assert answer(installed, "/dicomweb/studies", **installed.credentials) == 200
    link = release.inside("account", "add", "admin", "--role", "administrator").strip()
    assert link.startswith("http://localhost:8080/invitation/")
    assert answer(installed, urlsplit(link).path) == 200


def test_a_policy_is_followed_without_a_restart(
    release: Release, installed: Installed, tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"

    def install(does: str) -> None:
        file.write_text(POLICY.format(does))
        release.install(*DEMO, "--set-file", f"access.policy={file}")

    found = answered(lambda: len(installed.search("/studies?limit=3")))
    install("allow")
    wait_until(lambda: found() == 3, 120, "searches")
    pods = release.place.pods(PODS)
    for does, number in (("deny", 0), ("allow", 3)):
        install(does)
        wait_until(lambda number=number: found() == number, 240, "the policy counts")
    assert release.place.pods(PODS) == pods
    release.install(*DEMO)
    wait_until(lambda: found() == 3, 120, "searches without a policy")


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
    release.install(*DEMO, "--set", "settings.log.level=debug")
    studies = answered(lambda: installed.search("/studies"))
    wait_until(lambda: studies() == before, 60, "the same studies")
    release.uninstall()
    assert release.place.get("pvc")["items"], "uninstalling removed the images"
