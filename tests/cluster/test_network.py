"""The profile `network` needs more machines than a test has: the cluster checks it without running
it. Of operators' kinds it knows the names alone, from definitions without a schema."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from support.chart import CHART, NAME, PROFILES, Release
from support.kubernetes import Failed, run

KINDS = {"servicemonitors": "ServiceMonitor", "prometheusrules": "PrometheusRule"}
NETWORK = ("--values", str(PROFILES / "network.yaml"))
OPERATOR = ("--no-hooks", "--api-versions", "monitoring.coreos.com/v1")


def definition(plural: str, kind: str) -> str:
    """A kind of the Prometheus operator, with whatever is in it."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    group = "monitoring.coreos.com"
    return json.dumps(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
                "scope": "Namespaced",
                "versions": [version],
            },
        }
    )


@pytest.fixture(scope="module", autouse=True)
def _prometheus_operator() -> Iterator[None]:
    names = [f"crd/{plural}.monitoring.coreos.com" for plural in KINDS]
    made = []
    try:
        for plural, kind in KINDS.items():
            try:
                run("kubectl", "create", "--filename", "-", text=definition(plural, kind))
                made.append(f"crd/{plural}.monitoring.coreos.com")
            except Failed as error:
                if "AlreadyExists" not in str(error):
                    raise
        run("kubectl", "wait", "--for=condition=Established", *names, "--timeout=30s")
        yield
    finally:
        if made:
            run("kubectl", "delete", *made)


def test_the_cluster_would_take_it(release: Release) -> None:
    told = release.place.helm("install", NAME, str(CHART), *NETWORK, "--dry-run=server")
    for part in ("gateway-north", "gateway-south", "HorizontalPodAutoscaler", "kind: Ingress"):
        assert part in told


def test_all_its_objects_are_valid_and_restricted(release: Release) -> None:
    rendered = release.place.helm("template", NAME, str(CHART), *NETWORK, *OPERATOR)
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
