"""Tests of the chart on a real cluster: the one that KUBECONFIG names.

CLUSTER_VALUES may name a values file that fits the chart to that cluster (names of images, storage
class); every installation gets it. Without KUBECONFIG all of them are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import kubernetes
from support.chart import Release


@pytest.fixture(scope="session", autouse=True)
def _needs_a_cluster() -> None:
    if why := kubernetes.missing():
        pytest.skip(f"no test of the chart on a cluster: {why}")


@pytest.fixture(scope="session")
def values_of_cluster() -> list[Path]:
    """Values files that fit the chart to this cluster."""
    named = os.environ.get("CLUSTER_VALUES")
    return [Path(named)] if named else []


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, values_of_cluster: list[Path]) -> Iterator[Release]:
    """A namespace of the module's own, in which it installs what it wants."""
    name = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    with kubernetes.namespace(f"isocenter-test-{name}") as place, _told(place):
        release = Release(place, values_of_cluster)
        try:
            yield release
        finally:
            release.close()


@contextmanager
def _told(place: kubernetes.Namespace) -> Iterator[None]:
    try:
        yield
    except BaseException:
        print(place.describe())
        raise
