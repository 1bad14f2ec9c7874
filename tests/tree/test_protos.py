"""The generated code is what the protos say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "services"


def test_generating_the_code_of_the_protos_gives_no_difference(tmp_path):
    subprocess.run([sys.executable, str(ROOT / "protos/generate.py"), str(tmp_path)], check=True)
    fresh = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*_pb2*")}
    kept = {
        p.relative_to(GENERATED): p.read_bytes()
        for p in (GENERATED / "isocenter/v1").glob("*_pb2*")
    }
    assert fresh
    assert sorted(fresh) == sorted(kept)
    assert [str(name) for name in fresh if fresh[name] != kept[name]] == []
