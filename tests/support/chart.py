"""The chart, installed in a namespace of a real cluster, and the installation as clients see it."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

from support.harness import Reached, wait_until
from support.kept import KeptObjects, ObjectsInBucket
from support.kubernetes import Doorway, Failed, Namespace, run

T = TypeVar("T")

CHART = Path(__file__).parents[2] / "charts" / "isocenter"
PROFILES = CHART / "profiles"
PREVIOUS = CHART.parents[1] / ".cache" / "previous-chart"  # of the version before
PROGRAM = "tests"  # as which the tests come in
NAME = "pacs"  # of every release; the names of its objects begin with it
WAIT = ("--wait", "--timeout", "5m")


class Installed(Reached):
    """A release as its clients see it, through its Services."""

    def __init__(self, release: Release, doorway: Doorway) -> None:
        self._release = release
        self._ports = doorway.ports

    @property
    def dicom_port(self) -> int:  # type: ignore[override]
        return self._ports["dicom"]

    @property
    def http_port(self) -> int:  # type: ignore[override]
        return self._ports["web"]

    @property
    def credentials(self) -> Mapping[str, str]:
        """The token of a program that may store and read."""
        return {"Authorization": f"Bearer {self._release.token}"}

    def bring_token(self, folder: Path) -> None:
        """A token for a version that makes none itself: kept in the bucket, where the version that
        comes looks for it. `folder`: of what else the verb writes."""
        access_key, secret_key = self._release.minio_keys()
        self._release.token = run(
            *(sys.executable, "-m", "isocenter", "token", "create", PROGRAM, "--data", str(folder)),
            *("--set", f"blobs=s3://127.0.0.1:{self._ports['minio']}/isocenter"),
            env={"ISOCENTER_S3__ACCESS_KEY": access_key, "ISOCENTER_S3__SECRET_KEY": secret_key},
        ).strip()

    @property
    def objects(self) -> KeptObjects:
        """The bucket in the release's own MinIO."""
        return ObjectsInBucket(
            f"127.0.0.1:{self._ports['minio']}", "isocenter", *self._release.minio_keys()
        )


class Release:
    """One release of the chart in a namespace of its own."""

    def __init__(self, place: Namespace, fitting: Sequence[Path]) -> None:
        """`fitting`: values files that every installation gets."""
        self.place = place
        self._fitting = [part for file in fitting for part in ("--values", str(file))]
        self._doorways: list[Doorway] = []

    def install(self, *arguments: str, chart: Path | str = CHART, wait: bool = True) -> None:
        """`helm install`, or `helm upgrade` of what is there, until everything is ready."""
        command = ("upgrade", "--install", NAME, str(chart), *self._fitting, *arguments)
        self._do(*command, *(WAIT if wait else ()))

    def rollback(self) -> None:
        """To the revision before."""
        self._do("rollback", NAME, *WAIT)

    def inside(self, *words: str) -> str:
        """What a verb prints in a pod of the web role."""
        (pod, *_) = self.place.pods("isocenter.io/web=true")
        return self.place.kubectl("exec", pod, "--", "isocenter", *words)

    @cached_property
    def token(self) -> str:
        """Of a program that may store and read, made as the notes of the release say."""
        return self.inside("token", "create", PROGRAM).strip()

    def test(self) -> str:
        """`helm test`, with the token."""
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{NAME}-isocenter-test"},
            "stringData": {"token": self.token},
        }
        self.place.kubectl("apply", "--filename", "-", text=json.dumps(secret))
        return self._do("test", NAME, "--timeout", "3m", "--logs")

    def uninstall(self) -> None:
        """Until nothing of it runs."""
        self._do("uninstall", NAME, "--wait")
        running = "app.kubernetes.io/name=isocenter,app.kubernetes.io/component!=test"
        wait_until(lambda: not self.place.pods(running), 120, "no pods")

    def image(self) -> str:
        """The image that its pods run."""
        pods = self.place.get("pods", "--selector", "app.kubernetes.io/name=isocenter")["items"]
        containers = [one for pod in pods for one in pod["spec"]["containers"]]
        return str(next(one["image"] for one in containers if one["name"] == "isocenter"))

    def reach(self, *, servers: bool = False) -> Installed:
        """Open ways in from this machine."""
        targets = {"dicom": f"{NAME}-isocenter-dicom:11112", "web": f"{NAME}-isocenter-web:80"}
        if servers:
            targets["minio"] = f"{NAME}-isocenter-dev-minio:9000"
        doorway = Doorway(self.place, self.image(), targets)
        self._doorways.append(doorway)
        doorway.open()
        return Installed(self, doorway)

    def minio_keys(self) -> tuple[str, str]:
        """Access key and secret key of the release's own MinIO."""
        secret = self.place.get("secret", f"{NAME}-isocenter-dev-minio")["data"]
        first, second = (base64.b64decode(secret[key]).decode() for key in sorted(secret))
        return first, second

    def close(self) -> None:
        """Close the ways in."""
        for doorway in self._doorways:
            doorway.close()

    def _do(self, *arguments: str) -> str:
        try:
            return self.place.helm(*arguments)
        except Failed as error:
            raise Failed(f"{error}\n{self.place.describe()}") from error


def answered(ask: Callable[[], T]) -> Callable[[], T | None]:
    """The same, answering None while nobody is there."""

    def asked() -> T | None:
        try:
            return ask()
        except (OSError, HTTPException):
            return None

    return asked


def image_of(fitting: Sequence[Path]) -> str:
    """The image that the chart uses on this cluster."""
    arguments = [part for file in fitting for part in ("--values", str(file))]
    values = ("--values", str(PROFILES / "demo.yaml"), *arguments)
    rendered = run("helm", "template", NAME, str(CHART), *values)
    return str(re.search(r'^ *image: "?([^"\s]+)', rendered, re.MULTILINE)[1])  # type: ignore[index]
