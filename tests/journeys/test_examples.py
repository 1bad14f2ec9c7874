"""The examples of the documentation, as they stand there, against a running installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.files import count_instances, write_series
from support.harness import Isocenter, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*command: object) -> list[str]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def token(isocenter: Isocenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a token, which may all that the examples do."""
    made = isocenter.cli("token create", "examples", "--role", "administrator")
    assert made.returncode == 0, made.stderr
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(made.stdout)
    return file


def test_dicomweb_client(isocenter: Isocenter, token: Path, tmp_path: Path) -> None:
    series = write_series(tmp_path, count=3)
    files = series.files.values()
    run(sys.executable, EXAMPLES / "dicomweb.py", isocenter.dicomweb, token, *files)
    wait_until(lambda: count_instances(isocenter, series.study) == 3, what="found")
    told = run(sys.executable, EXAMPLES / "dicomweb.py", isocenter.dicomweb, token, *files)
    assert told == [
        "stored: 3", "studies of the patient: 1", "instances in the series: 3",
        f"bytes of the first frame: {64 * 64 * 2}", "PNG: True", "same pixels: True",
    ]  # fmt: skip


def test_grpcio(isocenter: Isocenter, token: Path, tmp_path: Path) -> None:
    series = write_series(tmp_path, count=3)
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("no object")
    address = f"{isocenter.host}:{isocenter.grpc_port}"
    files = [*series.files.values(), nothing]
    told = run(sys.executable, EXAMPLES / "archive_grpc.py", address, token, *files)
    assert told[3].startswith("file 4: refused: ")
    assert [line[:6] for line in told[:3]] == ["file 1", "file 2", "file 3"]
    assert told[4].startswith("the study now has ")
    assert told[5:] == [
        f"patient: {series.patient_id}", "rows: 64",
        f"bytes of the first frame: {64 * 64 * 2}", "files: 3",
    ]  # fmt: skip


def test_curl(isocenter: Isocenter, token: Path, tmp_path: Path) -> None:
    series = write_series(tmp_path, count=1)
    ((uid, file),) = series.files.items()
    told = run("sh", EXAMPLES / "dicomweb.sh", isocenter.dicomweb, token, file)
    assert told[0].endswith(f"/studies/{series.study}/series/{series.series}/instances/{uid}")
    assert told[1:3] == [f"frame: {64 * 64 * 2} bytes", "found: 1"]
    assert told[3].startswith("deleted and restored: ")
    wait_until(lambda: count_instances(isocenter, series.study) == 1, what="found again")
