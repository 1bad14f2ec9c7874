"""The Tiltfile, executed as Starlark against stubs that take just what Tilt's functions take.

`API` is from the documentation of Tilt's Tiltfile API (docs.tilt.dev/api.html): the names of
functions and of their parameters. That Tilt builds and deploys with it is not tried here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import starlark_go
import yaml

from support import rendered
from support.harness import wait_until

ROOT = Path(__file__).parents[2]
TILTFILE = ROOT / "Tiltfile"
SETTINGS = ROOT / "tilt.yml"
CHART = ROOT / "charts/isocenter"
RESTARTING = ROOT / "infra/tilt/restarting.sh"
COMPONENT = "app.kubernetes.io/component"

# Function -> the parameters that must be given, and the others.
API: dict[str, tuple[str, str]] = {
    "allow_k8s_contexts": ("contexts", ""),
    "decode_yaml_stream": ("yaml", ""),
    "default_registry": ("host", "host_from_cluster single_name"),
    "docker_build": (
        "ref context",
        """build_args dockerfile dockerfile_contents live_update match_in_env_vars ignore only
        entrypoint target ssh network secret extra_tag container_args cache_from pull platform
        extra_hosts""",
    ),
    "encode_yaml_stream": ("objs", ""),
    "helm": ("pathToChartDir", "name namespace values set kube_version skip_crds"),
    "k8s_resource": (
        "",
        """workload new_name port_forwards extra_pod_selectors trigger_mode resource_deps objects
        auto_init pod_readiness links labels discovery_strategy""",
    ),
    "k8s_yaml": ("yaml", "allow_duplicates"),
    "local": ("command", "quiet command_bat echo_off env dir stdin"),
    "local_resource": (
        "name cmd",
        """deps trigger_mode resource_deps ignore auto_init serve_cmd cmd_bat serve_cmd_bat
        allow_parallel links labels env serve_env readiness_probe dir serve_dir""",
    ),
    "read_yaml": ("path", "default"),
    "run": ("cmd", "trigger echo_off"),
    "sync": ("local_path remote_path", ""),
}


def _workload(kind: str, component: str, image: str) -> dict[str, Any]:
    container = {"image": image, "securityContext": {"readOnlyRootFilesystem": True}}
    return {
        "kind": kind,
        "metadata": {"name": f"pacs-{component}", "labels": {COMPONENT: component}},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


IMAGE = "ghcr.io/isocenter/isocenter"
OBJECTS: list[dict[str, Any]] = [
    _workload("StatefulSet", "dev-kafka", "apache/kafka:1"),
    _workload("Job", "prepare", f"{IMAGE}:1"),
    _workload("Deployment", "gateway", f"{IMAGE}:1"),
    _workload("Deployment", "storage", f"{IMAGE}:1"),
    {"kind": "Service", "metadata": {"name": "pacs-dicom"}},
    {"kind": "Pod", "metadata": {"name": "try", "annotations": {"helm.sh/hook": "test"}}},
]


class Tilt:
    """What a Tiltfile has called, in the order of the calls."""

    def __init__(self, text: str, objects: Sequence[dict[str, Any]] = OBJECTS) -> None:
        starlark_go.configure_starlark(allow_set=True, allow_global_reassign=True)
        known = {
            "read_yaml": yaml.safe_load(SETTINGS.read_text(encoding="utf-8")),
            "decode_yaml_stream": list(objects),
        }
        # One text: what was made in another is frozen.
        self._run = starlark_go.Starlark()
        self._run.exec(f"ANSWERS = {known!r}\n{_stubs()}\n{text}", filename="Tiltfile")

    def calls(self, function: str) -> list[dict[str, Any]]:
        """The arguments of each call, by their names; those that were not given are None."""
        made: list[dict[str, Any]] = self._run.eval(f"CALLS[{function!r}]")
        return made


def _stubs() -> str:
    lines = [f"CALLS = { ({name: [] for name in API})!r}", 'TRIGGER_MODE_MANUAL = "manual"']
    for name, (needed, others) in API.items():
        parameters = [*needed.split(), *(f"{other}=None" for other in others.split())]
        given = ", ".join(f"{one!r}: {one}" for one in [*needed.split(), *others.split()])
        lines += [
            f"def {name}({', '.join(parameters)}):",
            f"    CALLS[{name!r}].append({{{given}}})",
            f"    return ANSWERS.get({name!r}, {{'call': {name!r}, {given}}})",
        ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def tiltfile() -> str:
    return TILTFILE.read_text(encoding="utf-8")


@pytest.fixture
def tilt(tiltfile: str) -> Tilt:
    return Tilt(tiltfile)


def test_only_documented_functions_with_documented_parameters_are_called(tiltfile: str) -> None:
    Tilt(tiltfile)
    for right, wrong in (
        ("k8s_yaml(", "k8s_yml("),
        ("new_name=", "newname="),
        ("dockerfile='infra/tilt", "docker_file='infra/tilt"),
        ("'services', '/services'", "'services'"),
    ):
        assert right in tiltfile
        with pytest.raises(starlark_go.StarlarkError):
            Tilt(tiltfile.replace(right, wrong, 1))


def test_images_are_built_from_files_that_are_there_and_changed_in_place(tilt: Tilt) -> None:
    base, image = tilt.calls("docker_build")
    assert f"FROM {base['ref']}\n" in (ROOT / image["dockerfile"]).read_text(encoding="utf-8")
    assert image["ref"] == IMAGE
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for build in (base, image):
        assert (ROOT / build["dockerfile"]).is_file()
        for path in build["only"]:
            assert path.startswith(".cache/") or (ROOT / path).exists(), path
            assert any(
                path.startswith(line.removeprefix("!")) for line in ignored if line[0] == "!"
            )
    steps = [step["call"] for step in image["live_update"]]
    assert steps == ["sync", "run"]  # Tilt takes them in no other order
    (sync,) = tilt.calls("sync")
    assert (ROOT / sync["local_path"]).is_dir()
    assert f"PYTHONPATH={sync['remote_path']}\n" in (ROOT / image["dockerfile"]).read_text()


def test_what_the_chart_makes_is_named_and_waits_for_what_it_needs(tilt: Tilt) -> None:
    (given,) = tilt.calls("encode_yaml_stream")
    by_name = {one["metadata"]["name"]: one for one in given["objs"]}
    assert "try" not in by_name
    writable = {
        name: not one["spec"]["template"]["spec"]["containers"][0]["securityContext"][
            "readOnlyRootFilesystem"
        ]
        for name, one in by_name.items()
        if "spec" in one
    }
    assert writable == {
        "pacs-dev-kafka": False, "pacs-prepare": True, "pacs-gateway": True, "pacs-storage": True,
    }  # fmt: skip
    made = {call["new_name"]: call for call in tilt.calls("k8s_resource")}
    assert made["dev-kafka"]["resource_deps"] == []
    assert made["storage"]["resource_deps"] == ["dev-kafka"]
    assert made["storage"]["labels"] == ["roles"]
    assert made["gateway"]["workload"] == "pacs-gateway"
    assert made["gateway"]["port_forwards"] == ["11112:11112"]


def test_demo_studies_are_sent_when_somebody_asks_for_it(tilt: Tilt) -> None:
    (button,) = tilt.calls("local_resource")
    assert button["trigger_mode"] == "manual"
    assert button["auto_init"] is False
    assert button["resource_deps"] == ["gateway"]
    done = subprocess.run(["sh", "-n", "-c", button["cmd"]], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    code = button["cmd"].split("'")[1].partition("generate(Path")[0]
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_chart_as_it_is_becomes_resources(tiltfile: str) -> None:
    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    chosen = [f"--set={name}={text}" for name, text in settings["chart"]["set"].items()]
    told = rendered.command("template", settings["release"], str(CHART), *chosen)
    tilt = Tilt(tiltfile, [one for one in yaml.safe_load_all(told) if one])
    made = {call["new_name"] for call in tilt.calls("k8s_resource")}
    named = set(settings["components"])
    assert named <= made, f"tilt.yml names what the chart does not have: {named - made}"


# --- what restarts a program in its container ----------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "RESTARTING_PID": str(tmp_path / "pid")}


def started(place: dict[str, str], *program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", str(RESTARTING), *program], env=place)


def test_a_program_is_started_anew_and_ends_when_it_is_told_to(
    place: dict[str, str], tmp_path: Path
) -> None:
    pid = Path(place["RESTARTING_PID"])
    drained = tmp_path / "drained"
    waits = (
        "import signal, sys, time, pathlib\n"
        f"out = pathlib.Path({str(drained)!r})\n"
        "def end(*_):\n    time.sleep(0.2); out.open('a').write('x'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).open('a').write('x')\n"
        "while True: time.sleep(1)\n"
    )
    process = started(place, sys.executable, "-c", waits)
    try:
        wait_until(lambda: _text(tmp_path / "up") == "x", what="it runs")
        first = pid.read_text()
        subprocess.run(["sh", str(RESTARTING), "again"], env=place, check=True)
        wait_until(lambda: _text(tmp_path / "up") == "xx", what="it runs again")
        assert drained.read_text() == "x"
        assert pid.read_text() != first
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert drained.read_text() == "xx"
    finally:
        process.kill()


def test_a_program_that_ends_by_itself_is_not_started_again(place: dict[str, str]) -> None:
    assert started(place, sys.executable, "-c", "raise SystemExit(3)").wait(20) == 3


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
