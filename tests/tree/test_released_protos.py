"""The contracts are still those of every released version, as buf compares them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sys.executable).with_name("buf")
RELEASES = sorted((PROTOS / "released").glob("*.binpb"))


def buf(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_protos_keep_the_rules_of_style() -> None:
    done = buf("lint", PROTOS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_nothing_that_a_release_promised_is_changed_or_gone(release: Path) -> None:
    done = buf("breaking", PROTOS, "--against", release)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_change_that_breaks_a_promise_is_found(tmp_path: Path) -> None:
    assert RELEASES
    target = tmp_path / "isocenter/v1"
    target.mkdir(parents=True)
    for proto in (PROTOS / "isocenter/v1").glob("*.proto"):
        text = proto.read_text(encoding="utf-8")
        (target / proto.name).write_text(text.replace("string digest = 5;", "string digest = 55;"))
    (tmp_path / "buf.yaml").write_bytes((PROTOS / "buf.yaml").read_bytes())
    done = buf("breaking", tmp_path, "--against", RELEASES[-1])
    assert done.returncode != 0
    assert "InstanceStored" in done.stdout
