"""The profile `network` needs more machines than a test has: the cluster checks it, and runs none."""

from __future__ import annotations

import subprocess

from support.chart import CHART, NAME, PROFILES, Release

NETWORK = ("--values", str(PROFILES / "network.yaml"))


def test_the_cluster_would_take_it(release: Release) -> None:
    told = release.place.helm("install", NAME, str(CHART), *NETWORK, "--dry-run=server")
    for part in ("gateway-north", "gateway-south", "HorizontalPodAutoscaler", "kind: Ingress"):
        assert part in told


def test_all_its_objects_are_valid_and_restricted(release: Release) -> None:
    rendered = release.place.helm("template", NAME, str(CHART), *NETWORK, "--no-hooks")
    applied = subprocess.run(
        [
            *("kubectl", "--namespace", release.place.name, "apply"),
            *("--dry-run=server", "--validate=strict", "--filename", "-"),
        ],
        input=rendered,
        capture_output=True,
        text=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr
    assert "Warning" not in applied.stderr, applied.stderr
    assert applied.stdout.count("(server dry run)") > 50
