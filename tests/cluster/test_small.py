"""The profile `small` on the chart's own Kafka, Elasticsearch and MinIO: nothing acknowledged is
lost while everything in it is replaced, killed, evicted or starved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.chart import PROFILES, Installed, Release
from support.harness import wait_until
from support.kubernetes import Failed, run, wait_for_rollout
from support.work import clients, store

pytestmark = pytest.mark.timeout(900)

SMALL = ("--values", str(PROFILES / "small.yaml"), "--set", "dev.enabled=true")
OURS = "app.kubernetes.io/component in (gateway,web,indexing)"  # the servers have one pod each
# Runs in a container: makes the first process the one that the kernel takes when memory is short,
# and uses all there is, in many processes that are each smaller than that one.
STARVE = """
import os, time
open("/proc/1/oom_score_adj", "w").write("1000")
while os.fork():
    time.sleep(0.01)
taken = os.urandom(16 << 20)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def installed(release: Release) -> Installed:
    """Ready, on servers of its own."""
    release.install(*SMALL)
    return release.reach(servers=True)


def test_a_study_goes_through_the_services(installed: Installed, tmp_path: Path) -> None:
    series = store(installed, tmp_path / "sent", 8)
    uid = next(iter(series.files))
    frame = installed.get(
        f"/studies/{series.study}/series/{series.series}/instances/{uid}/frames/1",
        accept='multipart/related; type="application/octet-stream"',
    )
    assert len(frame) > 64 * 64 * 2


def test_the_chart_tests_itself(release: Release, installed: Installed) -> None:
    assert "Phase:          Succeeded" in release.test()


def test_a_rolling_restart_of_everything(
    release: Release, installed: Installed, tmp_path: Path
) -> None:
    before = set(release.place.pods(OURS))
    with clients(installed, tmp_path):
        release.place.kubectl("rollout", "restart", "deployment")
        wait_for_rollout(release.place)
    after = set(release.place.pods(OURS))
    assert len(after) == len(before) > 0
    assert not after & before, "these pods were not replaced"


def test_a_killed_gateway(release: Release, installed: Installed, tmp_path: Path) -> None:
    with clients(installed, tmp_path):
        (pod, *_) = _pods_with(release, "gateway")
        release.place.kubectl("delete", "pod", pod, "--grace-period", "0", "--force")
        wait_for_rollout(release.place)
    assert pod not in _pods_with(release, "gateway")


def test_a_pod_out_of_memory(release: Release, installed: Installed, tmp_path: Path) -> None:
    with clients(installed, tmp_path):
        (pod, *_) = _pods_with(release, "indexing")
        with pytest.raises(Failed):
            release.place.kubectl("exec", pod, "--", "python", "-c", STARVE)
        wait_until(lambda: _killed_for_memory(release, pod), 60, "the pod ran out of memory")
        wait_for_rollout(release.place)


def test_draining_the_node_respects_the_budgets(
    release: Release, installed: Installed, tmp_path: Path
) -> None:
    node = release.place.get("nodes")["items"][0]["metadata"]["name"]
    with clients(installed, tmp_path):
        try:
            with pytest.raises(Failed, match="disruption budget"):
                run(
                    *("kubectl", "drain", node, "--timeout=20s", "--ignore-daemonsets"),
                    *("--delete-emptydir-data", f"--pod-selector={OURS}"),
                )
            for one in release.place.get("deployments")["items"]:
                assert one["status"].get("availableReplicas", 0) >= 1, one["metadata"]["name"]
        finally:
            run("kubectl", "uncordon", node)
        wait_for_rollout(release.place)


def test_the_trail_tells_of_all_that_and_is_whole(
    release: Release, installed: Installed, tmp_path: Path
) -> None:
    series = store(installed, tmp_path / "sent", 1)
    (uid,) = series.files
    (pod, *_) = _pods_with(release, "audit")

    def audit(*command: str) -> str | None:
        try:
            return release.place.kubectl("exec", pod, "--", "isocenter", "audit", *command)
        except Failed:
            return None

    found = wait_until(lambda: audit("object", uid, "--json"), 60, "the story of the object")
    story = json.loads(found)
    assert [one["sound"] for one in story["kept"]] == [True]
    (record,) = [one["id"] for one in story["records"] if one["action"] == "store"]
    wait_until(lambda: audit("prove", record), 180, "the record is sealed")
    verified = json.loads(audit("verify", "--json") or "{}")
    assert verified["findings"] == []
    assert verified["records"] > 0


def _pods_with(release: Release, role: str) -> list[str]:
    """Pods that run a role."""
    pods = release.place.get("pods", "-l", "app.kubernetes.io/name=isocenter")["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if role in json.dumps(pod["spec"]["containers"][0].get("args", []))
    ]


def _killed_for_memory(release: Release, pod: str) -> bool:
    statuses = release.place.get("pod", pod)["status"]["containerStatuses"]
    states = [state for one in statuses for state in (one["state"], one.get("lastState", {}))]
    return any(state.get("terminated", {}).get("reason") == "OOMKilled" for state in states)
