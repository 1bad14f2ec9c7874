"""`isocenter audit evidence`: a folder that the stand-alone verifier accepts, or does not."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from support.audited import BEGIN, Commands, event


def verify(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the verifier of the folder without anything that is installed, and without us."""
    command = [sys.executable, "-I", "-S", str(folder / "verify_audit.py"), str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def keep_some(audit: Commands) -> None:
    for start in (0, 10, 20):
        audit.keep(*[event(number) for number in range(start, start + 10)])


def test_an_expert_verifies_the_copy_without_us(audit: Commands, tmp_path: Path) -> None:
    keep_some(audit)
    audit("rotate-key")
    audit.keep(event(30))
    folder = tmp_path / "new" / "evidence"
    audit("evidence", str(folder))
    key = json.loads(audit("keys", "--json").splitlines()[0])["id"]
    found = verify(folder, "--trust", key, "--json")
    assert found.returncode == 0, found
    summary = json.loads(found.stdout)
    assert (summary["records"], summary["findings"], summary["notes"]) == (31, [], [])
    readme = (folder / "README.txt").read_text()
    assert key in readme
    assert "record 31" in readme
    details = [one.detail for one in audit.left()]
    assert f"audit trail evidence to {folder}" in details


def test_what_is_damaged_is_copied_as_it_is(audit: Commands, tmp_path: Path) -> None:
    keep_some(audit)
    lines = audit.trail.files(".jsonl.gz")[1]
    lines.write_bytes(gzip.compress(gzip.decompress(lines.read_bytes()).replace(b"P4", b"P5")))
    audit.trail.files("@seal")[2].write_text("garbage")
    folder = tmp_path / "evidence"
    audit("evidence", str(folder))
    found = verify(folder)
    assert found.returncode == 1
    assert "garbage" not in (folder / "README.txt").read_text()
    assert "is no signed file" in (folder / "README.txt").read_text()


def test_a_chain_is_copied_from_its_beginning_up_to_a_time(audit: Commands, tmp_path: Path) -> None:
    keep_some(audit)
    until = (BEGIN + timedelta(minutes=15)).isoformat()
    folder = tmp_path / "evidence"
    audit("evidence", str(folder), "--chain", "audit-0", "--until", until)
    found = verify(folder, "--json")
    assert found.returncode == 0, found
    assert json.loads(found.stdout)["records"] == 20
    audit("evidence", str(tmp_path / "other"), "--since", "2026-01-02", code=1)
    assert "no chain has records of that time" in audit.err
    assert not any((tmp_path / "other").iterdir())


def test_a_folder_that_holds_something_is_left_alone(audit: Commands, tmp_path: Path) -> None:
    keep_some(audit)
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    audit("evidence", str(folder), code=1)
    assert "is not empty" in audit.err
    assert [one.name for one in folder.iterdir()] == ["mine"]
    audit("evidence", str(folder / "mine"), code=1)
    assert "cannot be made" in audit.err


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--chain", "audit-7"], "chains are: audit-0"), ([], "nothing is sealed yet")],
)
def test_there_is_no_evidence_of_what_is_not_sealed(
    audit: Commands, tmp_path: Path, words: list[str], why: str
) -> None:
    if words:
        keep_some(audit)
    audit("evidence", str(tmp_path / "evidence"), *words, code=1)
    assert why in audit.err
