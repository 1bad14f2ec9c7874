"""A Kubernetes cluster for tests: whichever one KUBECONFIG names, through kubectl and helm."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.harness import wait_until

RELAY = Path(__file__).with_name("relay.py")
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")
_FIRST_PORT = 7001  # of the relay


class Failed(RuntimeError):
    """A command failed; its text is what it had to say."""


def missing() -> str:
    """Why no test can run on a cluster; empty if it can."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    lacking = [program for program in ("kubectl", "helm") if shutil.which(program) is None]
    return f"{' and '.join(lacking)} is not on the PATH" if lacking else ""


def run(
    *command: str,
    text: str | None = None,
    seconds: float = 300,
    env: Mapping[str, str] | None = None,
) -> str:
    """What a command prints; `env`: variables beside those of this process. Raises `Failed`."""
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not within {seconds} s\n{error.stderr}") from error
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def fullest_disk() -> float:
    """How full the disk of the nodes is that has least room, as their kubelets tell: 0 to 1."""
    full = 0.0
    for node in json.loads(run("kubectl", "get", "nodes", "-o", "json"))["items"]:
        path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
        disk = json.loads(run("kubectl", "get", "--raw", path))["node"]["fs"]
        full = max(full, 1 - disk["availableBytes"] / disk["capacityBytes"])
    return full


class Namespace:
    """A namespace that admits only pods of the profile `restricted`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 300) -> str:
        """Run kubectl here."""
        return run("kubectl", "--namespace", self.name, *arguments, text=text, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 600) -> str:
        """Run helm here."""
        return run("helm", "--namespace", self.name, *arguments, seconds=seconds)

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them, as JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found

    def pods(self, selector: str) -> list[str]:
        """Names of the pods that are not ending."""
        return [
            pod["metadata"]["name"]
            for pod in self.get("pods", "--selector", selector)["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ]

    def run(self, name: str, image: str, *command: str, seconds: float = 60) -> str:
        """What a pod prints that runs this command and succeeds. Raises `Failed` with it if not."""
        self.kubectl("apply", "--filename", "-", text=json.dumps(pod(name, image, *command)))

        def phase() -> str:
            now = str(self.get("pod", name)["status"].get("phase"))
            return now if now in ("Succeeded", "Failed") else ""

        ended = wait_until(phase, seconds, f"the pod {name} ended")
        told = self.kubectl("logs", name)
        self.kubectl("delete", "pod", name, "--wait=false")
        if ended == "Failed":
            raise Failed(f"{' '.join(command)}\n{told}")
        return told

    def describe(self) -> str:
        """What a person would look at after a failure."""
        looks: Sequence[Sequence[str]] = (
            ("get", "all,pvc,networkpolicy,pdb", "--output", "wide"),
            ("get", "events", "--sort-by", ".lastTimestamp"),
            (
                *("logs", "--selector", "app.kubernetes.io/name=isocenter", "--all-containers"),
                *("--prefix", "--tail", "15", "--max-log-requests", "60", "--ignore-errors"),
            ),
        )
        told = []
        for look in looks:
            try:
                told.append(self.kubectl(*look)[-8000:])
            except Failed as error:
                told.append(str(error))
        return "\n".join(told)


@contextmanager
def namespace(name: str) -> Iterator[Namespace]:
    """A new namespace; gone afterwards with all that is in it."""
    made = Namespace(name)
    run("kubectl", "delete", "namespace", name, "--ignore-not-found", "--wait")
    run("kubectl", "create", "namespace", name)
    run(
        *("kubectl", "label", "namespace", name),
        *(f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")),
    )
    try:
        yield made
    finally:
        run("kubectl", "delete", "namespace", name, "--wait=false")


class Doorway:
    """Ports of this machine that lead to Services, as clients inside the cluster reach them.

    `kubectl port-forward` of a Service chooses one pod and stays with it; a relay inside dials the
    Service anew for every connection, so that its balancing is real.
    """

    def __init__(self, place: Namespace, image: str, targets: Mapping[str, str]) -> None:
        """`targets`: name -> `service:port`."""
        self._place = place
        self._image = image
        self._targets = dict(targets)
        self._forwarding: subprocess.Popen[str] | None = None
        self.ports: dict[str, int] = {}

    def open(self) -> None:
        """Start the relay and lead ports of this machine to it."""
        self._place.kubectl("apply", "--filename", "-", text=json.dumps(self._pod()))
        self._place.kubectl("wait", "--for=condition=Ready", "pod/doorway", "--timeout=60s")
        inside = range(_FIRST_PORT, _FIRST_PORT + len(self._targets))
        self._forwarding = subprocess.Popen(
            [
                *("kubectl", "--namespace", self._place.name, "port-forward", "pod/doorway"),
                *(f":{port}" for port in inside),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        names = dict(zip(inside, self._targets, strict=True))
        lines = _lines(self._forwarding)
        while len(self.ports) < len(names):
            found = _FORWARDING.search(lines.get(timeout=30))
            if found:
                self.ports[names[int(found[2])]] = int(found[1])

    def close(self) -> None:
        """Stop both."""
        if self._forwarding is not None:
            self._forwarding.kill()
            self._forwarding.wait(20)

    def _pod(self) -> Any:
        targets = [
            f"{_FIRST_PORT + number}={target}"
            for number, target in enumerate(self._targets.values())
        ]
        made = pod("doorway", self._image, "python", "-c", RELAY.read_text(), *targets)
        probe = {"tcpSocket": {"port": _FIRST_PORT}, "periodSeconds": 1}
        made["spec"]["containers"][0]["readinessProbe"] = probe
        return made


def _lines(process: subprocess.Popen[str]) -> queue.Queue[str]:
    """Its output, read until it ends, so that it never waits for a reader."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    return lines


def wait_for_rollout(place: Namespace, *, seconds: float = 300) -> None:
    """Until every Deployment has only new pods, all of them available."""

    def settled() -> bool:
        return all(_is_settled(one) for one in place.get("deployments")["items"])

    wait_until(settled, seconds, "every Deployment rolled out")


def _is_settled(deployment: Mapping[str, Any]) -> bool:
    wanted, status = deployment["spec"]["replicas"], deployment.get("status", {})
    counts = [status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    observed: int = status.get("observedGeneration", 0)
    return observed >= deployment["metadata"]["generation"] and counts == [wanted] * 3


def pod(name: str, image: str, *command: str, labels: Mapping[str, str] | None = None) -> Any:
    """A pod that a restricted namespace admits, on a read-only file system."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": list(command),
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
