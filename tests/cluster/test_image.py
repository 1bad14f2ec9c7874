"""The container image, in pods of a namespace that admits only restricted ones."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.chart import image_of
from support.kubernetes import Failed, Namespace, namespace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place() -> Iterator[Namespace]:
    with namespace("isocenter-test-image") as made:
        yield made


@pytest.fixture
def image(values_of_cluster: list[Path]) -> str:
    """The image that the chart would use here."""
    return image_of(values_of_cluster)


def test_runs_as_an_ordinary_user_on_a_read_only_file_system(place: Namespace, image: str) -> None:
    told = place.run("whoami", image, "python", "-c", "import os; print(os.getuid(), os.getgid())")
    assert told.split() == ["10001", "10001"]
    assert re.fullmatch(
        r"isocenter \d+\.\d+\.\d+\S*\n", place.run("say", image, "isocenter", "version")
    )
    with pytest.raises(Failed, match="Read-only file system"):
        place.run("write", image, "python", "-c", "open('/opt/isocenter/new', 'w')")


def test_the_bill_of_materials_names_what_is_installed(place: Namespace, image: str) -> None:
    bill = json.loads(place.run("bill", image, "cat", "/opt/isocenter/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    told = {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]}
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+) \\$", lock, re.MULTILINE))
    assert pinned.items() <= told.items()


def test_holds_nothing_that_installs(place: Namespace, image: str) -> None:
    with pytest.raises(Failed, match="No module named pip"):
        place.run("pip", image, "python", "-m", "pip", "--version")


DIGESTS = """
import hashlib, pathlib
for path in sorted(pathlib.Path("/opt/isocenter").rglob("*")):
    if path.is_file() and not path.is_symlink():
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path)
"""


@pytest.mark.skipif(
    "CLUSTER_IMAGE_AGAIN" not in os.environ,
    reason="CLUSTER_IMAGE_AGAIN does not say that the cluster has what `make image-again` builds",
)
def test_a_second_build_gives_the_same_files(place: Namespace, image: str) -> None:
    one = place.run("one", image, "python", "-c", DIGESTS).splitlines()
    other = place.run("other", f"{image}-again", "python", "-c", DIGESTS).splitlines()
    assert len(one) > 1000
    assert sorted(set(one) ^ set(other)) == []
