"""What a person did wrong is said where that person looks: by helm, or by the pod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.chart import CHART, NAME, PROFILES, Release
from support.clients import dcmtk
from support.files import write_series
from support.harness import wait_until
from support.kubernetes import Failed

pytestmark = pytest.mark.timeout(300)

DEMO = ("--values", str(PROFILES / "demo.yaml"))


@pytest.fixture(autouse=True)
def _leaves_nothing(release: Release) -> Iterator[None]:
    yield
    release.place.helm("uninstall", NAME, "--ignore-not-found", "--no-hooks")
    release.place.kubectl("delete", "job,pod", "--all", "--grace-period=0", "--force")


def waiting(release: Release) -> dict[str, str]:
    """Reason -> message of all containers that cannot start."""
    statuses = [
        status["state"].get("waiting", {})
        for pod in release.place.get("pods")["items"]
        for status in pod["status"].get("containerStatuses", [])
    ]
    return {one["reason"]: one.get("message", "") for one in statuses if one}


def test_an_image_that_does_not_exist(release: Release) -> None:
    release.install(*DEMO, "--set", "image.tag=no-such-version", wait=False)
    reason = wait_until(
        lambda: next((one for one in waiting(release) if "Image" in one), ""), 60, "a reason"
    )
    assert "no-such-version" in release.place.kubectl("describe", "pods"), reason


def test_a_secret_without_the_key(release: Release) -> None:
    secret = ("create", "secret", "generic", "objects", "--from-literal=access-key=only")
    release.place.kubectl(*secret)
    servers = (
        *("--values", str(PROFILES / "small.yaml"), "--set", "kafka.bootstrap={kafka:9092}"),
        *("--set", "elasticsearch.hosts={search:9200}", "--set", "objectStore.endpoint=store:9000"),
        *("--set", "objectStore.existingSecret=objects"),
    )
    with pytest.raises(Failed, match="pre-install"):
        release.place.helm("install", NAME, str(CHART), *servers, "--timeout", "10s")
    reasons = waiting(release)
    assert "secret-key" in reasons["CreateContainerConfigError"], reasons


def test_servers_that_do_not_answer(release: Release) -> None:
    keys = ("--from-literal=access-key=a", "--from-literal=secret-key=b")
    release.place.kubectl("create", "secret", "generic", "keys", *keys)
    servers = (
        *("--values", str(PROFILES / "small.yaml"), "--set", "kafka.bootstrap={nobody:9092}"),
        *("--set", "elasticsearch.hosts={search:9200}", "--set", "objectStore.endpoint=store:9000"),
        *("--set", "objectStore.existingSecret=keys", "--set", "prepare.waitSeconds=1"),
    )
    with pytest.raises(Failed, match="pre-install"):
        release.place.helm("install", NAME, str(CHART), *servers, "--timeout", "90s")
    told = release.place.kubectl("logs", f"job/{NAME}-isocenter-prepare")
    assert "nobody:9092" in told
    assert "fix:" in told


def test_a_volume_without_room(release: Release, tmp_path: Path) -> None:
    reserve = json.dumps(
        {"storage": {"reserve_bytes": 10**15}, "gateway": {"unknown_callers": "always"}}
    )
    release.install(
        *DEMO, "--set", "embedded.demoStudies=false", "--set-json", f"settings={reserve}"
    )
    series = write_series(tmp_path / "sent", count=1)
    stored = dcmtk("storescu", release.reach(), "-v", "+sd", series.folder)
    assert "0xa700" in stored.text.lower() or "OutOfResources" in stored.text, stored.text
    release.place.kubectl("exec", f"deployment/{NAME}-isocenter-all", "--", "isocenter", "health")
    with pytest.raises(Failed, match="reserve"):
        release.place.kubectl(
            "exec", f"deployment/{NAME}-isocenter-all", "--", "isocenter", "check"
        )
